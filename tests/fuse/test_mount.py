"""What a mount shows and does, seen with the system calls of any program."""

from __future__ import annotations

import concurrent.futures
import errno
import hashlib
import json
import mmap
import os
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.support.eventually import eventually
from tests.support.mounts import count_clips, id_of, mounted

pytestmark = pytest.mark.fuse

AUDIO = "GET /v1/history/{id}/audio"
LIST = "GET /v1/history"
ITEM = "GET /v1/history/{id}"
DELETE = "DELETE /v1/history/{id}"


def served(simulator, item):
    """Return the bytes of an item's audio, as the server sends them."""
    return bytes(simulator.library.clip(id_of(item)))


def refused(code, call, *arguments):
    with pytest.raises(OSError) as caught:
        call(*arguments)
    assert errno.errorcode[caught.value.errno] == errno.errorcode[code]


def run(*command):
    subprocess.run([*map(str, command)], check=True)


@pytest.fixture
def mount(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding) as mount:
        yield mount


@pytest.fixture(scope="module")
def server():
    """The simulator behind `shared`."""
    with Simulator(SimulatorSettings(items=60, days=20)) as running:
        yield running


@pytest.fixture(scope="module")
def shared(server, binding, tmp_path_factory, clean_module_environment):
    """A mount for the tests that delete nothing and count no requests."""
    with mounted(server, tmp_path_factory.mktemp("shared"), binding) as mount:
        yield mount


