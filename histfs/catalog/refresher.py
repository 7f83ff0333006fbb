"""Fetches unknown spans of the history, and refreshes stale ones.

A directory needs its own span. Its unknown parts are requested; a stale part is requested again,
with as much around it as one page holds, and replaced as a whole. So a walk costs a request for
each thousand items, whatever the directories are.

    known        [----------- stale -----------)[- fresh -)
    a directory            [ day )
    is requested           [---- 1000 items ----)

Threads: the threads of `SingleFlight` send the requests. `_lock` guards the table of spans that are
under way. It is held while the store says what to request and while the request is submitted, never
during the request; so the locks of the store and of the `SingleFlight` may be taken while it is
held. The table stands beside that of the `SingleFlight` as a caller joins any request whose span
covers its own, not only one of the same key, and as a request leaves out what is under way. Of two
answers about one span the store keeps the one that was requested later.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from functools import partial

from histfs.catalog.coverage import Coverage
from histfs.catalog.pager import SpanPage
from histfs.catalog.scanner import Scanner
from histfs.catalog.span_reader import SpanReader
from histfs.core.errors import (
    DeadlineExceeded,
    HistfsError,
    Interrupted,
    KeyRefused,
    NotComplete,
    without_traceback,
)
from histfs.core.single_flight import SingleFlight
from histfs.core.times import ALWAYS, Span
from histfs.core.waiting import Waiter

#: Days and the like that are requested together, at the most, when a client walks through them.
_DAYS_AHEAD = 4
#: Pages of a year or a month that are read before it is considered too large to be read completely.
_PAGES = 4
#: Items that are requested to find the newest one, where a list may not begin with it.
_PROBED = 20
#: Answers that are waited for, at the most, where each of them leaves something open.
_ANSWERS = 5

log = logging.getLogger(__name__)


class Refresher:
    """Keeps a store as complete and as fresh as callers need it.

    Args:
        reader: reads from the source into the store.
        scanner: reads the whole history.
        flights: requests spans.
        probes: requests single items; its number of threads is how many at once.
        ttl: seconds for which an answer is fresh.
    """

    def __init__(
        self,
        reader: SpanReader,
        scanner: Scanner,
        *,
        flights: SingleFlight,
        probes: SingleFlight,
        ttl: float,
    ) -> None:
        self._reader = reader
        self._store = reader.store
        self._breaker = reader.breaker
        self._clock = reader.clock
        self._scanner = scanner
        self._flights = flights
        self._probes = probes
        self._ttl = ttl
        self._page_size = reader.page_size
        self._disorder = reader.source.traits.disorder
        self._lock = threading.Lock()
        self._in_flight: dict[Span, Future[None]] = {}

    def ensure(self, span: Span, waiter: Waiter) -> None:
        """Ensure that a span is completely known and fresh.

        A stale span is good enough when the source fails or is slow, though not when it refuses the
        key; an unknown one is never shown in part. Of the whole history, where that is more than a
        page holds, only the newest end has to be fresh.

        Raises:
            SourceError: it is unknown, and the source failed.
            KeyRefused: the source does not accept the key.
            NotComplete: it did not become known in time.
            Interrupted: the calling process was interrupted.
        """
        if span == ALWAYS and not self._is_complete():
            # A scan that was resumed is as old as where it began.
            self._wait_until(self._is_complete, self._scanner.scan_all, waiter)
        if not self._is_fresh(self._to_refresh(span)):
            self._ensure_undated(span, waiter)
            self._wait_until(lambda: self._store.covers(span), lambda: self._request(span), waiter)

    def ensure_newest(self, spans: Sequence[Span], waiter: Waiter) -> None:
        """Ensure that the newest item of each of some spans is known, and whether it has one.

        Spans that hold no more than a page together are requested completely. The newest item of
        larger ones is searched once: new items come only to the newest end, which is kept fresh.

        Args:
            spans: each ends where the next one starts.
            waiter: the deadline of the call.

        Raises:
            As `ensure`.
        """
        hull = Span(spans[0].start, spans[-1].end)
        self._ensure_undated(hull, waiter)
        if (
            self._store.covers(hull)
            and self._store.count(hull, self._page_size + 1) <= self._page_size
        ):
            self.ensure(hull, waiter)
            return
        if hull.end > self._newest_end().start:
            self.ensure(self._newest_end(), waiter)
        if self._open(spans):
            key = ("search", spans[0].start, spans[-1].end)
            find = partial(self._submit, key, lambda: self._find_newest(spans))
            self._wait_until(lambda: not self._open(spans), find, waiter)

    def asked_after(self, span: Span, moment: float) -> bool:
        """Say whether all of a span was requested after a moment, in seconds since the epoch."""
        return self._store.coverage(span).requested_between(moment, self._clock()).covers(span)

    def knows_newest(self, span: Span) -> bool:
        """Say whether the newest item of a span is known, fresh or not, or that it has none."""
        newest = self._store.newest(span)
        return self._store.covers(Span(span.start if newest is None else newest + 1, span.end))

    def _ensure_undated(self, span: Span, waiter: Waiter) -> None:
        """Ensure that undated items are known: they may be shown in any span.

        A span that was read before they were fetched is shown as it is known: the server may not
        answer now.

        Raises:
            As `ensure`.
        """
        if self._reader.has_undated() or (span != ALWAYS and self._store.covers(span)):
            return
        fetch = partial(self._submit, "undated", self._reader.fetch_undated)
        self._wait_until(self._reader.has_undated, fetch, waiter)

    def _wait_until(
        self, known: Callable[[], bool], request: Callable[[], Future[None]], waiter: Waiter
    ) -> None:
        """Send a request and wait for its answer; not for long where a stale answer is known."""
        before = known()
        budget = self._breaker.wait_budget() if before else waiter.remaining()
        failure = self._breaker.failure()
        if before and budget == 0 and failure is None:
            return
        if failure is None:
            failure = _first_failure(known, request, self._flights, waiter.at_most(budget))
        if isinstance(failure, KeyRefused):
            raise without_traceback(failure)
        if known():
            return
        if failure is not None:
            raise without_traceback(failure)
        log.warning("the history is still being read; listings wait until it is known")
        raise NotComplete(
            f"this needs the whole history, of which {self._store.total():,} items are read so far:"
            " run histfs sync, which reads the rest"
        )

    def _is_complete(self) -> bool:
        return self._store.covers(ALWAYS) and self._reader.has_all_undated()

    def _is_fresh(self, span: Span) -> bool:
        now = self._clock()
        return self._store.coverage(span).requested_between(now - self._ttl, now).covers(span)

    def _open(self, spans: Sequence[Span]) -> list[Span]:
        return [span for span in spans if not self.knows_newest(span)]

    def _newest_end(self) -> Span:
        """Return the span in which new items appear."""
        newest = self._store.newest(ALWAYS)
        start = ALWAYS.end - 1 if newest is None else newest + 1 - self._disorder
        return Span(start, ALWAYS.end)

    # What to request

    def _to_refresh(self, span: Span) -> Span:
        """Return the part of a span that has to be fresh for all of it to count as fresh."""
        size = self._page_size
        large = span == ALWAYS and self._store.count(ALWAYS, size + 1) > size
        return self._newest_end() if large else span

    def _request(self, span: Span) -> Future[None]:
        """Request a span, or join a request that covers it."""
        if span == ALWAYS and not self._store.covers(ALWAYS):
            return self._scanner.scan_all()
        span = self._to_refresh(span)
        with self._lock:
            for flying, future in self._in_flight.items():
                done = future.done() or self._flights.is_overdue(future)
                if flying.covers(span) and not done:
                    return future
            requested = self._around(span)
            if requested is None:  # another request was faster
                future = Future()
                future.set_result(None)
                return future
            future = self._submit(("span", requested), lambda: self._read(requested, span))
            self._in_flight[requested] = future
        future.add_done_callback(lambda _: self._landed(requested))
        return future

    def _landed(self, requested: Span) -> None:
        with self._lock:
            self._in_flight.pop(requested, None)

    def _around(self, span: Span) -> Span | None:
        """Return the span to request: the stale parts of a span, and a page's worth around them.

        None when all of it is fresh. Called with `_lock` held.
        """
        now = self._clock()
        coverage = self._store.coverage()
        fresh = coverage.requested_between(now - self._ttl, now)
        needed = fresh.gaps(span)
        if not needed:
            return None
        span = Span(needed[0].start, needed[-1].end)
        if not coverage.covers(span):
            return Span(span.start, self._extended_end(span, coverage))
        for other in (*fresh.spans(), *self._in_flight):
            coverage = coverage.remove(other)
        area = next((area for area in coverage.spans() if area.covers(span)), span)
        # The page holds the margin on either side of the span, too (`Pager`).
        span_asked, area_asked = span.widened(self._disorder), area.widened(self._disorder)
        room = self._reader.refresh_size - self._store.count(span_asked, self._page_size)
        if room <= 0:
            return span
        behind = self._store.nth_oldest(Span(span_asked.end, area_asked.end), room)
        end = area.end if behind is None else behind - self._disorder
        above = Span(span_asked.end, area_asked.end if behind is None else behind)
        room -= self._store.count(above, room)
        before = self._store.nth_newest(Span(area_asked.start, span_asked.start), room)
        return Span(area.start if before is None else before + 1 + self._disorder, end)

    def _extended_end(self, span: Span, coverage: Coverage) -> int:
        """Return the end of what to request for a span that is not known.

        When a client lists one unknown day after the other, as many days are requested together as
        are likely to fit on a page.
        """
        length = span.end - span.start
        walked = Span(span.start - length, span.start)
        if not coverage.covers(walked):
            return span.end
        page_size = self._page_size
        density = max(self._store.count(walked, page_size), page_size // _DAYS_AHEAD, 1)
        ahead = Span(span.end, span.end + length * (page_size // density - 1))
        unknown = coverage.gaps(ahead)
        return unknown[0].end if unknown and unknown[0].start == span.end else span.end

    # In the threads of `SingleFlight`

    def _submit(self, key: Hashable, work: Callable[[], None]) -> Future[None]:
        def logged() -> None:
            try:
                work()
            except HistfsError as error:
                log.warning("the history can't be listed: %s", error)
                raise

        return self._flights.submit_hedged(key, logged)

    def _read(self, requested: Span, needed: Span) -> None:
        """Read a span, page by page, until the needed part of it is known."""
        if requested.end == ALWAYS.end:
            # A page of the newest items, however many of them are new.
            requested = ALWAYS
        read = self._reader.read(requested)
        newest = read.newest
        down_to = needed.start if newest is None else min(needed.start, newest - self._disorder)
        page = read.next()
        while page.rest.end > max(down_to, requested.start):
            if not page.ordered and requested != needed:
                # The list has to be read to its end now: one as short as possible.
                requested = needed
                read = self._reader.read(requested)
            page = read.next()

    def _find_newest(self, spans: Sequence[Span]) -> None:
        """Find the newest item of each span: by listing them where that is cheaper."""
        open_spans = self._open(spans)
        if len(open_spans) > 1:
            gaps = self._store.coverage().gaps(Span(open_spans[0].start, spans[-1].end))
            if not gaps:
                return  # another request was faster
            read = self._reader.read(Span(open_spans[0].start, gaps[-1].end))
            pages, below = 0, 0.0
            while open_spans and (pages < _PAGES or below <= len(open_spans) / 2):
                page = read.next()
                pages, below = pages + 1, _pages_below(page) if page.ordered else 0.0
                open_spans = self._open(open_spans) if page.more else []
        probes = [
            self._probes.submit(("probe", span), partial(self._probe, span)) for span in open_spans
        ]
        for probe in probes:
            probe.result()

    def _probe(self, span: Span) -> None:
        """Request the newest items of a span: as few as are likely to tell which one is newest."""
        limit: int | None = _PROBED if self._disorder else 1
        read = self._reader.read(span, limit=limit)
        page = read.next()
        # A server that looks through its items bit by bit may answer with nothing so far.
        while page.more and self._open([span]):
            if limit is not None and not page.ordered:
                # The list has to be read to its end: by pages as large as possible.
                limit = None
                read = self._reader.read(span)
            page = read.next()


def _first_failure(
    known: Callable[[], bool],
    request: Callable[[], Future[None]],
    flights: SingleFlight,
    waiter: Waiter,
) -> HistfsError | None:
    """Send a request, and again, until something is known.

    Returns:
        Why it failed; None when it didn't, whether the thing is known then or not.
    """
    # More than once: an answer that tells of more new items than it holds leaves a gap.
    for _ in range(_ANSWERS):
        try:
            flights.wait_hedged(request, waiter)
        except DeadlineExceeded:
            return None
        except Interrupted:
            raise
        except HistfsError as error:
            return error
        if known():
            return None
    return None


def _pages_below(page: SpanPage) -> float:
    """Return how many more pages like this one are likely to follow."""
    dates = [record.item.date for record in page.records if record.dated]
    if not dates:
        return 0.0
    return (page.rest.end - page.rest.start) / max(1, dates[0] - dates[-1])
