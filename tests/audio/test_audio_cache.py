"""Clips that are fetched, kept, found again and never taken for whole when they aren't."""

from __future__ import annotations

import errno
import gc
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from histfs.core.errors import (
    BadAnswer,
    CacheFailed,
    DeadlineExceeded,
    Interrupted,
    KeyRefused,
    Missing,
    NoSpace,
    NotForCrawlers,
    RateLimited,
    ServerFailed,
    SourceError,
    Unreachable,
)
from histfs.core.waiting import Waiter
from tests.audio.conftest import TIMEOUT, StepSource
from tests.support.eventually import eventually
from tests.support.memory import MemorySource

CUT = BadAnswer("the answer was cut short")


def waiter():
    return Waiter(TIMEOUT)


def crawlers():
    """Return the waiter of a program for which nothing is fetched."""
    return Waiter(TIMEOUT, may_fetch=lambda: False)


def open_files():
    """Return the names of the files that this process has open."""
    links = Path("/proc/self/fd").iterdir()
    return [os.readlink(link) for link in links if link.is_symlink()]


def unasked():
    raise AssertionError("the caller was looked up")


# Fetching


def test_a_clip_is_fetched_once_and_then_read_from_disk(make_world):
    world = make_world()
    assert world.read(world.item()) == b"audio\0of a"
    assert world.read(world.item()) == b"audio\0of a"
    later = make_world(world.source)
    assert later.read(later.item()) == b"audio\0of a"
    assert world.fetched == 1
    assert world.unfinished() == []


def test_many_readers_share_one_download(world):
    item = world.item()
    with ThreadPoolExecutor(16) as readers, world.source.held("audio") as gate:
        reads = [readers.submit(world.read, item) for _ in range(16)]
        gate.wait_until_reached()
        gate.opened.set()
        assert {read.result(TIMEOUT) for read in reads} == {b"audio\0of a"}
    assert world.fetched == 1


def test_a_read_gives_the_piece_that_was_asked_for(world):
    file = world.store.open(world.item(), waiter())
    pieces = [file.read(offset, size, waiter()) for offset, size in [(0, 5), (6, 2), (8, 99)]]
    assert pieces == [b"audio", b"of", b" a"]
    assert file.read(10, 5, waiter()) == file.read(99, 5, waiter()) == b""


def test_an_open_file_can_be_read_after_it_was_closed_by_another_reader(world):
    one, two = (world.store.open(world.item(), waiter()) for _ in range(2))
    one.close()
    assert two.read(0, 99, waiter()) == b"audio\0of a"


def test_with_a_known_length_bytes_are_read_before_the_end_has_come(make_world):
    source = StepSource([b"\1irst", b"second"], length=11)
    world = make_world(source)
    source.go()
    file = world.store.open(world.item(), waiter())
    assert file.size == 11
    assert file.read(0, 5, waiter()) == b"\1irst"
    assert world.kept() == set()
    source.go()
    assert file.read(0, 11, waiter()) == b"\1irstsecond"


def test_with_an_unknown_length_open_waits_for_the_end(make_world):
    source = StepSource([b"\1irst", b"second"])
    world = make_world(source)
    source.go()
    with pytest.raises(DeadlineExceeded):
        world.store.open(world.item(), Waiter(0.05))
    source.go()
    assert world.store.open(world.item(), waiter()).size == 11
    assert world.fetched == 1


def test_a_reader_that_is_interrupted_leaves_the_download_to_the_others(make_world):
    source = StepSource([b"aud\0o"])
    world = make_world(source)
    with pytest.raises(Interrupted):
        world.store.open(world.item(), Waiter(TIMEOUT, lambda: True))
    source.go()
    assert world.read(world.item()) == b"aud\0o"
    assert world.fetched == 1


@pytest.mark.parametrize("written", [1, 3])
def test_a_disk_that_takes_few_bytes_at_once_gets_them_all(world, monkeypatch, written):
    write_to_parts(monkeypatch, lambda rest: rest[:written])
    assert world.read(world.item()) == b"audio\0of a"


# Crawlers


