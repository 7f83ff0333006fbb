"""Finding items by their words: the server's search where it has one, else the catalog's own.

What the server finds is believed as it is, whatever it takes for a match. While it can't be asked,
a catalog that knows the whole history looks into its own index of words (`search`).

Threads: any number at once; `_lock` guards what was found lately.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from cachetools import TTLCache

from histfs.catalog.paging import Pages
from histfs.catalog.reading import Reader
from histfs.catalog.refresh import Refresher
from histfs.catalog.search import WordIndex
from histfs.core.errors import DeadlineExceeded, HistfsError, Interrupted, KeyRefused
from histfs.core.flights import Flights
from histfs.core.index import Listed
from histfs.core.item import Record
from histfs.core.source import WORDS, Query
from histfs.core.times import ALWAYS
from histfs.core.waiting import Waiter

#: Searches whose results are kept.
_SEARCHES = 256
#: The part of a call's time in which the server has to answer, where there is another way.
_SHARE = 0.5

log = logging.getLogger(__name__)


class Searcher:
    """Searches, and remembers what was found.

    Args:
        reader: asks the source, and has the store.
        refresher: makes the whole history known, for a server that can't search.
        words: the catalog's own index.
        flights: runs the requests; one flight for the same words.
        ttl: seconds for which what was found is fresh.
    """

    def __init__(
        self,
        reader: Reader,
        refresher: Refresher,
        words: WordIndex,
        *,
        flights: Flights,
        ttl: float,
    ) -> None:
        self._reader = reader
        self._refresher = refresher
        self._words = words
        self._flights = flights
        self._lock = threading.Lock()
        self._found: TTLCache[str, Sequence[Listed]] = TTLCache(_SEARCHES, max(ttl, 1.0))

    def search(self, words: str, waiter: Waiter) -> None:
        """Find the items that match words, and remember them.

        Raises:
            SourceError, NotComplete: whether there are others can't be told.
            NoSpace, CacheFailed: what was found can't be kept.
            Interrupted, DeadlineExceeded: the wait ended first.
        """
        if self.found(words) is None:
            found = self._search(words, waiter)
            with self._lock:
                self._found[words] = found

    def found(self, words: str) -> Sequence[Listed] | None:
        """Return what a search found a moment ago, oldest first; None when there was none."""
        with self._lock:
            return self._found.get(words)

    def _search(self, words: str, waiter: Waiter) -> Sequence[Listed]:
        if WORDS not in self._reader.source.traits.filters:
            self._refresher.ensure(ALWAYS, waiter)
            return self._words.find(words, waiter)
        complete = self._reader.store.windows().cover(ALWAYS)
        failure = self._reader.health.failure() if complete else None
        overdue = complete and not self._reader.health.patience()
        if failure is None and not overdue:
            time = waiter.remaining() * (_SHARE if complete else 1)
            try:
                flight = self._flights.fly(("search", words), lambda: self._ask(words))
                return waiter.at_most(time).result(flight)
            except (KeyRefused, Interrupted):
                raise
            except HistfsError as error:
                if not complete or (isinstance(error, DeadlineExceeded) and not waiter.remaining()):
                    raise
                log.info("%s: searching what is known instead", error)
        return self._words.find(words, waiter)

    def _ask(self, words: str) -> Sequence[Listed]:
        """Let the server search, and store what it finds."""
        asked = self._reader.clock()
        pages = Pages(self._reader.source, Query(words=words))
        records: dict[str, Record] = {}
        more = True
        while more:
            with self._reader.health.asking():
                page = pages.next()
            # Not in the order of time, perhaps: the best matches may come first.
            records.update({record.item.key: record for record in page.records})
            more = page.cursor is not None
        return self._reader.store.add(list(records.values()), asked)
