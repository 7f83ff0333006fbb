"""The directory of clips: its cap, which all share, its modes, and a disk that is full."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from histfs.audio.disk_cache import DiskCache
from histfs.audio.partial_file import MemorySpill
from histfs.core.errors import CacheFailed, NoSpace
from histfs.core.names import key_of
from tests.audio.conftest import PLENTY


def put(disk, key, content=b"x" * 10):
    part = disk.create()
    part.write(content, 0)
    disk.keep(part, key)


def read(disk, key):
    found = disk.open(key)
    return None if found is None else os.read(found.number, PLENTY >> 10)


def kept(disk):
    return {path.name for path in (disk.root / "audio").glob("*/*")}


@pytest.fixture
def disk(tmp_path):
    return DiskCache(tmp_path / "cache", 30)


@pytest.fixture
def other(disk):
    """The same, as another mount has it."""
    return DiskCache(disk.root, 30)


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
    disk.set_last_used("c", 0)
    disk.set_last_used("nothing", 0)
    put(disk, "d")
    assert kept(disk) == {"a", "b", "d"}


def test_clips_and_their_bytes_are_counted(disk, tmp_path):
    put(disk, "a")
    put(disk, "b", b"audio")
    assert (disk.count(), disk.used, disk.size("b"), disk.size("c")) == (2, 15, 5, None)
    disk.remove("a")
    disk.remove("c")
    assert (disk.count(), disk.used) == (1, 5)
    assert DiskCache(tmp_path / "cache", 30).used == 5


def test_looking_at_the_size_of_a_clip_is_no_use_of_it(disk):
    for key in "abc":
        put(disk, key)
    disk.size("a")
    put(disk, "d")
    assert kept(disk) == {"b", "c", "d"}


def test_a_clip_larger_than_the_cap_stays_until_the_next_one_and_makes_no_other_go(disk):
    put(disk, "a")
    put(disk, "giant", b"x" * 99)
    assert kept(disk) == {"a", "giant"}
    put(disk, "b")
    assert (kept(disk), disk.used) == ({"a", "b"}, 20)


def test_a_clip_larger_than_the_cap_that_is_open_makes_no_other_go(disk):
    put(disk, "giant", b"x" * 99)
    opened = disk.open("giant")
    for key in "abc":
        put(disk, key)
    assert kept(disk) == {"giant", "a", "b", "c"}
    del opened
    put(disk, "d")
    assert kept(disk) == {"b", "c", "d"}


def test_a_clip_makes_more_than_half_of_the_others_go_only_once_it_is_whole(disk):
    for key in "abc":
        put(disk, key)
    part = disk.create()
    for offset in range(25):
        part.write(b"x", offset)
    assert kept(disk) == {"c"}
    disk.keep(part, "large")
    assert (kept(disk), disk.used) == ({"large"}, 25)


def test_a_length_that_is_not_true_makes_no_other_go(disk):
    for key in "abc":
        put(disk, key)
    part = disk.create()
    part.reserve(1 << 40)
    part.write(b"x", 0)
    assert kept(disk) == {"a", "b", "c"}
    assert os.fstat(part.file.number).st_size <= 64 << 20
    part.discard()
    assert disk.used == 30


def test_a_clip_larger_than_the_cap_is_found_again_by_the_next_mount(disk, tmp_path):
    put(disk, "giant", b"x" * 99)
    later = DiskCache(tmp_path / "cache", 30)
    put(later, "a")
    assert (kept(later), later.used) == ({"a"}, 10)


def test_a_clip_that_is_fetched_again_is_counted_once(disk):
    for _ in range(5):
        put(disk, "a")
    put(disk, "b")
    put(disk, "c")
    assert kept(disk) == {"a", "b", "c"}


def test_a_smaller_cap_makes_room_at_the_start(disk, tmp_path):
    for key in "abc":
        put(disk, key)
    DiskCache(tmp_path / "cache", 10)
    assert kept(disk) == {"c"}


# The cap


def test_clips_of_another_mount_count_and_go_in_the_order_of_their_use(disk, other):
    put(disk, "a")
    put(other, "b")
    put(disk, "c")
    assert disk.used == other.used == 30
    read(other, "a")
    put(disk, "d")
    put(other, "e")
    assert kept(disk) == {"a", "d", "e"}
    assert disk.used == other.used == 30


def test_what_is_on_its_way_counts_and_makes_room_before_it_comes(disk, other):
    for key in "abc":
        put(disk, key)
    known, unknown = disk.create(), other.create()
    known.reserve(10)
    assert (kept(disk), disk.used) == ({"b", "c"}, 30)
    unknown.write(b"x" * 5, 0)
    assert (kept(disk), disk.used) == ({"c"}, 25)
    unknown.write(b"x" * 10, 5)
    assert (kept(disk), other.used) == (set(), 25)
    known.discard()
    assert other.used == 15
    disk.keep(unknown, "d")
    assert (kept(disk), disk.used) == ({"d"}, 15)


def test_what_was_set_aside_for_more_than_came_is_given_back(disk):
    part = disk.create()
    part.reserve(30)
    part.write(b"audio", 0)
    disk.keep(part, "a")
    assert (disk.used, disk.size("a")) == (5, 5)


def test_what_is_open_stays_and_what_is_closed_goes(disk, other):
    for key in "abc":
        put(disk, key)
    opened = disk.open("a")
    put(other, "d", b"x" * 30)
    assert kept(disk) == {"a", "d"}
    assert disk.used == 40
    del opened
    put(DiskCache(disk.root, 30), "e")
    assert kept(disk) == {"e"}
    assert disk.used == 10


def test_what_is_closed_while_a_clip_comes_goes_when_it_is_here(disk):
    put(disk, "a", b"x" * 30)
    opened = disk.open("a")
    part = disk.create()
    part.write(b"x", 0)
    assert kept(disk) == {"a"}
    del opened
    disk.keep(part, "b")
    assert kept(disk) == {"b"}


def test_what_is_open_can_be_removed_because_it_is_damaged(disk):
    put(disk, "a")
    opened = disk.open("a")
    disk.remove("a")
    assert (kept(disk), disk.used) == (set(), 0)
    assert os.pread(opened.number, 99, 0) == b"x" * 10


def test_a_clip_that_is_used_while_others_go_is_not_the_next_to_go(disk, other):
    for key in "abc":
        put(disk, key)
    put(disk, "d")  # the order in which clips go is known from here on
    read(other, "b")
    put(disk, "e")
    put(disk, "f")
    assert kept(disk) == {"b", "e", "f"}


@pytest.mark.parametrize("left", [b"", b"odd", b"\0" * 8], ids=["empty", "odd", "wrong"])
def test_a_count_that_was_lost_is_taken_anew(disk, left):
    for key in "abc":
        put(disk, key)
    (disk.root / "used").write_bytes(left)
    if left == b"\0" * 8:
        DiskCache(disk.root, 30)
    assert disk.used == 30
    put(disk, "d")
    assert kept(disk) == {"b", "c", "d"}


FILL = """
import random, sys
from pathlib import Path
from histfs.audio.disk_cache import DiskCache