@pytest.mark.parametrize("size", [None, 10], ids=["size unknown", "size known"])
def test_a_crawler_can_not_open_what_is_not_here(world, size):
    with pytest.raises(NotForCrawlers, match="audio of a"):
        world.store.open(world.item(size=size), crawlers())
    assert world.fetched == 0
    assert world.read(world.item(size=size)) == b"audio\0of a"


def test_a_crawler_reads_what_is_here_also_after_it_was_removed(world):
    world.read(world.item("a"))
    file = world.store.open(world.item("a"), crawlers())
    world.disk.remove("a")
    assert file.read(0, 10, crawlers()) == b"audio\0of a"
    with pytest.raises(NotForCrawlers):
        world.store.open(world.item("a"), crawlers())
    assert world.fetched == 1


def test_a_crawler_does_not_wait_for_a_download_of_others(world):
    item = world.item()
    with ThreadPoolExecutor(1) as readers, world.source.held("audio") as gate:
        reading = readers.submit(world.read, item)
        gate.wait_until_reached()
        with pytest.raises(NotForCrawlers):
            world.store.open(item, crawlers())
        gate.opened.set()
        assert reading.result(TIMEOUT) == b"audio\0of a"


def test_who_calls_is_asked_for_only_where_there_is_audio_to_fetch(make_world):
    world = make_world(exact=True)
    world.read(world.item())
    assert world.store.size(world.item(), Waiter(TIMEOUT, may_fetch=unasked)).size == 10
    file = world.store.open(world.item(), Waiter(TIMEOUT, may_fetch=unasked))
    assert file.read(0, 10, Waiter(TIMEOUT, may_fetch=unasked)) == b"audio\0of a"
    estimates = make_world(exact=False)
    other = world.item("b")
    assert estimates.store.size(other, Waiter(TIMEOUT, may_fetch=unasked)).size > other.estimate


def test_with_exact_sizes_a_crawler_gets_the_estimate_of_what_is_not_here(make_world):
    world = make_world(exact=True)
    item = world.item()
    assert world.store.size(item, crawlers()).size > item.estimate
    assert world.fetched == 0
    assert world.size(item) == 10
    assert world.store.size(item, crawlers()).size == 10


# What goes wrong


@pytest.mark.parametrize(
    ("pieces", "length"),
    [([CUT], None), ([b"\1alf", CUT], None), ([b"\1alf", CUT], 8), ([], None), ([], 0)],
    ids=["at once", "in the middle", "of a known length", "empty", "empty and says so"],
)
def test_a_broken_download_is_told_to_every_reader_and_never_kept(make_world, pieces, length):
    source = StepSource(pieces, length=length)
    world = make_world(source)
    item = world.item(size=8)
    files = [world.store.open(item, waiter()) for _ in range(3)]
    with ThreadPoolExecutor(3) as readers:
        reads = [readers.submit(file.read, 0, 8, waiter()) for file in files]
        source.go(99)
        for read in reads:
            assert isinstance(read.exception(TIMEOUT), BadAnswer)
    assert (world.kept(), world.unfinished(), world.sizes) == (set(), [], {})


@pytest.mark.parametrize("length", [None, 8])
def test_a_body_that_breaks_is_asked_for_again_and_its_readers_get_the_whole(make_world, length):
    source = StepSource(
        [b"\1u", CUT], [b"\1", b"ud", Unreachable("gone")], [b"\1udio!!!"], length=length
    )
    source.go(99)
    world = make_world(source)
    assert [world.read(world.item()) for _ in range(2)] == [b"\1udio!!!"] * 2
    assert world.store.fetch(world.item(), waiter()) == 8
    assert world.fetched == 3
    assert world.checksums == {"a": hashlib.sha256(b"\1udio!!!").digest()}


