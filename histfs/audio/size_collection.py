"""Learning the exact sizes that are missing, by fetching their clips.

The size of a clip is kept when its clip has come, whether or not the cache has room for the clip.
The clips get times of last use in the order of their dates, as of `histfs.audio.cache_warmup`: of
those that do not fit, the newest stay.

Threads: workers fetch the clips; `SingleFlight` is their pool of daemon threads, and `AudioCache`
sees to it that each clip is downloaded once. All state is of the iterating thread.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue

from histfs.audio.audio_cache import AudioCache
from histfs.audio.cache_warmup import STEP, FailuresInARow, WarmedClip
from histfs.core.errors import NoSpace, SourceError
from histfs.core.item import Item
from histfs.core.single_flight import SingleFlight
from histfs.core.waiting import Waiter


class SizeCollection:
    """One run through all clips whose exact size is not known.

    Args:
        audio: fetches the clips, and keeps what fits.
        items: returns all items, newest first, and after each its attachments.
        threads: how many clips are fetched at once.
    """

    def __init__(
        self, audio: AudioCache, items: Callable[[], Iterator[Item]], threads: int
    ) -> None:
        self._audio = audio
        self._items = items
        self._threads = threads
        self._now = time.time_ns()
        self._failures = FailuresInARow()
        self._in_flight: dict[Future[int], Item] = {}
        self._done: SimpleQueue[Future[int]] = SimpleQueue()

    def run(self) -> Iterator[WarmedClip]:
        """Yield the result for each clip, in the order in which they become known.

        Raises:
            CacheFailed, NoSpace: the catalog can't be read, or the disk failed.
            SourceError: the server or the network fails, not a single clip.
        """
        with contextlib.closing(SingleFlight("fill", self._threads)) as flights:
            for place, item in enumerate(self._items()):
                size = self._audio.sizes.exact(item)
                if size is not None or self._audio.has_no_audio(item):
                    yield WarmedClip(item, size)
                    continue
                while len(self._in_flight) >= self._threads:
                    yield self._next_result()
                future = flights.submit(object(), partial(self._fetch, place, item))
                self._in_flight[future] = item
                future.add_done_callback(self._done.put)
            while self._in_flight:
                yield self._next_result()

    def _fetch(self, place: int, item: Item) -> int:
        try:
            # A download ends within the timeouts of the source.
            size = self._audio.fetch(item, Waiter(math.inf))
        except NoSpace:
            known = self._audio.sizes.exact(item)
            if known is None:
                raise
            return known
        self._audio.disk.set_last_used(item.key, self._now - place * STEP)
        return size

    def _next_result(self) -> WarmedClip:
        """Wait for the next fetch that ends."""
        future = self._done.get()
        item = self._in_flight.pop(future)
        try:
            size = future.result()
        except SourceError as error:
            self._failures.note(item, error)
            return WarmedClip(item, error=error)
        self._failures.reset()
        return WarmedClip(item, size, fetched=True)
