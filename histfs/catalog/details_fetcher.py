"""Fetches all details of items whose source lists only summaries, one by one, and keeps them.

They are current while the listed summary is the one of that time; those of an item that is not
final, such as a conversation that goes on, only for as long as a listing is fresh.

Threads: any number at once; the requests run in the threads of `SingleFlight`. `_lock` guards
`_unstored`; no other lock is taken while it is held.
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Callable
from functools import lru_cache, partial

from cachetools import LRUCache

from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.item_rows import Fetched
from histfs.core.errors import CacheFailed, Missing, NoSpace, NotForCrawlers
from histfs.core.item import Details, Item, Record
from histfs.core.limiter import prioritised
from histfs.core.single_flight import SingleFlight
from histfs.core.waiting import Waiter, never

log = logging.getLogger(__name__)

#: Takes an item that is used, and whether something may be fetched for the calling process.
Used = Callable[[Item, Callable[[], bool]], None]

#: Raw objects whose parsed details are cached.
_PARSED = 64
#: Items whose details are kept in memory where the disk doesn't take them: what was read must be
#: there for its next stat.
_UNSTORED = 1024


class DetailsFetcher:
    """Fetches details, and keeps them.

    Args:
        get: requests an item from the source (`Source.get`).
        describe: reads the details out of a raw object (`Source.describe`).
        store: keeps them.
        flights: run the requests, one for an item at a time.
        ttl: seconds for which details that are not final are current.
        invalidate: takes an item that the source doesn't know any more.
        clock: seconds since the epoch.

    Attributes:
        used: takes each item whose details are read, and may prefetch others.
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
        self._describe = lru_cache(_PARSED)(describe)
        self._store = store
        self._flights = flights
        self._ttl = ttl
        self._invalidate = invalidate
        self._clock = clock
        self._lock = threading.Lock()
        self._unstored: LRUCache[str, Fetched] = LRUCache(_UNSTORED)
        self.used: Used = _no_prefetch

    def fetched(self, item: Item) -> Fetched | None:
        """Return what was fetched last of an item, as it was sent; None when nothing was."""
        with self._lock:
            unstored = self._unstored.get(item.key)
        return unstored or self._store.fetched(item.key)

    def known(self, item: Item) -> Details | None:
        """Return the details that were fetched last, outdated or not; None when none were."""
        fetched = self.fetched(item)
        return None if fetched is None else self._describe(fetched.raw)

    def current(self, item: Item) -> Details | None:
        """Return the details that were fetched last; None when there are none, or outdated ones."""
        fetched = self.fetched(item)
        if fetched is None or fetched.revision != item.revision:
            return None
        details = self._describe(fetched.raw)
        fresh = 0 <= self._clock() - fetched.requested_at < self._ttl
        return details if details.final or fresh else None

    def full(self, item: Item, waiter: Waiter) -> Details:
        """Return all details of an item, and fetch them first where they are not current.

        Raises:
            Missing, SourceError: they can't be fetched.
            NotForCrawlers: they are not here, and may not be fetched for the calling process.
            Interrupted, DeadlineExceeded: the wait ended first.
        """
        current = self.current(item)
        self.used(item, waiter.may_fetch)
        if current is not None:
            return current
        if not waiter.may_fetch():
            raise NotForCrawlers(f"the details of {item.key} aren't here, and are for no crawler")
        # They may have come since the look above.
        work = partial(self._current_or_fetched, item)
        return self._flights.run_hedged(("details", item.key), work, waiter)

    def prefetch(self, item: Item) -> None:
        """Prefetch the details of an item in the background, unless they are current."""
        if self.current(item) is None:
            self._flights.submit(("details", item.key), partial(self._prefetched, item))

    def fetch(self, item: Item) -> Details:
        """Fetch the details of an item in the calling thread."""
        requested_at = self._clock()
        try:
            record = self._get(item.id)
        except Missing:
            self._invalidate(item)
            raise
        details = self._describe(record.raw)
        self._keep(item, record, requested_at)
        return details

    def _keep(self, item: Item, record: Record, requested_at: float) -> None:
        """Store what was fetched; where the disk doesn't take it, keep it in memory."""
        try:
            self._store.store_details(item, record, requested_at)
        except (NoSpace, CacheFailed) as error:
            log.warning("the details of %s are not kept: %s", item.key, error)
            fetched = Fetched(item.revision, zlib.crc32(record.raw), requested_at, record.raw)
            with self._lock:
                self._unstored[item.key] = fetched
        else:
            with self._lock:
                self._unstored.pop(item.key, None)

    def _prefetched(self, item: Item) -> Details:
        with prioritised(never):
            return self._current_or_fetched(item)

    def _current_or_fetched(self, item: Item) -> Details:
        return self.current(item) or self.fetch(item)


def _no_prefetch(item: Item, may_fetch: Callable[[], bool]) -> None:
    """Prefetch nothing."""