@pytest.mark.parametrize("other", [[b"\1UDIO!!!"], [b"\1u"]], ids=["other bytes", "fewer bytes"])
def test_a_clip_that_is_another_one_when_it_is_asked_for_again_is_an_error(make_world, other):
    source = StepSource([b"\1udi", CUT], other, length=8)
    world = make_world(source)
    file = world.store.open(world.item(size=8), waiter())
    source.go()
    assert file.read(0, 4, waiter()) == b"\1udi"
    source.go(99)
    with pytest.raises(SourceError):
        file.read(0, 8, waiter())
    assert (world.kept(), world.unfinished()) == (set(), [])


@pytest.mark.parametrize("error", [KeyRefused("no"), Missing("gone"), RateLimited("slow down")])
def test_what_another_try_would_not_help_is_asked_once(world, error):
    world.source.fail("audio", error)
    with pytest.raises(type(error)):
        world.read(world.item())
    assert world.fetched == 1


def test_after_a_failure_the_next_open_tries_again(world):
    item = world.item()
    world.source.fail("audio", Unreachable("no network"))
    with pytest.raises(Unreachable, match="no network"):
        world.read(item)
    world.source.recover()
    assert world.read(item) == b"audio\0of a"


def test_audio_that_has_changed_is_an_error_for_who_has_it_open_and_then_the_new_one(world):
    item = world.item(size=5)
    file = world.store.open(item, waiter())
    with pytest.raises(BadAnswer, match="has changed"):
        file.read(0, 5, waiter())
    world.flush()
    assert world.sizes == {"a": 10}
    assert world.checksums == {"a": hashlib.sha256(b"audio\0of a").digest()}
    assert world.read(world.item()) == b"audio\0of a"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("length", [10, None])
def test_on_a_full_disk_a_clip_is_read_and_nothing_is_left_on_it(
    make_world, monkeypatch, code, length
):
    source = StepSource([b"aud\0o", CUT], [b"aud\0o", b"\0of a"], length=length)
    source.go(99)
    world = make_world(source)
    writes = []

    def full(rest):
        writes.append(rest)
        if len(writes) > 1:
            raise OSError(code, "full")
        return rest

    write_to_parts(monkeypatch, full)
    files = [world.store.open(world.item(), waiter()) for _ in range(2)]
    for file in files:
        assert file.read(0, 10, waiter()) == b"aud\0o\0of a"
    world.flush()
    with pytest.raises(NoSpace, match="not kept"):
        world.store.fetch(world.item(), waiter())
    assert (world.kept(), world.unfinished(), world.disk.used) == (set(), [], 0)
    assert world.checksums == {"a": hashlib.sha256(b"aud\0o\0of a").digest()}
    monkeypatch.undo()
    assert world.store.fetch(world.item(), waiter()) == 10
    assert world.kept() == {"a"}


def test_a_download_that_breaks_gives_its_bytes_back(make_world):
    source = StepSource([b"\1alf", CUT], length=8)
    source.go(99)
    world = make_world(source)
    with pytest.raises(BadAnswer):
        world.store.fetch(world.item(), waiter())
    assert (world.disk.used, world.unfinished()) == (0, [])


def test_a_download_that_breaks_has_nothing_open_even_before_garbage_is_collected(make_world):
    source = StepSource([b"\1alf", CUT], length=8)
    source.go(99)
    world = make_world(source)
    item = world.item(size=8)
    gc.disable()
    try:
        file = world.store.open(item, waiter())
        with pytest.raises(BadAnswer):
            file.read(0, 8, waiter())
        file.close()
        eventually(lambda: not [name for name in open_files() if "incoming" in name])
    finally:
        gc.enable()


def test_a_disk_that_fails_is_an_error_of_the_cache(world, monkeypatch):
    def broken(rest):
        raise OSError(errno.EIO, "Input/output error")

    write_to_parts(monkeypatch, broken)
    with pytest.raises(CacheFailed, match="Input/output error"):
        world.read(world.item())


def test_a_clip_is_served_though_the_catalog_can_not_keep_its_size(make_world, tmp_path, caplog):
    world = make_world()

    world.table.error = NoSpace("no space left for the catalog")
    store = world.store
    assert store.open(world.item(), waiter()).size == 10
    assert store.size(world.item(), waiter()).size == 10
    world.flush()
    assert "no space left" in caplog.text


