"""Downloads without a waiting reader end, and none exceeds the limit of the user."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from histfs.audio import download_rate
from histfs.core.errors import ClipTooLarge, DeadlineExceeded, TimedOut
from histfs.core.waiting import Waiter
from tests.audio.conftest import TIMEOUT
from tests.support.eventually import eventually
from tests.support.memory import MemorySource


class DrippingSource(MemorySource):
    """A source whose audio comes a few bytes at a time, for as long as they are read.

    Args:
        size: bytes that come at once.
        pause: seconds after them.
        length: what the stream says of its length.
        total: bytes after which it ends.
    """

    def __init__(self, size=1, pause=0.02, length=None, total=1 << 40):
        super().__init__()
        self._size = size
        self._pause = pause
        self._length = length
        self._total = total
        self.open = 0
        self.lock = threading.Lock()

    @contextlib.contextmanager
    def audio(self, item_id):
        self._called("audio", item_id)
        with self.lock:
            self.open += 1
        try:
            yield _Dripping(self._size, self._pause, self._length, self._total)
        finally:
            with self.lock:
                self.open -= 1


class _Dripping:
    throttled = False

    def __init__(self, size, pause, length, total):
        self._size, self._pause, self.length, self._total = size, pause, length, total

    def chunks(self):
        sent = 0
        while sent < self._total:
            yield b"\xff\xfb\x90\x64" if not sent else bytes(self._size)
            sent += self._size
            time.sleep(self._pause)


@pytest.fixture
def soon(monkeypatch):
    """Shorten the window in which abandoned downloads are measured."""
    monkeypatch.setattr(download_rate, "_WINDOW", 0.2)


def abandon(world, item):
    with pytest.raises((DeadlineExceeded, TimedOut)):
        world.store.open(item, Waiter(0.1))


def test_an_abandoned_download_that_drips_ends_and_leaves_nothing(make_world, soon):
    source = DrippingSource()
    world = make_world(source)
    abandon(world, world.item())
    eventually(lambda: source.open == 0)
    eventually(lambda: not world.unfinished() and not world.store.fetching)
    assert world.disk.used == 0


def test_an_abandoned_download_that_makes_progress_goes_on(make_world, soon):
    source = DrippingSource(size=1000, pause=0.05, total=20_000)
    world = make_world(source)
    abandon(world, world.item())
    eventually(lambda: world.kept() == {"a"})
    assert source.count("audio") == 1


def test_what_is_fetched_ahead_and_drips_ends(make_world, soon):
    source = DrippingSource()
    world = make_world(source)
    world.store.content(world.item(), on_demand=False)
    eventually(lambda: source.count("audio") == 1)
    eventually(lambda: source.open == 0 and not world.unfinished())


def test_a_slow_download_that_is_waited_for_goes_on(make_world, soon):
    source = DrippingSource(size=1, pause=0.05, total=30)
    world = make_world(source)
    assert world.store.fetch(world.item(), Waiter(TIMEOUT)) == 33
    assert source.count("audio") == 1


def test_many_abandoned_downloads_take_few_threads_and_all_end(make_world, soon):
    source = DrippingSource()
    world = make_world(source, connections=4)
    before = threading.active_count()
    most = 0
    for number in range(100):
        with pytest.raises(DeadlineExceeded):
            world.store.open(world.item(f"item{number}"), Waiter(0.01))
        most = max(most, threading.active_count() - before)
        assert len(world.unfinished()) <= 8
    assert most <= 8
    eventually(lambda: source.open == 0 and not world.unfinished() and not world.store.fetching)
    assert threading.active_count() - before <= 4


@pytest.mark.parametrize("length", [None, 101], ids=["length unknown", "length known"])
def test_a_clip_larger_than_the_limit_is_not_fetched(make_world, length):
    source = DrippingSource(size=10, pause=0, length=length, total=101)
    world = make_world(source, largest=100)
    with pytest.raises(ClipTooLarge, match="--max-clip-size"):
        world.store.open(world.item(), Waiter(TIMEOUT))
    eventually(lambda: not world.unfinished())
    assert source.count("audio") == 1
    assert (world.kept(), world.disk.used) == (set(), 0)