def test_looking_asks_for_lists_and_nothing_else(mount, simulator):
    done = subprocess.run(["ls", "-lR", mount.path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert count_clips(done.stdout) == len(simulator.library)
    assert simulator.counts[AUDIO] == simulator.counts[ITEM] == 0
    assert simulator.counts[LIST] == 1


def test_every_clip_is_the_servers_and_fetched_once(mount, simulator):
    for item in mount.items():
        audio = next(item.glob("audio.[!s]*"))
        raw = simulator.library.item(id_of(item))
        before = audio.stat()
        assert before.st_size > 0
        assert before.st_mtime == item.stat().st_mtime == raw["date_unix"]
        with concurrent.futures.ThreadPoolExecutor(3) as readers:
            read = set(readers.map(lambda path: path.read_bytes(), [audio] * 3))
        assert read == {served(simulator, item)}
        assert audio.stat().st_size == len(read.pop())
        assert audio.suffix == {"audio/mpeg": ".mp3", "audio/wav": ".wav"}[raw["content_type"]]
    assert simulator.counts[AUDIO] == len(simulator.library)


def test_text_and_metadata_are_the_apis_own(shared, server):
    for item in shared.items():
        raw = server.library.item(id_of(item))
        assert json.loads((item / "meta.json").read_text()) == raw
        assert list(json.loads((item / "meta.json").read_text())) == list(raw)
        if not raw.get("dialogue"):
            text = raw["text"]
            assert (item / "text.txt").read_text() == ("" if text is None else f"{text}\n")


def test_each_view_links_to_every_item(shared, server):
    for view in ("by-voice", "by-source"):
        links = shared.items(view)
        assert {id_of(link) for link in links} == set(server.library.ids())
        for link in links:
            assert not os.readlink(link).startswith("/")
            assert link.resolve().parent.parent.parent.parent == shared.path / "by-date"
            assert (link / "text.txt").exists()
            assert link.lstat().st_size == len(os.fsencode(os.readlink(link)))


def test_a_directory_has_the_time_of_its_newest_item(shared, server):
    newest = max(server.library.item(i)["date_unix"] for i in server.library.ids())
    last = shared.items()[-1]
    for directory in (last, last.parent, last.parent.parent, shared.path / "by-date", shared.path):
        assert directory.stat().st_mtime == newest


def test_the_mount_is_named_and_safe(shared):
    table = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    source, _, kind, options, *_ = next(row for row in table if row[1] == str(shared.path))
    assert (source, kind) == ("elevenlabs:default", "fuse.histfs")
    assert {"nosuid", "nodev", "noexec", "default_permissions"} <= set(options.split(","))


def test_entries_carry_kind_and_inode(shared):
    for directory in (shared.path, shared.path / "by-voice", shared.items()[0]):
        for entry in os.scandir(directory):
            status = entry.stat(follow_symlinks=False)
            assert entry.inode() == status.st_ino
            assert entry.is_dir(follow_symlinks=False) == stat.S_ISDIR(status.st_mode)


def test_placement_dir_shows_one_file_under_several_names(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding, "-o", "placement=dir") as mount:
        homes = {id_of(item): item for item in mount.items()}
        for view in ("by-voice", "by-source"):
            for item in mount.items(view):
                here, home = (
                    next(i.glob("audio.[!s]*")).lstat() for i in (item, homes[id_of(item)])
                )
                assert stat.S_ISDIR(item.lstat().st_mode)
                assert (here.st_ino, here.st_nlink) == (home.st_ino, 3)


def test_a_remount_shows_the_same_inodes_and_sizes_and_asks_for_nothing_that_is_fresh(
    simulator, tmp_path, binding
):
    def seen(mount):
        return {
            path: (path.lstat().st_ino, path.lstat().st_size, path.lstat().st_mtime)
            for item in mount.items()
            for path in (item, *item.iterdir())
        }

    with mounted(simulator, tmp_path, binding) as mount:
        for audio in mount.audio():
            audio.read_bytes()
        before = seen(mount)
    simulator.counts.reset()
    with mounted(simulator, tmp_path, binding) as mount:
        assert seen(mount) == before
        assert mount.audio()[0].read_bytes() == served(simulator, mount.items()[0])
    assert simulator.counts.total == 0


def test_rm_of_an_item_is_one_delete(mount, simulator):
    item = mount.items()[7]
    assert subprocess.run(["rm", "-r", item]).returncode == 0
    assert simulator.counts[DELETE] == 1
    assert id_of(item) not in simulator.library
    for view in ("by-date", "by-voice", "by-source"):
        assert id_of(item) not in {id_of(other) for other in mount.items(view)}


def test_rm_of_a_day_deletes_its_items_and_the_day(mount, simulator):
    day = mount.items()[-1].parent
    inside = len(list(day.iterdir()))
    assert subprocess.run(["rm", "-r", day]).returncode == 0
    assert simulator.counts[DELETE] == inside
    assert not day.exists()
    assert len(mount.items()) == len(simulator.library) == 60 - inside


def test_a_day_can_be_emptied_while_it_is_read(tmp_path, binding):
    with (
        Simulator(SimulatorSettings(items=400, days=1)) as simulator,
        mounted(simulator, tmp_path, binding) as mount,
    ):
        day = max({item.parent for item in mount.items()}, key=lambda day: len(list(day.iterdir())))
        names = {item.name for item in day.iterdir()}
        assert len(names) > 150
        read = []
        with os.scandir(day) as entries:
            for entry in entries:
                read.append(entry.name)
                assert os.lstat(entry.path).st_ino == entry.inode()
                next(Path(entry.path).glob("audio.[!s]*")).unlink()
        assert sorted(read) == sorted(names)
        assert simulator.counts[DELETE] == len(names)


def test_rm_of_the_text_hides_it_and_sends_nothing(mount, simulator):
    item = mount.items()[0]
    (item / "text.txt").unlink()
    assert sorted(path.name for path in item.iterdir()) == ["audio.mp3", "audio.srt", "meta.json"]
    assert simulator.counts[DELETE] == 0


def test_a_delete_that_fails_leaves_the_item_whole(mount, simulator):
    simulator.faults.add(Fault("DELETE", "status", status=500))
    item = mount.items()[0]
    names = {path.name for path in item.iterdir()}
    assert subprocess.run(["rm", "-r", item], capture_output=True).returncode != 0
    assert {path.name for path in item.iterdir()} == names
    assert simulator.counts[DELETE] == 1
    assert next(item.glob("audio.[!s]*")).read_bytes() == served(simulator, item)


def test_what_would_write_is_refused(shared):
    item, link = shared.items()[0], shared.items("by-voice")[0]
    refused(errno.EPERM, (shared.path / "new").write_text, "x")
    # The kernel refuses to write a file of mode 0400 before it asks, to all but root.
    not_writable = errno.EPERM if os.geteuid() == 0 else errno.EACCES
    refused(not_writable, (item / "text.txt").write_text, "x")
    refused(not_writable, os.truncate, item / "text.txt", 0)
    refused(errno.EPERM, os.mkdir, item / "new")
    refused(errno.EPERM, os.symlink, "a", item / "b")
    refused(errno.EPERM, os.link, item / "text.txt", item / "b")
    refused(errno.EPERM, os.rename, item, item.with_name("other"))
    refused(errno.EPERM, os.chmod, item / "text.txt", 0o644)
    refused(errno.EPERM, os.utime, item / "text.txt", (1, 1))
    refused(errno.EPERM, os.unlink, link)
    refused(errno.ENOTEMPTY, os.rmdir, item)
    refused(errno.ENOTEMPTY, os.rmdir, item.parent)
    refused(errno.ENAMETOOLONG, os.stat, item / ("x" * 256))
    refused(errno.ENOENT, os.stat, shared.path / os.fsdecode(b"\xff\xfe"))
    refused(errno.ENOTSUP, os.getxattr, item, "user.x")


def test_a_read_only_mount_refuses_with_erofs(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding, "--read-only") as mount:
        item = mount.items()[0]
        refused(errno.EROFS, os.unlink, item / "text.txt")
        refused(errno.EROFS, os.rmdir, item)
        refused(errno.EROFS, os.mkdir, item / "new")
        refused(errno.EROFS, (item / "text.txt").write_text, "x")
        assert stat.S_IMODE(item.stat().st_mode) == 0o500
    assert simulator.counts[DELETE] == 0


def test_an_open_clip_can_be_read_after_its_unlink(mount, simulator):
    item = mount.items()[0]
    audio, content = next(item.glob("audio.[!s]*")), served(simulator, item)
    descriptor = os.open(audio, os.O_RDONLY)
    try:
        audio.unlink()
        assert os.pread(descriptor, len(content) + 1, 0) == content
    finally:
        os.close(descriptor)


def test_an_open_clip_that_was_not_read_yet_can_be_read_after_its_unlink(
    simulator, tmp_path, binding
):
    with mounted(simulator, tmp_path, binding, "--audio-cache-size", "1B") as mount:
        first, second = mount.audio()[:2]
        content = first.read_bytes()
        second.read_bytes()  # which takes the first one's place in the cache
        descriptor = os.open(first, os.O_RDONLY)
        try:
            first.unlink()
            assert os.pread(descriptor, len(content) + 1, 0) == content
        finally:
            os.close(descriptor)


def test_access_tells_what_may_be_done(shared):
    item = shared.items()[0]
    assert os.access(item, os.R_OK | os.W_OK | os.X_OK)
    assert os.access(item / "text.txt", os.R_OK)
    assert not os.access(item / "text.txt", os.X_OK)
    assert not os.access(item / "nothing", os.F_OK)


def test_a_clip_never_opened_can_be_mapped(shared, server):
    with shared.audio()[0].open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        assert mapped[:] == served(server, shared.items()[0])
        mapped.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("known", [False, True], ids=["waits in open", "waits in read"])
def test_a_reader_that_waits_can_be_interrupted(simulator, tmp_path, binding, number, known):
    with mounted(simulator, tmp_path, binding) as mount:
        audio = mount.audio()
        if known:  # its size is kept, its bytes are not
            audio[0].read_bytes()
            # Others are prefetched: this one may come into its place after them.
            clips = (tmp_path / "cache").glob
            key = id_of(audio[0].parent)
            eventually(lambda: [clip.unlink() or clip for clip in clips(f"*/audio/*/{key}")])
        simulator.faults.add(Fault(f"GET .*{id_of(audio[0].parent)}/audio", "hang", seconds=60))
        reader = subprocess.Popen(["cat", audio[0]], stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        assert reader.poll() is None
        os.listdir(mount.path / "by-voice")
        reader.send_signal(number)
        assert reader.wait(timeout=5) == -number
        assert audio[1].read_bytes() == served(simulator, audio[1].parent)


#: Each with the place of its item, in no order that a mount could read ahead in.
FAULTS = {
    "cut": 7, "html": 40, "empty": 22, "status": 55, "reset": 13, "redirect": 33, "garbage": 47,
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_audio_that_is_not_whole_is_an_error_and_never_kept(shared, server, fault):
    item = shared.items()[FAULTS[fault]]
    audio = next(item.glob("audio.[!s]*"))
    headers = {"Location": "http://127.0.0.1:9/"} if fault == "redirect" else {}
    status = 403 if fault == "status" else None
    server.faults.add(Fault("/audio", fault, status=status, headers=headers))
    try:
        with pytest.raises(OSError):
            audio.read_bytes()
    finally:
        server.faults.clear()
    assert audio.read_bytes() == served(server, item)


def test_a_listing_is_complete_or_fails(simulator, tmp_path, binding):
    # A small page, so that there is a second one.
    with Simulator(SimulatorSettings(items=1500)) as simulator:
        simulator.faults.add(Fault("GET /v1/history$", "status", status=500, after=1))
        with mounted(simulator, tmp_path, binding) as mount:
            refused(errno.EIO, os.listdir, mount.path / "by-date")
            refused(errno.EIO, os.listdir, mount.path / "by-voice")
            backup = tmp_path / "backup"
            (backup / "by-date" / "2020").mkdir(parents=True)
            done = subprocess.run(
                ["rsync", "-a", "--delete", f"{mount.path}/", backup], capture_output=True
            )
            assert done.returncode != 0
            assert (backup / "by-date" / "2020").exists()


def test_the_newest_day_is_shown_while_the_rest_is_still_being_read(tmp_path, binding):
    with Simulator(SimulatorSettings(items=3000, days=90, alignments=False)) as simulator:
        simulator.faults.add(Fault("GET /v1/history$", "hang", seconds=60, after=1))
        with mounted(simulator, tmp_path, binding) as mount:
            newest = simulator.library.item(next(iter(simulator.library.ids())))["date_unix"]
            day = time.strftime("by-date/%Y/%m/%d", time.gmtime(newest))
            assert (mount.path / day).stat().st_mtime == newest
            assert simulator.counts[LIST] <= 2


def test_what_is_known_is_mounted_though_the_server_fails(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding) as mount:
        names = [item.name for item in mount.items()]
    for fault in ("html", "status"):
        simulator.faults.add(Fault("GET", fault, status=503 if fault == "status" else None))
        with mounted(simulator, tmp_path, binding, "--listing-ttl", "0") as mount:
            assert [item.name for item in mount.items()] == names
        simulator.faults.clear()


def test_what_is_known_is_not_shown_when_the_key_is_refused(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding) as mount:
        mount.items()
    simulator.faults.add(Fault("GET", "status", status=401, code="invalid_api_key"))
    with mounted(simulator, tmp_path, binding, "--listing-ttl", "0") as mount:
        refused(errno.EACCES, os.listdir, mount.path / "by-date")


def test_a_server_that_hangs_costs_one_timeout(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding, "--listing-ttl", "0") as mount:
        names = [item.name for item in mount.items()]
        simulator.counts.reset()
        simulator.faults.add(Fault("GET /v1/history$", "hang", seconds=60))
        assert [item.name for item in mount.items()] == names
        assert simulator.counts[LIST] <= 2


@pytest.mark.parametrize("chunked", [True, False])
def test_a_clip_that_takes_longer_than_the_timeout_is_read_while_bytes_come(
    tmp_path, binding, chunked
):
    settings = SimulatorSettings(items=1, clip_bytes=600_000, bandwidth=150_000, chunked=chunked)
    with (
        Simulator(settings) as simulator,
        mounted(simulator, tmp_path, binding, "--timeout", "1") as mount,
    ):
        (clip,) = mount.audio()
        began = time.monotonic()
        assert clip.read_bytes() == bytes(simulator.library.clip(id_of(clip.parent)))
        assert time.monotonic() - began > 3


def test_voices_that_are_not_known_in_time_are_not_listed(tmp_path, binding):
    settings = SimulatorSettings(items=12_000, alignments=False, latency=0.2)
    with (
        Simulator(settings) as simulator,
        mounted(simulator, tmp_path, binding, "--timeout", "1") as mount,
    ):
        refused(errno.EAGAIN, os.listdir, mount.path / "by-voice")
        voices = eventually(lambda: os.listdir(mount.path / "by-voice"))
        shown = [os.listdir(mount.path / "by-voice" / voice) for voice in voices]
        assert len(set().union(*shown)) == 12_000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
def test_a_full_disk_makes_listings_fail_and_nothing_else(tmp_path, binding):
    disk = tmp_path / "cache"
    disk.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk)
    try:
        with (
            Simulator(SimulatorSettings(items=5000, days=90)) as simulator,
            mounted(simulator, tmp_path, binding, "--timeout", "5") as mount,
        ):
            refused(errno.ENOSPC, os.listdir, mount.path / "by-voice")
            run("mount", "-o", "remount,size=200m", disk)
            voices = eventually(lambda: os.listdir(mount.path / "by-voice"))
            shown = [os.listdir(mount.path / "by-voice" / voice) for voice in voices]
            assert len(set().union(*shown)) == 5000
    finally:
        run("umount", disk)


def test_what_is_known_goes_on_without_the_server(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding, "--listing-ttl", "0") as mount:
        content = mount.audio()[0].read_bytes()
        names = [item.name for item in mount.items()]
        simulator.stop()
        assert [item.name for item in mount.items()] == names
        assert mount.audio()[0].read_bytes() == content
        with pytest.raises(OSError):
            mount.audio()[1].read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_mount_in_the_foreground_unmounts_when_it_is_told_to_end(mount, number):
    mount.process.send_signal(number)
    assert mount.process.wait(5) == 0
    assert not os.path.ismount(mount.path)


def test_it_ends_at_once_while_readers_wait(mount, simulator):
    simulator.faults.add(Fault("/audio", "hang", seconds=60))
    readers = [
        subprocess.Popen(["cat", audio], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for audio in mount.audio()[:12]
    ]
    time.sleep(0.5)
    mount.process.terminate()
    assert mount.process.wait(5) == 0
    for reader in readers:
        assert reader.wait(5) != 0


def test_hashes_survive_rsync_and_its_second_run_is_silent(mount, simulator, tmp_path):
    backup = tmp_path / "backup"
    first = subprocess.run(["rsync", "-ai", f"{mount.path}/", backup], capture_output=True)
    second = subprocess.run(["rsync", "-ai", f"{mount.path}/", backup], capture_output=True)
    assert (first.returncode, second.returncode, second.stdout) == (0, 0, b"")
    copied = {
        id_of(item): hashlib.sha256(next(item.glob("audio.[!s]*")).read_bytes()).hexdigest()
        for item in (backup / "by-date").glob("*/*/*/*")
    }
    assert copied == {
        i: hashlib.sha256(bytes(simulator.library.clip(i))).hexdigest()
        for i in simulator.library.ids()
    }
    assert simulator.counts[AUDIO] == len(simulator.library)