def write_to_parts(monkeypatch, act):
    """Let writing to files in the making do something else with the bytes."""

    def patch(name):
        real = getattr(os, name)

        def write(number, rest, *offset):
            is_part = os.readlink(f"/proc/self/fd/{number}").endswith(".part")
            return real(number, act(rest) if is_part else rest, *offset)

        monkeypatch.setattr(os, name, write)

    patch("write")
    patch("pwrite")


# Sizes


def test_a_size_is_an_estimate_until_the_clip_was_opened_and_then_exact(world):
    item = world.item()
    assert world.size(item) > item.estimate
    assert world.fetched == 0
    world.store.open(item, waiter())
    # Of the same moment, from before the size was known: it must not fall back to the estimate.
    assert world.size(item) == 10
    world.flush()
    assert world.sizes == {"a": 10}


def test_a_size_that_somebody_was_told_is_no_estimate_again_when_the_clip_breaks(make_world):
    source = StepSource([b"\1alf", CUT], length=8)
    source.go(99)
    world = make_world(source)
    item = world.item()
    assert world.size(item) > item.estimate > 8
    file = world.store.open(item, waiter())
    with pytest.raises(BadAnswer):
        file.read(0, 8, waiter())
    world.flush()
    assert world.size(item) == file.size == 8


def test_a_known_size_makes_open_cost_nothing_and_the_first_read_fetches(world):
    file = world.store.open(world.item(size=10), waiter())
    assert (file.size, world.fetched) == (10, 0)
    assert file.read(0, 10, waiter()) == b"audio\0of a"
    assert world.fetched == 1


def test_with_a_known_size_bytes_are_read_before_the_end_has_come(make_world):
    source = StepSource([b"\1irst", b"second"])
    world = make_world(source)
    source.go()
    file = world.store.open(world.item(size=11), waiter())
    assert file.read(0, 5, waiter()) == b"\1irst"
    source.go()
    assert file.read(5, 6, waiter()) == b"second"


@pytest.mark.parametrize("size", [7, 15])
def test_the_last_bytes_of_a_clip_of_another_size_than_is_known_are_an_error(make_world, size):
    source = StepSource([b"\1irst", b"second"])
    world = make_world(source)
    source.go(2)
    file = world.store.open(world.item(size=size), waiter())
    for _ in range(2):
        with pytest.raises(BadAnswer, match="has changed"):
            file.read(0, size, waiter())
        world.flush()
    assert world.read(world.item()) == b"\1irstsecond"
    assert world.fetched == 1


def test_exact_sizes_fetch_on_stat(make_world):
    world = make_world(exact=True)
    assert world.size(world.item()) == 10
    assert world.size(world.item()) == 10
    assert world.fetched == 1


def test_exact_sizes_leave_no_clip_open(make_world):
    world = make_world(exact=True)
    items = [world.item(f"item{number}") for number in range(40)]
    before = len(os.listdir("/proc/self/fd"))
    for item in items:
        assert world.size(item) == len(f"audio\0of {item.id}")
        world.store.fetch(item, waiter())
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before + 10


def test_the_size_of_a_clip_that_is_on_disk_is_learnt_without_fetching(make_world):
    before = make_world()
    before.read(before.item())
    world = make_world(MemorySource())
    assert world.store.open(world.item(), waiter()).size == 10
    assert (world.sizes, world.fetched) == ({"a": 10}, 0)


def test_a_clip_that_another_mount_downloaded_has_its_exact_size_once_it_is_opened(make_world):
    other = make_world()
    world = make_world(other.source)
    item = world.item()
    assert not world.store.size(item, waiter()).is_exact
    other.read(item)
    assert world.store.open(item, waiter()).size == 10
    assert world.store.size(item, waiter()) == (10, True)
    assert other.fetched == 1


def test_fetching_has_the_whole_clip_on_disk(make_world):
    source = StepSource([b"\1irst", b"second"], length=11)
    source.go(2)
    world = make_world(source)
    assert world.store.fetch(world.item(), waiter()) == 11
    assert world.kept() == {"a"}
    assert world.store.fetch(world.item(), waiter()) == 11
    assert world.fetched == 1


