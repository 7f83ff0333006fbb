"""Filling the cache ahead of its use: the newest clips, as many as fit.

What is in the cache gets times of use in the order of its dates first, so that what has to make
room is the oldest, and never a clip that is to be kept.

Threads: `SingleFlight` of its own fetch; all else, and all state, is of the thread that iterates.
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

#: Failures in a row that concern no single clip, after which the rest would fail, too.
_HOPELESS = 20
#: Nanoseconds between the times of use of two clips.
_STEP = 1000

log = logging.getLogger(__name__)


class WarmedClip(NamedTuple):
    """What became of one clip.

    Attributes:
        item: whose it is.
        size: its bytes in the cache; None when it isn't there.
        fetched: whether it was fetched just now.
        error: why it could not be had.
    """

    item: Item
    size: int | None = None
    fetched: bool = False
    error: SourceError | None = None


class _ClipInFlight(NamedTuple):
    """A clip on its way, and the bytes that it is thought to have."""

    item: Item
    expected: int


class CacheWarmup:
    """One run through all clips.

    Args:
        audio: the cache; fetches.
        items: gives all items, newest first, each time that it is called; the attachments of one,
            as the store knows them, follow it.
        cap: bytes that the cache may hold.
        threads: how many clips are fetched at once.

    Attributes:
        full: whether it ended because the next clip would not fit.
        taken: bytes of the clips that are in the cache, or on their way into it.
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
        self._failed_in_a_row = 0
        self._in_flight: dict[Future[int], _ClipInFlight] = {}
        self._landed: SimpleQueue[Future[int]] = SimpleQueue()

    def run(self) -> Iterator[WarmedClip]:
        """Yield what became of each clip, those that were fetched as they come.

        Raises:
            NoSpace, CacheFailed: the disk is full, so that a newer clip would have to go for the
                next one; or it failed.
            SourceError: not one clip failed, but the server, or the way to it.
        """
        for place, item in enumerate(self._items()):
            self._rank(place, item)
        with contextlib.closing(SingleFlight("fill", self._threads)) as flights:
            for place, item in enumerate(self._items()):
                size = self._audio.kept(item)
                expected = size or item.size or item.estimate
                # What is on its way may turn out to be smaller than it was thought to be.
                while self._in_flight and (
                    self._too_large(expected) or (size is None and self._busy)
                ):
                    yield self._land()
                if self._audio.disk.evicted_newest > self._moment(place):
                    raise NoSpace(f"no space left for more clips in {self._audio.disk.root}")
                if self._too_large(expected):
                    self.full = True
                    break
                self.taken += expected
                if size is None:
                    self._start(flights, place, item, expected)
                else:
                    yield WarmedClip(item, size)
            while self._in_flight:
                yield self._land()

    @property
    def _busy(self) -> bool:
        return len(self._in_flight) >= self._threads

    def _too_large(self, size: int) -> bool:
        return self.taken + size > self._cap

    def _start(self, flights: SingleFlight, place: int, item: Item, expected: int) -> None:
        future = flights.submit(object(), partial(self._fetch, place, item))
        self._in_flight[future] = _ClipInFlight(item, expected)
        future.add_done_callback(self._landed.put)

    def _fetch(self, place: int, item: Item) -> int:
        # A download ends by itself, within the timeouts of the source.
        size = self._audio.fetch(item, Waiter(math.inf))
        self._rank(place, item)
        return size

    def _land(self) -> WarmedClip:
        """Wait for the next clip that has come, or has failed."""
        future = self._landed.get()
        item, expected = self._in_flight.pop(future)
        self.taken -= expected
        try:
            size = future.result()
        except SourceError as error:
            self._failed(item, error)
            return WarmedClip(item, error=error)
        self.taken += size
        self._failed_in_a_row = 0
        return WarmedClip(item, size, fetched=True)

    def _failed(self, item: Item, error: SourceError) -> None:
        if isinstance(error, (Missing, NoAudio, NoAttachment)):
            log.info("there is no audio of %s: %s", item.key, error)
            return
        log.warning("the audio of %s can't be fetched: %s", item.key, error)
        self._failed_in_a_row = self._failed_in_a_row + 1 if isinstance(error, ACCOUNT_WIDE) else 0
        if self._failed_in_a_row >= _HOPELESS:
            raise error

    def _rank(self, place: int, item: Item) -> None:
        self._audio.disk.rank(item.key, self._moment(place))

    def _moment(self, place: int) -> int:
        """Return when the clip at a place is said to have been used."""
        return self._now - place * _STEP
