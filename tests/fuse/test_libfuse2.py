"""Real mounts on libfuse 2, by fusepy and by mfusepy: a smoke test of each kind of call."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import shutil
import signal
import stat
import subprocess
import time

import pytest

from histfs.fuse.mountpoint import mounted_on
from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.support.bindings import ON_LIBFUSE_2, available
from tests.support.eventually import eventually
from tests.support.mounts import TIMEOUT, count_clips, id_of, mounted

pytestmark = pytest.mark.fuse

AUDIO = "GET /v1/history/{id}/audio"
DELETE = "DELETE /v1/history/{id}"


@pytest.fixture(scope="module", params=ON_LIBFUSE_2)
def library(request):
    """What serves the mounts."""
    return available(request.param)


@pytest.fixture(scope="module")
def server():
    """The simulator behind `shared`."""
    with Simulator(SimulatorSettings(items=30, days=5)) as running:
        yield running


@pytest.fixture(scope="module")
def shared(server, library, tmp_path_factory, clean_module_environment):
    """A mount for the tests that change nothing."""
    with mounted(server, tmp_path_factory.mktemp("shared"), library) as mount:
        yield mount


@pytest.fixture
def mount(simulator, library, tmp_path):
    """A mount for one test."""
    with mounted(simulator, tmp_path, library) as mount:
        yield mount


def served(simulator, audio):
    """Return the bytes of a clip, as the server sends them."""
    return bytes(simulator.library.clip(id_of(audio.parent)))


def code_of(call, *arguments):
    """Return the name of the errno that a call fails with."""
    with pytest.raises(OSError) as caught:
        call(*arguments)
    return errno.errorcode[caught.value.errno]


# What changes nothing


def test_it_is_served_by_libfuse_2(shared, library):
    assert f"with {library.split()[0]} and libfuse 2." in shared.log.read_text()


def test_a_walk_shows_every_item_and_fetches_no_audio(shared, server):
    before = server.counts[AUDIO]
    done = subprocess.run(["ls", "-lR", shared.path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert count_clips(done.stdout) == len(server.library)
    assert server.counts[AUDIO] == before


def test_entries_carry_kind_and_inode(shared):
    for directory in (shared.path, shared.path / "by-voice", shared.items()[0]):
        for entry in os.scandir(directory):
            status = entry.stat(follow_symlinks=False)
            assert entry.inode() == status.st_ino
            assert entry.is_dir(follow_symlinks=False) == stat.S_ISDIR(status.st_mode)


def test_a_link_leads_to_the_item_and_has_the_length_of_its_target(shared):
    link = shared.items("by-voice")[0]
    assert link.lstat().st_size == len(os.fsencode(os.readlink(link)))
    assert (link / "text.txt").read_bytes()


def test_an_estimate_becomes_the_exact_size_when_the_clip_is_opened(shared, server):
    for audio in shared.audio()[:5]:
        assert audio.stat().st_size > 0
        with audio.open("rb") as file:
            content = file.read()
            assert os.fstat(file.fileno()).st_size == len(content)
        assert content == served(server, audio)
        assert audio.stat().st_size == len(content)
        assert audio.stat().st_mtime == audio.parent.stat().st_mtime


def test_a_clip_is_read_at_any_offset_and_mapped(shared, server):
    audio = shared.audio()[-1]
    content = served(server, audio)
    with audio.open("rb") as file:
        for offset in (len(content) - 5, 4097, 0):
            assert os.pread(file.fileno(), 4096, offset) == content[offset : offset + 4096]
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            assert mapped[:] == content


def test_what_would_write_is_refused(shared):
    item, link = shared.items()[0], shared.items("by-voice")[0]
    assert code_of((shared.path / "new").write_text, "x") == "EPERM"
    assert code_of(os.mkdir, item / "new") == "EPERM"
    assert code_of(os.symlink, "a", item / "b") == "EPERM"
    assert code_of(os.link, item / "text.txt", item / "b") == "EPERM"
    assert code_of(os.rename, item, item.with_name("other")) == "EPERM"
    assert code_of(os.chmod, item / "text.txt", 0o644) == "EPERM"
    assert code_of(os.utime, item / "text.txt", (1, 1)) == "EPERM"
    assert code_of(os.unlink, link) == "EPERM"
    assert code_of(os.rmdir, item) == "ENOTEMPTY"


def test_odd_names_and_calls_have_their_errors(shared):
    item = shared.items()[0]
    assert code_of(os.stat, item / ("x" * 256)) == "ENAMETOOLONG"
    assert code_of(os.stat, shared.path / os.fsdecode(b"\xff\xfe")) == "ENOENT"
    assert code_of(os.getxattr, item, "user.x") == "ENOTSUP"
    assert os.statvfs(shared.path).f_namemax == 255


def test_rsync_copies_byte_for_byte_and_its_second_run_is_silent(shared, server, tmp_path):
    if shutil.which("rsync") is None and os.environ.get("HISTFS_REQUIRE_FUSE") != "1":
        pytest.skip("rsync is not installed")
    line = ["rsync", "-ai", f"{shared.path}/", tmp_path]
    assert subprocess.run(line, capture_output=True).returncode == 0
    assert subprocess.run(line, capture_output=True, check=True).stdout == b""
    copies = list(tmp_path.glob("by-date/*/*/*/*/audio.[!s]*"))
    assert len(copies) == len(server.library)
    assert all(copy.read_bytes() == served(server, copy) for copy in copies)


# What changes the history, or ends the mount


def test_rm_of_a_day_sends_one_delete_an_item(mount, simulator):
    day = mount.items()[-1].parent
    inside = len(list(day.iterdir()))
    assert subprocess.run(["rm", "-r", day]).returncode == 0
    assert simulator.counts[DELETE] == inside
    assert not day.exists()
    assert len(mount.items()) == len(simulator.library) == 60 - inside


def test_an_open_clip_can_be_read_after_its_unlink(mount, simulator):
    audio = mount.audio()[0]
    content = served(simulator, audio)
    with audio.open("rb") as file:
        audio.unlink()
        assert os.pread(file.fileno(), len(content) + 1, 0) == content
        assert code_of(os.fstat, file.fileno()) == "ENOENT"


def test_a_read_only_mount_refuses_with_erofs(simulator, tmp_path, library):
    with mounted(simulator, tmp_path, library, "--read-only") as mount:
        item = mount.items()[0]
        assert code_of(os.unlink, item / "text.txt") == "EROFS"
        assert code_of(os.mkdir, item / "new") == "EROFS"
        assert stat.S_IMODE(item.stat().st_mode) == 0o500


def test_a_mountpoint_with_files_in_it_is_covered_by_nonempty(simulator, tmp_path, library):
    (tmp_path / "mnt").mkdir()
    (tmp_path / "mnt" / "hidden").touch()
    with mounted(simulator, tmp_path, library, "-o", "nonempty") as mount:
        assert "hidden" not in os.listdir(mount.path)
        assert len(mount.items()) == 60


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_reader_that_waits_can_be_interrupted(mount, simulator, number):
    audio, other = mount.audio()[:2]
    simulator.faults.add(Fault(f"GET .*{id_of(audio.parent)}/audio", "hang", seconds=60))
    reader = subprocess.Popen(["cat", audio], stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    assert reader.poll() is None
    reader.send_signal(number)
    assert reader.wait(TIMEOUT) == -number
    assert other.read_bytes() == served(simulator, other)


def test_it_ends_at_once_while_readers_wait(mount, simulator):
    simulator.faults.add(Fault("/audio", "hang", seconds=60))
    with contextlib.ExitStack() as stack:
        for audio in mount.audio()[:20]:
            line = ["cat", audio]
            output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            stack.enter_context(subprocess.Popen(line, **output))
        time.sleep(0.5)
        os.listdir(mount.path / "by-voice")
        mount.process.terminate()
        assert mount.process.wait(TIMEOUT) == 0
    assert mounted_on(mount.path) is None


def test_a_dead_mount_is_replaced(simulator, tmp_path, library):
    with mounted(simulator, tmp_path, library) as mount:
        mount.kill()
        assert code_of(os.listdir, mount.path) == "ENOTCONN"
        with mounted(simulator, tmp_path, library) as replacing_it:
            assert eventually(lambda: len(replacing_it.items())) == 60