@pytest.mark.parametrize("length", [11, None])
def test_who_has_read_all_can_wait_until_it_is_kept(make_world, monkeypatch, length):
    source = StepSource([b"\1irst", b"second"], length=length)
    source.go(2)
    world = make_world(source)
    may_keep, keep = threading.Event(), world.disk.keep
    monkeypatch.setattr(world.disk, "keep", lambda *args: may_keep.wait(TIMEOUT) and keep(*args))
    file = world.store.open(world.item(), waiter())
    assert file.read(0, 11, waiter()) == b"\1irstsecond"
    world.store.flush(Waiter(0.05))
    assert world.kept() == set()
    may_keep.set()
    world.store.flush(waiter())
    assert world.kept() == {"a"}


def test_nobody_waits_for_the_rest_of_what_was_read_in_part(make_world):
    source = StepSource([b"\1irst", b"second"], length=11)
    source.go()
    world = make_world(source)
    file = world.store.open(world.item(), waiter())
    assert file.read(0, 5, waiter()) == b"\1irst"
    world.store.flush(Waiter(TIMEOUT, interrupted=lambda: pytest.fail("it waits")))
    source.go()


def test_a_clip_is_kept_when_it_is_here_and_as_large_as_it_must_be(world):
    assert world.store.cached_size(world.item()) is None
    world.read(world.item())
    assert world.store.cached_size(world.item()) == 10
    (path,) = (world.disk.root / "audio").glob("*/*")
    for content in (b"aud\0o", b""):
        path.write_bytes(content)
        assert world.store.cached_size(world.item()) is None


# What is on disk


@pytest.mark.parametrize("left", [b"", b"aud\0o", b"audio\0of a and more"])
def test_a_cached_clip_of_another_size_is_fetched_again(world, left, caplog):
    world.read(world.item())
    (path,) = (world.disk.root / "audio").glob("*/*")
    path.write_bytes(left)
    assert world.read(world.item()) == b"audio\0of a"
    assert path.read_bytes() == b"audio\0of a"
    assert "damaged" in caplog.text


def test_an_empty_cached_clip_is_fetched_again_though_its_size_is_not_known(make_world):
    world = make_world()
    world.read(world.item())
    (path,) = (world.disk.root / "audio").glob("*/*")
    path.write_bytes(b"")
    world = make_world(MemorySource())
    assert world.read(world.item()) == b"audio\0of a"


def test_a_clip_is_on_the_disk_before_it_gets_its_name(world, monkeypatch):
    # Else a power failure leaves a name with nothing, or a piece, behind it.
    synced = []
    for name in ("fsync", "fdatasync"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda fd, real=real: synced.append(os.fstat(fd).st_ino) or real(fd)
        )
    world.read(world.item())
    (path,) = (world.disk.root / "audio").glob("*/*")
    assert path.stat().st_ino in synced


@pytest.mark.parametrize("size", [None, 10], ids=["when it is opened", "when it is read"])
def test_a_clip_that_is_open_stays_whatever_else_is_read(make_world, size):
    """The reader that downloaded it has it open, too."""
    world = make_world(cap=10)
    files = [world.store.open(world.item("a", size), waiter())]
    assert files[0].read(0, 10, waiter()) == b"audio\0of a"
    world.flush()
    files.append(world.store.open(world.item("a"), waiter()))
    for file in files:
        world.read(world.item("b"))
        world.read(world.item("c"))
        assert "a" in world.kept()
        assert file.read(0, 10, waiter()) == b"audio\0of a"
        file.close()
    others = (world.item(f"item{number}") for number in range(10**6))
    eventually(lambda: world.store.fetch(next(others), waiter()) and "a" not in world.kept())


