"""How the catalog comes to know the history, and how it stays fresh.

One scan at a time pages from the newest item downwards. Each page makes a span of time completely
known. A scan ends as soon as what lies below is known already: nothing new costs one request, and
one that was cut short (kill -9, an error on page 7) goes on below what it had.

    known before      [-------- complete --------)
    page 1                                  [------------------- newest)
    together          [-------------------------------------------------)

Threads: the scan runs in a thread of `Flights`, at most one at a time; nobody else writes windows.
`_lock` guards freshness and the memory of the last failure. No lock is held while a page is asked
for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from histfs.catalog.store import Store
from histfs.core.errors import BadAnswer, DeadlineExceeded, HistfsError, Interrupted, NotComplete
from histfs.core.flights import Flights
from histfs.core.source import Page, Query, Source
from histfs.core.times import ALWAYS, Span
from histfs.core.waiting import Waiter

#: Seconds that a listing which is known, but not fresh, waits for news before it does without.
PATIENCE = 5.0
#: Seconds after a failure in which nothing is asked: what is known is shown, the rest fails.
FAILURE_MEMORY = 10.0

log = logging.getLogger(__name__)


class Refresher:
    """Keeps a store complete and fresh.

    Args:
        source: where items are listed.
        store: where they are kept.
        flights: runs the scan.
        ttl: seconds for which what was asked is fresh.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        flights: Flights,
        ttl: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._store = store
        self._flights = flights
        self._ttl = ttl
        self._clock = clock
        self._lock = threading.Lock()
        self._fresh_until = float("-inf")
        self._failure: tuple[float, Exception] | None = None
        self._patient_until = float("inf")

    def contact(self, waiter: Waiter) -> None:
        """Ask for the newest page, as the first thing of all, and let the scan go on behind it.

        Raises:
            SourceError: the source failed.
            DeadlineExceeded, Interrupted: the wait ended first.
        """
        first: Future[None] = Future()
        self._flights.fly("scan", lambda: self._scan(first))
        waiter.result(first)

    def ensure(self, span: Span, waiter: Waiter) -> None:
        """See to it that a span is completely known and fresh.

        What is known but stale is good enough when the source fails or is slow; what is not known
        is never shown in part.

        Raises:
            SourceError: it is not known, and the source failed.
            NotComplete: it did not become known in time.
            Interrupted: the calling process was interrupted.
        """
        covered = self._store.windows().cover(span)
        if covered and self._is_fresh():
            return
        failure = self._recent_failure()
        if failure is None:
            failure = self._refresh(waiter.at_most(self._patience()) if covered else waiter)
        # Looked at again: a scan that found more new items than it could read leaves a gap.
        if self._store.windows().cover(span):
            return
        if failure is not None:
            raise failure
        log.warning("the history is still being read; listings wait until it is known")
        raise NotComplete("the history is not completely known yet; the scan goes on")

    def _refresh(self, waiter: Waiter) -> Exception | None:
        """Scan, and return why it failed; None when it didn't, or goes on."""
        try:
            waiter.result(self._flights.fly("scan", self._scan))
        except DeadlineExceeded:
            return None
        except Interrupted:
            raise
        except HistfsError as error:
            return error
        return None

    def _is_fresh(self) -> bool:
        with self._lock:
            return self._clock() < self._fresh_until

    def _recent_failure(self) -> Exception | None:
        with self._lock:
            if self._failure is not None and self._clock() < self._failure[0]:
                return self._failure[1]
            return None

    def _patience(self) -> float:
        """Return how long a stale listing still waits for the scan under way: `PATIENCE` in all."""
        with self._lock:
            now = self._clock()
            if now > self._patient_until:
                return 0.0
            return min(PATIENCE, self._patient_until - now)

    # The scan

    def _scan(self, first: Future[None] | None = None) -> None:
        """Page from the newest item down to where everything is known."""
        asked = self._clock()
        with self._lock:
            self._patient_until = asked + PATIENCE
        try:
            self._page_down(first)
        except Exception as error:
            with self._lock:
                self._failure = (self._clock() + FAILURE_MEMORY, error)
            if first is not None and not first.done():
                first.set_exception(error)
            else:
                log.warning("the history can't be listed: %s", error)
            raise
        finally:
            with self._lock:
                self._patient_until = float("inf")
        with self._lock:
            self._failure = None
            self._fresh_until = asked + self._ttl

    def _page_down(self, first: Future[None] | None) -> None:
        newest = self._store.newest(ALWAYS)
        # Above the newest known item it was only known that there was nothing.
        outdated: Span | None = Span(ALWAYS.start if newest is None else newest, ALWAYS.end)
        top = ALWAYS.end  # from here on everything is known
        edge: set[str] = set()  # the keys of the second in which the last page ended
        cursors: set[str] = set()
        query = Query()
        while True:
            page = self._source.list(query)
            low = _lowest(page, top)
            start = ALWAYS.start if page.cursor is None else low + 1
            self._store.replace(Span(start, top), page.records, edge, outdated)
            outdated = None
            if first is not None and not first.done():
                first.set_result(None)
            if page.cursor is None:
                return
            ended = {record.item.key for record in page.records if record.item.date == low}
            edge = ended | edge if low == top - 1 else ended
            top = start
            known = self._store.windows().reaching(top)
            if known is not None:
                if known.start == ALWAYS.start:
                    return
                # Go on below what is known already.
                top, edge = known.start, set()
                query = Query(span=Span(ALWAYS.start, top))
                continue
            if page.cursor in cursors:
                raise BadAnswer("the server gave the same page cursor twice")
            cursors.add(page.cursor)
            query = Query(span=query.span, after=page.cursor)


def _lowest(page: Page, top: int) -> int:
    """Return the date of the oldest item on a page of items from before ``top``.

    Raises:
        BadAnswer: the page is not newest first: what is complete can't be told then.
    """
    low = top - 1
    for record in page.records:
        if record.item.date > low:
            raise BadAnswer("the server's pages are not in the order of time")
        low = record.item.date
    return low
