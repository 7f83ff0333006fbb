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
_STEP = 1000

log = logging.getLogger(__name__)


class WarmedClip(NamedTuple):
    """The result for one clip.

    Attributes:
        item: whose clip.
        size: its bytes in the cache; None when it isn't there.
        fetched: whether it was downloaded just now, or its size was asked for.
        is_told: whether its size was asked for, and it was not downloaded.
        error: why the download failed.
    """

    item: Item
    size: int | None = None
    fetched: bool = False
    is_told: bool = False
    error: SourceError | None = None


class ClipFetches:
    """Fetches clips, several at once. A run ends when too many failures in a row concern all clips.

    Args:
        audio: the cache.
        threads: how many clips are fetched at once.
        fetch: fetches a clip, and returns its size in bytes; by default into the cache.
    """

    def __init__(
        self, audio: AudioCache, threads: int, fetch: Callable[[Item], int] | None = None
    ) -> None:
        self._audio = audio
        self._threads = threads
        self._fetch = fetch or self.into_cache
        self._now = time.time_ns()
        self._failures = 0
        self._in_flight: dict[Future[int], Item] = {}
        self._done: SimpleQueue[Future[int]] = SimpleQueue()
        self._flights = SingleFlight("fill", threads)

    def close(self) -> None:
        """End the threads."""
        self._flights.close()

    def __bool__(self) -> bool:
        """Say whether a clip is being fetched."""
        return bool(self._in_flight)

    @property
    def all_busy(self) -> bool:
        """Whether all threads fetch a clip."""
        return len(self._in_flight) >= self._threads

    def start(self, place: int, item: Item) -> None:
        """Fetch a clip.

        Args:
            place: in the list of all clips.
            item: whose clip.
        """
        future = self._flights.submit(object(), partial(self._run, place, item))
        self._in_flight[future] = item
        future.add_done_callback(self._done.put)

    def next_result(self) -> WarmedClip:
        """Wait for the next fetch that ends.

        Raises:
            NoSpace, CacheFailed: the disk failed.
            SourceError: the server or the network fails, not a single clip.
        """
        future = self._done.get()
        item = self._in_flight.pop(future)
        try:
            size = future.result()
        except SourceError as error:
            self._note_failure(item, error)
            return WarmedClip(item, error=error)
        self._failures = 0
        return WarmedClip(item, size, fetched=True)

    def into_cache(self, item: Item) -> int:
        """Fetch a clip into the cache; a download ends within the timeouts of the source."""
        return self._audio.fetch(item, Waiter(math.inf))

    def set_last_used(self, place: int, item: Item) -> None:
        """Give a clip the time of last use of its place, if it is on the disk."""
        self._audio.disk.set_last_used(item.key, self.last_used(place))

    def last_used(self, place: int) -> int:
        """Return the time of last use that the clip at a place in the list gets."""
        return self._now - place * _STEP

    def _run(self, place: int, item: Item) -> int:
        size = self._fetch(item)
        self.set_last_used(place, item)
        return size

    def _note_failure(self, item: Item, error: SourceError) -> None:
        if isinstance(error, (Missing, NoAudio, NoAttachment)):
            log.info("there is no audio of %s: %s", item.key, error)
            return
        log.warning("the audio of %s can't be fetched: %s", item.key, error)
        self._failures = self._failures + 1 if isinstance(error, ACCOUNT_WIDE) else 0
        if self._failures >= _MAX_FAILURES:
            raise error


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
        self.taken = 0
        self._audio = audio
        self._items = items
        self._cap = cap
        self._threads = threads
        self._expected: dict[str, int] = {}

    def run(self) -> Iterator[WarmedClip]:
        """Yield the result for each clip, in the order in which the fetches end.

        Raises:
            NoSpace, CacheFailed: the disk is full, so that the next clip would evict a newer one;
                or it failed.
            SourceError: the server or the network fails, not a single clip.
        """
        with contextlib.closing(ClipFetches(self._audio, self._threads)) as fetches:
            for place, item in enumerate(self._items()):
                fetches.set_last_used(place, item)
            for place, item in enumerate(self._items()):
                size = self._audio.cached_size(item)
                expected = size or self._audio.sizes.expected(item)
                # A clip that is being fetched may be smaller than expected.
                while fetches and (
                    self._exceeds_cap(expected) or (size is None and fetches.all_busy)
                ):
                    yield self._next_result(fetches)
                if self._audio.disk.evicted_newest > fetches.last_used(place):
                    raise NoSpace(f"no space left for more clips in {self._audio.disk.root}")
                if self._exceeds_cap(expected):
                    self.full = True
                    break
                self.taken += expected
                if size is None:
                    self._expected[item.key] = expected
                    fetches.start(place, item)
                else:
                    yield WarmedClip(item, size)
            while fetches:
                yield self._next_result(fetches)

    def _exceeds_cap(self, size: int) -> bool:
        return self.taken + size > self._cap

    def _next_result(self, fetches: ClipFetches) -> WarmedClip:
        clip = fetches.next_result()
        self.taken += (clip.size or 0) - self._expected.pop(clip.item.key)
        return clip
