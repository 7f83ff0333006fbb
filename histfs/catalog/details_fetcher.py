"""All details of items whose source lists only summaries: fetched one by one, and kept.

They hold for as long as the summary is the one that was listed when they were fetched; those of an
item that goes on, such as a conversation, only for as long as a listing is fresh.

Threads: any number at once; the store and the flights guard themselves, `_lock` guards what could
not be stored. No lock is held while the source is asked: that is a worker's.
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Callable
from functools import lru_cache, partial

from cachetools import LRUCache

from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.details_table import Fetched
from histfs.core.errors import CacheFailed, Missing, NoSpace, NotForCrawlers
from histfs.core.item import Details, Item, Record
from histfs.core.limiter import prioritised
from histfs.core.single_flight import SingleFlight
from histfs.core.waiting import Waiter, never

log = logging.getLogger(__name__)

#: What is told of an item that is used, and whether something may be fetched for who uses it.
Used = Callable[[Item, Callable[[], bool]], None]

#: Items whose details are kept in memory.
_DETAILS = 64
#: The same where the disk doesn't take them: what was read must be there for its next stat.
_UNSTORED = 1024


class DetailsFetcher:
    """Fetches details, and keeps them.

    Args:
        get: asks the source for an item (`Source.get`).
        describe: reads the details out of a raw object (`Source.describe`).
        store: where they are kept.
        flights: run the requests; one flight for an item, whoever asks.
        ttl: seconds for which what may still change is fresh.
        doubt: is told of an item that the source doesn't know any more.
        clock: seconds since the epoch.

    Attributes:
        used: is told of each item whose details somebody reads, and may fetch others ahead.
    """

    def __init__(
        self,
        get: Callable[[str], Record],
        describe: Callable[[bytes], Details],
        store: CatalogStore,
        *,
        flights: SingleFlight,
        ttl: float,
        invalidate: Callable[[Item], None],
        clock: Callable[[], float],
    ) -> None:
        self._get = get
        self._describe = lru_cache(_DETAILS)(describe)
        self._store = store
        self._flights = flights
        self._ttl = ttl
        self._invalidate = invalidate
        self._clock = clock
        self._lock = threading.Lock()
        self._unstored: LRUCache[str, Fetched] = LRUCache(_UNSTORED)
        self.used: Used = _unused

    def fetched(self, item: Item) -> Fetched | None:
        """Return what was fetched last of an item, as it was sent; None when nothing was."""
        with self._lock:
            unstored = self._unstored.get(item.key)
        return unstored or self._store.fetched(item.key)

    def known(self, item: Item) -> Details | None:
        """Return what was fetched last of an item, outdated or not; None when nothing was."""
        fetched = self.fetched(item)
        return None if fetched is None else self._describe(fetched.raw)

    def current(self, item: Item) -> Details | None:
        """Return what was fetched last of an item; None when that is nothing, or outdated."""
        fetched = self.fetched(item)
        if fetched is None or fetched.revision != item.revision:
            return None
        details = self._describe(fetched.raw)
        fresh = 0 <= self._clock() - fetched.asked < self._ttl
        return details if details.final or fresh else None

    def full(self, item: Item, waiter: Waiter) -> Details:
        """Return all details of an item, and fetch them first where they are not current.

        Raises:
            Missing, SourceError: they can't be had.
            NotForCrawlers: they are not here, and may not be fetched for who calls.
            Interrupted, DeadlineExceeded: the wait ended first.
        """
        current = self.current(item)
        self.used(item, waiter.may_fetch)
        if current is not None:
            return current
        if not waiter.may_fetch():
            raise NotForCrawlers(f"the details of {item.key} aren't here, and are for no crawler")
        # They may have come since they were looked for.
        work = partial(self._current_or_fetched, item)
        return self._flights.run_hedged(("details", item.key), work, waiter)

    def ahead(self, item: Item) -> None:
        """Fetch the details of an item in the background, unless they are here."""
        if self.current(item) is None:
            self._flights.submit(("details", item.key), partial(self._fetched_ahead, item))

    def fetch(self, item: Item) -> Details:
        """Fetch the details of an item, here and now."""
        asked = self._clock()
        try:
            record = self._get(item.id)
        except Missing:
            self._invalidate(item)
            raise
        details = self._describe(record.raw)
        self._keep(item, record, asked)
        return details

    def _keep(self, item: Item, record: Record, asked: float) -> None:
        """Store what was fetched; where the disk doesn't take it, it can be read all the same."""
        try:
            self._store.store_details(item, record, asked)
        except (NoSpace, CacheFailed) as error:
            log.warning("the details of %s are not kept: %s", item.key, error)
            fetched = Fetched(item.revision, zlib.crc32(record.raw), asked, record.raw)
            with self._lock:
                self._unstored[item.key] = fetched
        else:
            with self._lock:
                self._unstored.pop(item.key, None)

    def _fetched_ahead(self, item: Item) -> Details:
        with prioritised(never):
            return self._current_or_fetched(item)

    def _current_or_fetched(self, item: Item) -> Details:
        return self.current(item) or self.fetch(item)


def _unused(item: Item, may_fetch: Callable[[], bool]) -> None:
    """Fetch nothing ahead."""
