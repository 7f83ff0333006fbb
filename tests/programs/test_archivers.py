"""Programs that believe the stat before their open, on cold mounts: right copies, or an error."""

from __future__ import annotations

import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.mounts import id_of, mounted

pytestmark = pytest.mark.fuse


def run(line, directory, *programs):
    """Run a shell's line in a directory, and return its exit status; skip without a program."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    line = ["bash", "-o", "pipefail", "-c", line]
    return subprocess.run(line, cwd=directory, capture_output=True, timeout=100).returncode


def wrong_clips(simulator, copy):
    """Return the items whose clips in a copy are not those of the server, or are missing."""
    found = {id_of(each.parent): each.read_bytes() for each in copy.glob("*/*/*/*/audio.[!s]*")}
    clips = {id: bytes(simulator.library.clip(id)) for id in map(id_of, items_of(copy))}
    assert len(clips) == len(simulator.library)
    return [id for id, clip in clips.items() if found.get(id) != clip]


def items_of(copy):
    return copy.glob("*/*/*/*")


PACK = {
    "bsdtar": ("bsdtar -cf ../../x .", "tar -xf {x} -C {copy}"),
    "cpio": ("find . | cpio -o -H newc > ../../x", "cd {copy} && cpio -id < {x}"),
    "bsdcpio": ("find . | bsdcpio -o > ../../x", "cd {copy} && bsdcpio -id < {x}"),
    "busybox": ("busybox tar -cf ../../x .", "tar -xf {x} -C {copy}"),
    "git": (
        "git init -q ../../x && git --git-dir ../../x/.git --work-tree . add -A .",
        "git --git-dir {x}/.git --work-tree {copy} checkout -q -- .",
    ),
}


@pytest.mark.parametrize("program", PACK)
def test_an_archiver_packs_each_clip_right(simulator, tmp_path, binding, program):
    pack, unpack = PACK[program]
    copy = tmp_path / "copy"
    copy.mkdir()
    with mounted(simulator, tmp_path, binding) as mount:
        assert run(pack, mount.path / "by-date", program) == 0
    assert run(unpack.format(x=tmp_path / "x", copy=copy), copy) == 0
    assert wrong_clips(simulator, copy) == []


def test_what_counts_and_sums_up_clips_does_so_by_their_exact_sizes(simulator, tmp_path, binding):
    lines = {
        "wc": "wc -c */*/*/*/audio.[!s]* | grep audio",
        "hashrat": "hashrat -trad -r -sha256 . | grep /audio.[^s]",
    }
    for program, line in lines.items():
        if shutil.which(program) is None:
            continue
        base = tmp_path / program
        base.mkdir()
        with mounted(simulator, base, binding) as mount:
            shell = ["bash", "-o", "pipefail", "-c", line]
            output = subprocess.check_output(shell, cwd=mount.path / "by-date", text=True)
        pairs = map(str.split, output.splitlines())
        told = {id_of(Path(path).parent): first for first, path in pairs}
        assert len(told) == len(simulator.library)
        for id, found in told.items():
            clip = bytes(simulator.library.clip(id))
            assert found == (str(len(clip)) if program == "wc" else sha256(clip).hexdigest())


def test_an_archiver_that_the_kernel_may_have_shown_an_estimate_fails(simulator, tmp_path, binding):
    """The attributes that another program has asked for are cached for all."""
    copy = tmp_path / "copy"
    copy.mkdir()
    with mounted(simulator, tmp_path, binding) as mount:
        item = str(mount.items()[0].relative_to(mount.path / "by-date"))
        line = f"stat {item}/audio.* > /dev/null; ls {item}/audio.* | cpio -o -H newc > {copy}/x"
        status = run(line, mount.path / "by-date", "cpio")
        assert status != 0
        # A moment later the kernel asks anew.
        line = f"sleep 1.5; ls {item}/audio.* | cpio -pd {copy}"
        assert run(line, mount.path / "by-date") == 0
        [clip] = copy.glob("*/*/*/*/audio.[!s]*")
        assert clip.read_bytes() == bytes(simulator.library.clip(id_of(clip.parent)))


def test_rsync_append_compares_exact_sizes(simulator, tmp_path, binding):
    """It skips a file that is as long as stat says, or longer, without opening it."""
    copy = tmp_path / "copy"
    copy.mkdir()
    with mounted(simulator, tmp_path, binding) as mount:
        assert run(f"rsync -a . {copy}", mount.path / "by-date", "rsync") == 0
    for clip in copy.glob("*/*/*/*/audio.[!s]*"):
        clip.chmod(0o600)
        clip.write_bytes(clip.read_bytes()[:-20])
    shutil.rmtree(tmp_path / "cache")
    with mounted(simulator, tmp_path, binding) as mount:
        assert run(f"rsync -a --append . {copy}", mount.path / "by-date") == 0
    assert wrong_clips(simulator, copy) == []


def test_a_file_of_programs_makes_an_archiver(simulator, tmp_path, binding):
    stat = tmp_path / "my-archiver"
    shutil.copy(shutil.which("stat"), stat)
    table = tmp_path / "programs.toml"
    table.write_text('[[program]]\nname = "my-*"\nclass = "archiver"\n')

    def size(audio):
        line = ["stat", "--format=%s", audio]
        return int(subprocess.check_output(line, executable=stat, env=os.environ))

    with mounted(simulator, tmp_path, binding, "-o", f"programs={table}") as mount:
        for audio in mount.audio()[:5]:
            assert size(audio) == len(simulator.library.clip(id_of(audio.parent)))
