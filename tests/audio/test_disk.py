"""The directory of clips: its cap, its modes, what a killed process left in it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from histfs.audio.disk import Disk
from histfs.core.errors import CacheFailed
from histfs.core.names import key_of
from tests.audio.conftest import PLENTY


def put(disk, key, content=b"x" * 10):
    number, path = disk.create()
    os.write(number.number, content)
    disk.keep(path, key, len(content))


def read(disk, key):
    found = disk.open(key)
    return None if found is None else os.read(found.number, PLENTY >> 10)


def kept(disk):
    return {path.name for path in (disk.root / "audio").glob("*/*")}


@pytest.fixture
def disk(tmp_path):
    return Disk(tmp_path / "cache", 30)


def test_a_clip_that_is_kept_can_be_opened(disk):
    put(disk, "a", b"audio")
    assert read(disk, "a") == b"audio"
    assert read(disk, "b") is None


def test_the_clip_that_was_not_used_for_longest_goes_first(disk):
    for key in "abc":
        put(disk, key)
    read(disk, "a")
    put(disk, "d")
    assert kept(disk) == {"a", "c", "d"}
    put(disk, "e", b"x" * 20)
    assert kept(disk) == {"d", "e"}


def test_what_is_said_to_have_been_used_before_goes_before(disk):
    for key in "abc":
        put(disk, key)
    disk.rank("c", 0)
    disk.rank("nothing", 0)
    put(disk, "d")
    assert kept(disk) == {"a", "b", "d"}


def test_clips_and_their_bytes_are_counted(disk, tmp_path):
    put(disk, "a")
    put(disk, "b", b"audio")
    assert (disk.count(), disk.used, disk.size("b"), disk.size("c")) == (2, 15, 5, None)
    disk.drop("a")
    disk.drop("c")
    assert (disk.count(), disk.used) == (1, 5)
    assert Disk(tmp_path / "cache", 30).used == 5


def test_what_another_process_keeps_is_counted_a_little_later(disk, tmp_path, monkeypatch):
    other = Disk(tmp_path / "cache", 30)
    put(other, "a")
    put(other, "b")
    assert disk.used == 0
    monkeypatch.setattr("histfs.audio.disk._RECOUNT", 0)
    assert disk.used == 20
    put(disk, "c", b"x" * 20)
    assert kept(disk) == {"b", "c"}


def test_looking_at_the_size_of_a_clip_is_no_use_of_it(disk):
    for key in "abc":
        put(disk, key)
    disk.size("a")
    put(disk, "d")
    assert kept(disk) == {"b", "c", "d"}


def test_a_clip_larger_than_the_cap_stays_until_the_next_one(disk):
    put(disk, "a")
    put(disk, "giant", b"x" * 99)
    assert kept(disk) == {"giant"}
    put(disk, "b")
    assert kept(disk) == {"b"}


def test_a_clip_that_is_fetched_again_is_counted_once(disk):
    for _ in range(5):
        put(disk, "a")
    put(disk, "b")
    put(disk, "c")
    assert kept(disk) == {"a", "b", "c"}


def test_a_smaller_cap_makes_room_at_the_start(disk, tmp_path):
    for key in "abc":
        put(disk, key)
    Disk(tmp_path / "cache", 10)
    assert kept(disk) == {"c"}


def test_clips_of_another_mount_count_and_may_go(disk, tmp_path):
    other = Disk(tmp_path / "cache", 30)
    put(disk, "a")
    put(disk, "b")
    for key in "cdef":
        put(other, key)
    put(disk, "g")
    put(disk, "h")
    assert len(kept(disk)) <= 3
    assert "h" in kept(disk)
    assert read(disk, "a") is None


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_can_look_in_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        disk = Disk(tmp_path / "new" / "cache", 30)
        put(disk, "a")
        _, part = disk.create()
    finally:
        os.umask(before)
    assert part.exists()
    modes = {
        path.relative_to(tmp_path): stat.S_IMODE(path.stat().st_mode)
        for path in disk.root.rglob("*")
    }
    assert stat.S_IMODE(disk.root.stat().st_mode) == 0o700
    for path, mode in modes.items():
        assert mode == (0o700 if (tmp_path / path).is_dir() else 0o600), path


@pytest.mark.parametrize(
    "item_id",
    ["..", ".", "", "../../../etc/passwd", "/etc/passwd", "a\0b", "ä" * 300, "x" * 500, "\ud800",
     "a\nb", "-rf", "%2E%2E"],
    ids=ascii,
)  # fmt: skip
def test_odd_ids_stay_inside_the_directory(disk, tmp_path, item_id):
    put(disk, key_of(item_id), b"audio")
    assert read(disk, key_of(item_id)) == b"audio"
    inside = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(inside) == 1
    assert inside[0].resolve().is_relative_to(disk.root / "audio")
    disk.drop(key_of(item_id))
    assert kept(disk) == set()


def test_the_rest_of_a_dead_process_is_removed_and_that_of_a_live_one_is_left(tmp_path):
    script = (
        "import sys; from pathlib import Path; from histfs.audio.disk import Disk\n"
        "held = Disk(Path(sys.argv[1]), 30).create(); print(held[1], flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        part = other.stdout.readline().strip()
        try:
            Disk(tmp_path, 30)
            assert os.path.exists(part)
        finally:
            other.kill()
            other.wait()
    assert os.path.exists(part)
    Disk(tmp_path, 30)
    assert os.listdir(tmp_path / "incoming") == []


@pytest.mark.parametrize("what", ["a file in its place", "a file above it"])
def test_a_directory_that_can_not_be_made_is_an_error_of_the_cache(tmp_path, what):
    (tmp_path / "file").write_text("")
    root = tmp_path / "file" if what == "a file in its place" else tmp_path / "file" / "cache"
    with pytest.raises(CacheFailed, match=str(root)):
        Disk(root, 30)