root, cap, name = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
disk, odds = DiskCache(root, cap), random.Random(name)
sys.stdin.readline()
for number in range(150):
    size = odds.randrange(1, 2000)
    part = disk.create()
    if number % 3:
        part.reserve(size)
    for offset in range(0, size, 500):
        part.write(b"x" * min(500, size - offset), offset)
    if number % 7:
        disk.keep(part, f"{name}{number}")
        assert disk.size(f"{name}{number}") == size, "it went at once"
    else:
        part.discard()
    assert disk.used <= cap, disk.used
"""


def test_processes_that_fill_it_at_once_stay_under_the_cap_together(tmp_path):
    cap = 20_000
    disk = DiskCache(tmp_path, cap)
    fillers = [
        subprocess.Popen(
            [sys.executable, "-c", FILL, tmp_path, str(cap), name],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for name in "abc"
    ]  # fmt: skip
    for filler in fillers:
        filler.stdin.write("go\n")
        filler.stdin.flush()
    for filler in fillers:
        _, said = filler.communicate(timeout=60)
        assert filler.returncode == 0, said
    real = sum(path.stat().st_size for path in (tmp_path / "audio").glob("*/*"))
    assert cap - 4000 < real <= cap
    assert disk.used == real
    assert os.listdir(tmp_path / "incoming") == []


def test_threads_that_fill_it_at_once_stay_under_the_cap_together(tmp_path):
    disk = DiskCache(tmp_path, 1000)

    def fill(thread):
        for number in range(50):
            put(disk, f"{thread}-{number}", b"x" * (50 + number))
            assert disk.used <= 1000

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(fill, range(8)))
    assert disk.used == sum(path.stat().st_size for path in (tmp_path / "audio").glob("*/*"))


HOLD = """
import sys
from pathlib import Path
from histfs.audio.disk_cache import DiskCache

