"""Warming the cache: the newest clips are downloaded, as many as fit.

Cached clips get times of last use in the order of their dates first, so that the oldest are evicted
and never a newer one.

Threads: workers fetch the clips; `SingleFlight` is their pool of daemon threads, and `AudioCache`
sees to it that each clip is downloaded once. All state is of the iterating thread.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import NamedTuple

from histfs.audio.audio_cache import AudioCache
from histfs.core.errors import ACCOUNT_WIDE, Missing, NoAttachment, NoAudio, NoSpace, SourceError
from histfs.core.item import Item
from histfs.core.single_flight import SingleFlight
from histfs.core.waiting import Waiter

#: Consecutive failures of the server or the network after which the run ends.
_MAX_FAILURES = 20
#: Nanoseconds between the times of last use of two clips.
STEP = 1000

log = logging.getLogger(__name__)


class WarmedClip(NamedTuple):
    """The result for one clip.

    Attributes:
        item: whose clip.
        size: its bytes in the cache; None when it isn't there.
        fetched: whether it was downloaded just now.
        error: why the download failed.
    """

    item: Item
    size: int | None = None
    fetched: bool = False
    error: SourceError | None = None


class FailuresInARow:
    """Logs the failures of clips, and ends a run when too many of them concern all clips."""

    def __init__(self) -> None:
        self._number = 0

    def reset(self) -> None:
        """Begin again, after a clip has come."""
        self._number = 0

    def note(self, item: Item, error: SourceError) -> None:
        """Log a failure.

        Raises:
            SourceError: the server or the network fails, not a single clip.
        """
        if isinstance(error, (Missing, NoAudio, NoAttachment)):
            log.info("there is no audio of %s: %s", item.key, error)
            return
        log.warning("the audio of %s can't be fetched: %s", item.key, error)
        self._number = self._number + 1 if isinstance(error, ACCOUNT_WIDE) else 0
        if self._number >= _MAX_FAILURES:
            raise error


class _Fetch(NamedTuple):
    """A clip that is being fetched, and its expected bytes."""

    item: Item
    expected: int


class CacheWarmup:
    """One run through all clips.

    Args:
        audio: the cache.
        items: returns all items, newest first, at each call; the attachments of an item, as the
            cache knows them, follow it.
        cap: bytes that the cache may hold.
        threads: how many clips are fetched at once.

    Attributes:
        full: whether the run ended because the next clip would not fit.
        taken: bytes of the clips that are cached, and expected bytes of those being fetched.
    """

    def __init__(
        self, audio: AudioCache, items: Callable[[], Iterator[Item]], cap: int, threads: int
    ) -> None:
        self.full = False
        self._audio = audio
        self._items = items
        self._cap = cap
        self._threads = threads
        self._now = time.time_ns()
        self.taken = 0
        self._failures = FailuresInARow()
        self._in_flight: dict[Future[int], _Fetch] = {}
        self._done: SimpleQueue[Future[int]] = SimpleQueue()

    def run(self) -> Iterator[WarmedClip]:
        """Yield the result for each clip, in the order in which the fetches end.

        Raises:
            NoSpace, CacheFailed: the disk is full, so that the next clip would evict a newer one;
                or it failed.
            SourceError: the server or the network fails, not a single clip.
        """
        for place, item in enumerate(self._items()):
            self._set_last_used(place, item)
        with contextlib.closing(SingleFlight("fill", self._threads)) as flights:
            for place, item in enumerate(self._items()):
                size = self._audio.cached_size(item)
                expected = size or self._audio.sizes.size(item).size
                # A clip that is being fetched may be smaller than expected.
                while self._in_flight and (
                    self._exceeds_cap(expected) or (size is None and self._all_workers_busy)
                ):
                    yield self._next_result()
                if self._audio.disk.evicted_newest > self._last_used(place):
                    raise NoSpace(f"no space left for more clips in {self._audio.disk.root}")
                if self._exceeds_cap(expected):
                    self.full = True
                    break
                self.taken += expected
                if size is None:
                    self._start(flights, place, item, expected)
                else:
                    yield WarmedClip(item, size)
            while self._in_flight:
                yield self._next_result()

    @property
    def _all_workers_busy(self) -> bool:
        return len(self._in_flight) >= self._threads

    def _exceeds_cap(self, size: int) -> bool:
        return self.taken + size > self._cap

    def _start(self, flights: SingleFlight, place: int, item: Item, expected: int) -> None:
        future = flights.submit(object(), partial(self._fetch, place, item))
        self._in_flight[future] = _Fetch(item, expected)
        future.add_done_callback(self._done.put)

    def _fetch(self, place: int, item: Item) -> int:
        # A download ends within the timeouts of the source.
        size = self._audio.fetch(item, Waiter(math.inf))
        self._set_last_used(place, item)
        return size

    def _next_result(self) -> WarmedClip:
        """Wait for the next fetch that ends."""
        future = self._done.get()
        item, expected = self._in_flight.pop(future)
        self.taken -= expected
        try:
            size = future.result()
        except SourceError as error:
            self._failures.note(item, error)
            return WarmedClip(item, error=error)
        self.taken += size
        self._failures.reset()
        return WarmedClip(item, size, fetched=True)

    def _set_last_used(self, place: int, item: Item) -> None:
        self._audio.disk.set_last_used(item.key, self._last_used(place))

    def _last_used(self, place: int) -> int:
        """Return the time of last use that the clip at a place in the list gets."""
        return self._now - place * STEP