def test_a_read_only_cache_serves_what_it_has_and_what_it_can_not_keep(make_world, bound_by_modes):
    world = make_world()
    world.read(world.item("a"))
    directories = [path for path in world.disk.root.rglob("*") if path.is_dir()]
    for path in directories:
        path.chmod(0o500)
    for path in (world.disk.root / "audio").glob("*/*"):
        path.chmod(0o400)
    try:
        later = make_world(world.source, cap=5)
        for _ in range(2):
            assert later.read(later.item("a")) == b"audio\0of a"
            assert later.read(later.item("b")) == b"audio\0of b"
        assert later.kept() == {"a"}
        assert later.disk.used == 10
    finally:
        for path in directories:
            path.chmod(0o700)


def test_no_descriptor_is_left_open(make_world):
    world = make_world(cap=50)
    world.read(world.item("warm"))
    world.source.fail("audio", Unreachable("no network"))
    with pytest.raises(Unreachable):
        world.read(world.item("warmer"))
    world.source.recover()
    gc.collect()
    before = set(os.listdir("/proc/self/fd"))
    for number in range(200):
        item = world.item(f"item{number % 20}")
        file = world.store.open(item, waiter())
        file.read(0, 5, waiter())
        file.close()
        if number % 10 == 0:
            world.source.fail("audio", Unreachable("no network"))
            with pytest.raises(Unreachable):
                world.read(world.item(f"broken{number}"))
            world.source.recover()
    world.flush()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= len(before) + 2


def test_a_download_that_fails_is_asked_for_again_by_who_has_it_open(world):
    file = world.store.open(world.item(size=10), waiter())
    world.source.fail("audio", ServerFailed("500"))
    with pytest.raises(ServerFailed):
        file.read(0, 10, waiter())
    world.source.recover()
    assert len(file.read(0, 10, waiter())) == 10


def test_what_was_given_up_before_it_began_is_begun_for_who_comes_then(make_world):
    """The one connection is taken; the first reader of `b` gives up, the second gets it."""
    world = make_world(connections=1)
    taken, wanted = world.item("a", size=10), world.item("b", size=10)
    second = world.store.open(wanted, waiter())
    with ThreadPoolExecutor(2) as threads, world.source.held("audio") as gate:
        first = threads.submit(world.read, taken)
        gate.wait_until_reached()
        with pytest.raises(DeadlineExceeded):
            world.store.open(wanted, waiter()).read(0, 10, Waiter(0.01))
        late = threads.submit(second.read, 0, 10, waiter())
        gate.opened.set()
        assert (len(first.result(TIMEOUT)), len(late.result(TIMEOUT))) == (10, 10)


def test_a_clip_that_was_damaged_on_the_disk_is_fetched_again_before_it_is_the_last_copy(world):
    item = world.item(size=10)
    world.store.ensure_verified(item, waiter())
    world.store.ensure_verified(item, waiter())
    assert world.source.count("audio") == 1
    (place,) = (world.store.disk.root / "audio").glob("*/*")
    sound = place.read_bytes()
    place.write_bytes(sound[::-1])
    world.store.ensure_verified(item, waiter())
    assert place.read_bytes() == sound
    assert world.source.count("audio") == 2