disk = DiskCache(Path(sys.argv[1]), 30)
opened = disk.open("a")
part = disk.create()
part.reserve(10)
print("here", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(disk):
    """Another process that has clip `a` open, and ten bytes of another one on their way."""
    put(disk, "a")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, disk.root],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "here\n"
        yield process
        process.kill()


def test_what_another_process_has_open_or_on_its_way_stays_until_it_is_killed(disk, holder):
    assert disk.used == 20
    put(disk, "b")
    put(disk, "c")
    DiskCache(disk.root, 20)
    assert (kept(disk), disk.used) == ({"a"}, 20)
    assert len(os.listdir(disk.root / "incoming")) == 1
    holder.kill()
    holder.wait()
    later = DiskCache(disk.root, 30)
    assert os.listdir(disk.root / "incoming") == []
    assert later.used == disk.used == 10
    put(later, "c", b"x" * 30)
    assert kept(later) == {"c"}


# A disk that takes nothing


@pytest.fixture
def tiny(tmp_path):
    """A disk of a megabyte."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a small disk")
    path = tmp_path / "tiny"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_on_a_full_disk_older_clips_make_room(tiny, caplog):
    disk = DiskCache(tiny, PLENTY)
    for number in range(8):
        put(disk, f"old{number}", b"x" * 100_000)
    put(disk, "new", b"y" * 300_000)
    assert kept(disk) == {"new", *(f"old{number}" for number in range(3, 8))}
    put(disk, "newer", b"z" * 50_000)
    assert read(disk, "new") == b"y" * 300_000
    assert disk.used <= 1 << 20
    assert (disk.full, caplog.text) == (False, "")
    assert 0 < disk.evicted_newest < time.time_ns()
    before = kept(disk)
    put(disk, "far too large", b"x" * (2 << 20))
    assert disk.full
    assert kept(disk) == before


@pytest.mark.parametrize("known", [True, False], ids=["length known", "length unknown"])
def test_on_a_full_disk_a_clip_goes_on_in_memory(tiny, known, caplog):
    disk = DiskCache(tiny, PLENTY)
    content = os.urandom(700_000)
    for _ in range(2):
        part = disk.create()
        part.write(content[:100_000], 0)
        before = part.file
        rest = tiny / "rest"
        with contextlib.suppress(OSError), rest.open("wb", buffering=0) as filler:
            while filler.write(b"x" * 4096):
                pass
        if known:
            part.reserve(len(content))
        for offset in range(100_000, len(content), 30_000):
            part.write(content[offset : offset + 30_000], offset)
        assert not disk.keep(part, "a")
        assert os.pread(part.file.number, PLENTY, 0) == content
        assert os.pread(before.number, 100_000, 0) == content[:100_000]
        assert (kept(disk), os.listdir(tiny / "incoming"), disk.used) == (set(), [], 0)
        rest.unlink()
    assert disk.full
    assert len(caplog.records) == 1
    put(disk, "a", content)
    assert not disk.full
    assert read(disk, "a") == content


def test_in_memory_there_is_room_for_what_is_open_up_to_a_limit(disk, monkeypatch):
    def full(*arguments, **named):
        raise OSError(errno.ENOSPC, "full")

    memory = MemorySpill(30)
    monkeypatch.setattr("histfs.audio.partial_file.PartialFile._create", full)
    monkeypatch.setattr(disk, "_memory", memory)
    parts = [disk.create() for _ in range(3)]
    parts[0].write(b"x" * 10, 0)
    parts[1].reserve(20)
    with pytest.raises(NoSpace, match="memory"):
        parts[2].write(b"x", 0)
    del parts[0]
    parts[1].write(b"x" * 10, 0)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_can_look_in_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        disk = DiskCache(tmp_path / "new" / "cache", 30)
        put(disk, "a")
        part = disk.create()
    finally:
        os.umask(before)
    assert part.on_disk
    assert os.listdir(disk.root / "incoming")
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
    (inside,) = (path for path in tmp_path.rglob("*") if path.is_file() and path.name != "used")
    assert inside.resolve().is_relative_to(disk.root / "audio")
    disk.remove(key_of(item_id))
    assert kept(disk) == set()


@pytest.mark.parametrize("what", ["a file in its place", "a file above it"])
def test_a_directory_that_can_not_be_made_is_an_error_of_the_cache(tmp_path, what):
    (tmp_path / "file").write_text("")
    root = tmp_path / "file" if what == "a file in its place" else tmp_path / "file" / "cache"
    with pytest.raises(CacheFailed, match=str(root)):
        DiskCache(root, 30)
