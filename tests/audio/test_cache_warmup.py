"""Filling the cache: the newest clips, as many as fit, each fetched once."""

from __future__ import annotations

import contextlib
import errno
import os
import threading

import pytest

from histfs.audio.cache_warmup import CacheWarmup
from histfs.core.errors import (
    BadAnswer,
    KeyRefused,
    Missing,
    NoSpace,
    RateLimited,
    ServerFailed,
    Unreachable,
)
from tests.audio.conftest import PLENTY, TIMEOUT
from tests.support.memory import MemorySource

#: Bytes of every clip.
SIZE = len("audio\0of a")


class OddSource(MemorySource):
    """A source that fails for some items.

    Attributes:
        errors: what asking for the audio of an item raises.
        together: how many must ask at once before any gets an answer.
    """

    def __init__(self, errors=None, together=1):
        super().__init__()
        self.errors = errors or {}
        self._barrier = threading.Barrier(together)

    @contextlib.contextmanager
    def audio(self, item_id):
        with super().audio(item_id) as stream:
            self._barrier.wait(TIMEOUT)
            if item_id in self.errors:
                raise self.errors[item_id]
            yield stream


def fill(world, names, cap=PLENTY, threads=1, size=SIZE):
    """Fill the cache with items, newest first, and return the run and what came of each."""
    items = [world.item(name, size) for name in names]
    filling = CacheWarmup(world.store, lambda: iter(items), cap, threads)
    return filling, list(filling.run())


def fetched(clips):
    return [clip.item.id for clip in clips if clip.fetched]


@pytest.mark.parametrize("tells_length", [True, False])
def test_all_clips_are_fetched_newest_first(make_world, tells_length):
    world = make_world(MemorySource(tells_length=tells_length))
    filling, clips = fill(world, "cab")
    assert [call.argument for call in world.source.calls] == ["c", "a", "b"]
    assert [clip.size for clip in clips] == [SIZE] * 3
    assert world.kept() == set("abc")
    assert not filling.full


def test_what_is_in_the_cache_is_not_fetched_again(world):
    fill(world, "bd")
    _, clips = fill(world, "abcd")
    assert fetched(clips) == ["a", "c"]
    assert [clip.size for clip in clips if not clip.fetched] == [SIZE] * 2


def test_a_damaged_clip_is_fetched_again(world, caplog):
    fill(world, "a")
    (path,) = (world.disk.root / "audio").glob("*/*")
    path.write_bytes(b"aud\0o")
    assert fetched(fill(world, "a")[1]) == ["a"]
    assert "damaged" in caplog.text


def test_so_many_are_fetched_at_once(make_world):
    world = make_world(OddSource(together=3))
    assert len(fill(world, "abcdef", threads=3)[1]) == 6


# What fits


def test_it_ends_where_the_next_clip_would_not_fit(make_world):
    world = make_world(cap=3 * SIZE - 1)
    filling, clips = fill(world, "abcd", cap=3 * SIZE - 1)
    assert fetched(clips) == ["a", "b"]
    assert world.kept() == set("ab")
    assert filling.full


def test_older_clips_make_room_for_newer_ones_and_nothing_is_fetched_twice(make_world):
    cap = 2 * SIZE
    world = make_world(cap=cap)
    fill(world, "bcd", cap)
    assert world.kept() == set("bc")
    assert fetched(fill(world, "abcd", cap)[1]) == ["a"]
    assert world.kept() == set("ab")
    assert fetched(fill(world, "abcd", cap)[1]) == []


def test_what_was_played_last_is_no_reason_to_remove_a_newer_clip(make_world):
    cap = 2 * SIZE
    world = make_world(cap=cap)
    fill(world, "bc", cap)
    world.read(world.item("c"))
    assert fetched(fill(world, "abc", cap)[1]) == ["a"]
    assert world.kept() == set("ab")


def test_what_is_played_later_takes_the_place_of_the_oldest_clip(make_world):
    world = make_world(cap=3 * SIZE)
    fill(world, "abcd", 3 * SIZE)
    world.read(world.item("z"))
    assert world.kept() == set("abz")


def test_a_size_that_is_not_known_is_estimated_until_the_clip_has_come(make_world):
    estimate = make_world().item().estimate
    # Room for all by their sizes, and never for two by the estimates of their items.
    cap = estimate + SIZE
    world = make_world(cap=cap)
    filling, clips = fill(world, "abcd", cap, threads=4, size=None)
    assert fetched(clips)[0] == "a"
    assert sorted(fetched(clips)) == list("abcd")
    assert not filling.full
    assert filling.taken == 4 * SIZE


# What goes wrong


@pytest.mark.parametrize("error", [ServerFailed("500"), BadAnswer("cut"), Unreachable("gone")])
def test_a_clip_that_fails_is_told_in_one_line_and_the_others_come(make_world, caplog, error):
    world = make_world(OddSource({"b": error}))
    _, clips = fill(world, "abc")
    failed = [(clip.item.id, repr(clip.error)) for clip in clips if clip.error]
    assert failed == [("b", repr(error))]
    assert world.kept() == set("ac")
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert lines == [f"the audio of b can't be fetched: {error}"]


def test_a_clip_that_is_not_there_is_no_warning(make_world, caplog):
    world = make_world(OddSource({"b": Missing("gone")}))
    _, clips = fill(world, "abc")
    assert isinstance(clips[1].error, Missing)
    assert world.kept() == set("ac")
    assert [r for r in caplog.records if r.levelname == "WARNING"] == []


@pytest.mark.parametrize("error", [Unreachable("gone"), RateLimited("slow"), KeyRefused("no")])
def test_a_server_that_fails_for_all_is_not_asked_for_each(world, error):
    world.source.fail("audio", error)
    with pytest.raises(type(error)):
        fill(world, [f"item{number}" for number in range(100)], threads=4)
    assert world.fetched < 50


def test_errors_of_many_single_clips_do_not_end_it(make_world):
    names = [f"item{number}" for number in range(50)]
    world = make_world(OddSource({name: ServerFailed("500") for name in names[:-1]}))
    assert fetched(fill(world, names, size=len("audio\0of item49"))[1]) == ["item49"]


def test_a_full_disk_ends_it_when_newer_clips_would_have_to_go(make_world, monkeypatch):
    """The disk holds three clips: older ones make room for two, and then it ends."""
    world = make_world()
    for name in "xy":
        world.read(world.item(name))
    world.read(world.item("a"))
    grow = os.posix_fallocate

    def small(*arguments):
        if len(world.kept()) >= 3:
            raise OSError(errno.ENOSPC, "full")
        grow(*arguments)

    monkeypatch.setattr(os, "posix_fallocate", small)
    before = world.fetched
    with pytest.raises(NoSpace):
        fill(world, "abcdefxy")
    assert world.fetched - before == 3
    assert world.kept() == {"a", "b", "d"}