def test_a_clip_that_is_removed_as_soon_as_it_is_kept_is_fetched_again(world, monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(world.store._refusals, "note", lambda *_: ended.wait(TIMEOUT))
    item = world.item()
    for requests in (1, 2):
        world.store.fetch(item, waiter())
        assert (world.fetched, world.kept()) == (requests, {"a"})
        world.disk.remove("a")
    ended.set()


def test_a_clip_that_is_something_else_by_now_is_not_taken_for_a_copy_of_what_it_was(world):
    item = world.item(size=10)
    world.store.ensure_verified(item, waiter())
    world.store.disk.remove(item.key)
    world.source.clips[item.id] = b"\1" * 10
    for _ in range(2):
        with pytest.raises(BadAnswer, match="not what it was"):
            world.store.ensure_verified(item, waiter())


def test_a_clip_about_to_be_deleted_is_fetched_for_who_has_it_open(world):
    item = world.item(size=10)
    file = world.store.open(item, waiter())
    world.store.fetch_for_open_files(item, waiter())
    world.source.discard(item.id)
    world.store.disk.remove(item.key)
    assert len(file.read(0, 10, waiter())) == 10
    assert world.source.count("audio") == 1


def test_a_clip_that_nobody_has_open_is_not_fetched_before_it_is_deleted(world):
    item = world.item(size=10)
    world.store.open(item, waiter()).close()
    world.store.fetch_for_open_files(item, waiter())
    assert world.source.count("audio") == 0


@pytest.mark.parametrize("deleted", [True, False])
def test_an_item_whose_audio_is_missing_is_doubted_if_it_seems_to_be_deleted(make_world, deleted):
    world = make_world(connections=1)
    item = world.item()
    if deleted:
        world.source.discard(item.id)
    else:
        world.source.fail("audio", Missing("no audio"))
    with pytest.raises(Missing):
        world.store.open(item, waiter())
    world.source.recover()
    world.read(world.item("another"))  # there is one connection: what came before has ended
    assert world.invalidated == ([item.key] if deleted else [])


def test_clips_that_are_read_in_their_order_are_fetched_ahead(make_world):
    world = make_world(ahead=8)
    items = [world.item(f"{number:02}", date=number) for number in range(20)]
    world.read(items[0])
    assert world.fetched == 1
    world.read(items[1])
    eventually(lambda: world.kept() == {"00", "01", "02", "03"})
    for item in items[2:]:
        world.read(item)
    assert world.fetched == 20


@pytest.mark.parametrize("known", [True, False], ids=["sizes known", "not known"])
def test_a_caller_that_fetches_several_at_once_gets_nothing_ahead(make_world, known):
    world = make_world(ahead=8)
    size = len(world.read(world.item("xx"))) if known else None
    items = [world.item(f"{number:02}", size, number) for number in range(20)]
    before = world.fetched
    for item in items[:8]:
        file = world.store.open(item, Waiter(TIMEOUT), read_ahead=False)
        assert file.read(0, file.size, Waiter(TIMEOUT))
        file.close()
    world.flush()
    assert world.fetched == before + 8


def test_what_is_known_to_have_no_audio_is_not_fetched_ahead(make_world):
    world = make_world(ahead=8, has_no_audio=lambda item: item.key in {"02", "03"})
    items = [world.item(f"{number:02}", date=number) for number in range(7)]
    for item in (items[0], items[1], items[4], items[5], items[6]):
        world.read(item)
    world.flush()
    assert world.kept() == {"00", "01", "04", "05", "06"}
    assert world.fetched == 5


def test_a_reader_goes_before_what_is_fetched_ahead(make_world):
    """A prefetch takes the only connection, and is left to its end; the next one comes later."""
    world = make_world(ahead=8, connections=1)
    items = [world.item(f"{number:02}", date=number) for number in range(20)]
    world.read(items[0])
    world.store.fetch(items[1], waiter())
    with world.source.held("audio") as gate:
        world.read(items[1])
        gate.wait_until_reached()
        assert {"02", "03"} <= world.store.fetching
        wanted = world.store.content(items[15])
        world.source.recover()
    assert wanted.wait_for_end(waiter()) == len(b"audio\0of 15")
    world.flush()
    asked = [call.argument for call in world.source.calls if call.method == "audio"]
    assert asked == ["00", "01", "02", "15", "03"]


def test_what_is_fetched_ahead_and_fails_is_fetched_by_who_reads_it(make_world):
    world = make_world(ahead=8)
    items = [world.item(f"{number:02}", date=number) for number in range(4)]
    world.store.fetch(items[1], waiter())
    world.read(items[0])
    world.source.fail("audio", ServerFailed("500"))
    world.read(items[1])
    eventually(lambda: world.fetched == 4)
    world.source.recover()
    eventually(lambda: world.unfinished() == [])
    assert world.read(items[2]) == b"audio\0of 02"


def test_with_exact_sizes_stats_in_order_fetch_ahead(make_world):
    world = make_world(ahead=8, exact=True)
    items = [world.item(f"{number:02}", date=number) for number in range(6)]
    for item in items[:2]:
        world.size(item)
    eventually(lambda: len(world.kept()) == 4)
