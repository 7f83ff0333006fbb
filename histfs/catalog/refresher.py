"""How the catalog comes to know what is asked of it, and how that stays fresh.

A directory asks for its own span. What is not known of it is asked for; what is known but stale is
asked for again, with as much around it as one page holds, and replaced whole. So a walk costs a
request for each thousand items, whatever the directories are.

    known        [----------- stale -----------)[- fresh -)
    a directory            [ day )
    is asked for           [---- 1000 items ----)

Threads: the threads of `SingleFlight` ask. `_lock` guards the table of what is on its way; it is
held while the store says what to ask for, never while a page is asked for. The store decides
between two answers about one span.
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
    again,
)
from histfs.core.single_flight import SingleFlight
from histfs.core.times import ALWAYS, Span
from histfs.core.waiting import Waiter

#: Days and the like that are asked for together, at the most, when somebody walks through them.
_STRETCH = 4
#: Pages that are read of a year or a month before it is thought to be too large to be read whole.
_LOOKS = 4
#: Items that are asked for to find the newest one, where a list may not begin with it.
_PROBED = 20
#: Answers that are waited for, at the most, where each of them leaves something open.
_ANSWERS = 5

log = logging.getLogger(__name__)


class Refresher:
    """Keeps a store as complete and as fresh as it is asked to.

    Args:
        reader: reads from the source into the store.
        scanner: reads the whole history for whoever needs it.
        flights: asks for spans.
        probes: asks for single items; its number of threads is how many are asked for at once.
        ttl: seconds for which what was asked is fresh.
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
        self._health = reader.health
        self._clock = reader.clock
        self._scanner = scanner
        self._flights = flights
        self._probes = probes
        self._ttl = ttl
        self._page = reader.page
        self._disorder = reader.source.traits.disorder
        self._lock = threading.Lock()
        self._in_flight: dict[Span, Future[None]] = {}

    def ensure(self, span: Span, waiter: Waiter) -> None:
        """See to it that a span is completely known and fresh.

        What is known but stale is good enough when the source fails or is slow, though not when it
        refuses the key; what is not known is never shown in part. Of the whole history, where that
        is more than a page holds, the newest end is fresh.

        Raises:
            SourceError: it is not known, and the source failed.
            KeyRefused: the source does not accept the key.
            NotComplete: it did not become known in time.
            Interrupted: the calling process was interrupted.
        """
        if span == ALWAYS and not self._whole():
            # A scan that went on from where it was is as old as where it began.
            self._wait_until(self._whole, self._scanner.whole, waiter)
        if not self._fresh(self._watched(span)):
            self._find_undated(span, waiter)
            self._wait_until(lambda: self._covered(span), lambda: self._ask(span), waiter)

    def ensure_newest(self, spans: Sequence[Span], waiter: Waiter) -> None:
        """See to it that the newest item is known of each of some spans, and whether it has one.

        Spans that hold no more than a page are asked for whole. The newest item of larger ones is
        looked for once: new items come only to the newest end, which is kept fresh.

        Args:
            spans: each ends where the next one starts.
            waiter: the patience of the call.

        Raises:
            As `ensure`.
        """
        hull = Span(spans[0].start, spans[-1].end)
        self._find_undated(hull, waiter)
        if self._covered(hull) and self._store.count(hull, self._page + 1) <= self._page:
            self.ensure(hull, waiter)
            return
        if hull.end > self._newest_end().start:
            self.ensure(self._newest_end(), waiter)
        if self._open(spans):
            self._wait_until(lambda: not self._open(spans), lambda: self._search(spans), waiter)

    def asked_after(self, span: Span, moment: float) -> bool:
        """Say whether all of a span was asked for after a moment, in seconds since the epoch."""
        return self._store.windows(span).asked(moment, self._clock()).cover(span)

    def knows_newest(self, span: Span) -> bool:
        """Say whether the newest item of a span is known, fresh or not, or that it has none."""
        newest = self._store.newest(span)
        return self._covered(Span(span.start if newest is None else newest + 1, span.end))

    def _find_undated(self, span: Span, waiter: Waiter) -> None:
        """Wait until the items without a possible date are known, which may be shown in any span.

        A span that was read before they were looked for is shown as it is known: the server may
        not answer now.

        Raises:
            As `ensure`.
        """
        if self._reader.knows_undated() or (span != ALWAYS and self._covered(span)):
            return
        find = partial(self._fly, "undated", self._reader.read_undated)
        self._wait_until(self._reader.knows_undated, find, waiter)

    def _wait_until(
        self, known: Callable[[], bool], ask: Callable[[], Future[None]], waiter: Waiter
    ) -> None:
        """Wait for an answer; what is known already doesn't wait for long."""
        before = known()
        patience = self._health.patience() if before else waiter.remaining()
        failure = self._health.failure()
        if before and patience == 0 and failure is None:
            return
        if failure is None:
            failure = _first_failure(known, ask, self._flights, waiter.at_most(patience))
        if isinstance(failure, KeyRefused):
            raise again(failure)
        if known():
            return
        if failure is not None:
            raise again(failure)
        log.warning("the history is still being read; listings wait until it is known")
        raise NotComplete("the history is not completely known yet; reading it goes on")

    def _whole(self) -> bool:
        return self._covered(ALWAYS) and self._reader.knows_whole()

    def _covered(self, span: Span) -> bool:
        return self._store.windows(span).cover(span)

    def _fresh(self, span: Span) -> bool:
        now = self._clock()
        return self._store.windows(span).asked(now - self._ttl, now).cover(span)

    def _open(self, spans: Sequence[Span]) -> list[Span]:
        return [span for span in spans if not self.knows_newest(span)]

    def _newest_end(self) -> Span:
        """Return the span in which new items appear."""
        newest = self._store.newest(ALWAYS)
        start = ALWAYS.end - 1 if newest is None else newest + 1 - self._disorder
        return Span(start, ALWAYS.end)

    # What to ask for

    def _watched(self, span: Span) -> Span:
        """Return the part of a span that has to be fresh for the whole to count as fresh."""
        large = span == ALWAYS and self._store.count(ALWAYS, self._page + 1) > self._page
        return self._newest_end() if large else span

    def _ask(self, span: Span) -> Future[None]:
        if span == ALWAYS and not self._covered(ALWAYS):
            return self._scanner.whole()
        return self._flight(self._watched(span))

    def _flight(self, span: Span) -> Future[None]:
        """Ask for a span; join whoever asks for more."""
        with self._lock:
            for flying, future in self._in_flight.items():
                done = future.done() or self._flights.is_overdue(future)
                if flying.covers(span) and not done:
                    return future
            asked = self._around(span)
            if asked is None:  # somebody else was faster
                future = Future()
                future.set_result(None)
                return future
            future = self._fly(("span", asked), lambda: self._read(asked, span))
            self._in_flight[asked] = future
        future.add_done_callback(lambda _: self._landed(asked))
        return future

    def _landed(self, asked: Span) -> None:
        with self._lock:
            self._in_flight.pop(asked, None)

    def _around(self, span: Span) -> Span | None:
        """Return what is asked for when a span is: what isn't fresh of it, and a page's worth."""
        now = self._clock()
        windows = self._store.windows()
        fresh = windows.asked(now - self._ttl, now)
        needed = fresh.gaps(span)
        if not needed:
            return None
        span = Span(needed[0].start, needed[-1].end)
        if not windows.cover(span):
            return Span(span.start, self._stretched(span, windows))
        for other in (*fresh.spans(), *self._in_flight):
            windows = windows.remove(other)
        area = next((area for area in windows.spans() if area.covers(span)), span)
        # The page holds what is asked for on either side of the span, too.
        span_asked, area_asked = span.widened(self._disorder), area.widened(self._disorder)
        room = self._reader.known_on_page - self._store.count(span_asked, self._page)
        if room <= 0:
            return span
        behind = self._store.counted_up(Span(span_asked.end, area_asked.end), room)
        end = area.end if behind is None else behind - self._disorder
        above = Span(span_asked.end, area_asked.end if behind is None else behind)
        room -= self._store.count(above, room)
        before = self._store.counted_down(Span(area_asked.start, span_asked.start), room)
        return Span(area.start if before is None else before + 1 + self._disorder, end)

    def _stretched(self, span: Span, windows: Coverage) -> int:
        """Return the end of what is asked for when a span isn't known.

        Who lists one day after the other, where none is known, gets as many at once as are likely
        to fit on a page.
        """
        length = span.end - span.start
        walked = Span(span.start - length, span.start)
        if not windows.cover(walked):
            return span.end
        density = max(self._store.count(walked, self._page), self._page // _STRETCH, 1)
        ahead = Span(span.end, span.end + length * (self._page // density - 1))
        unknown = windows.gaps(ahead)
        return unknown[0].end if unknown and unknown[0].start == span.end else span.end

    # Asking

    def _fly(self, key: Hashable, work: Callable[[], None]) -> Future[None]:
        def told() -> None:
            try:
                work()
            except HistfsError as error:
                log.warning("the history can't be listed: %s", error)
                raise

        return self._flights.submit_anew(key, told)

    def _read(self, asked: Span, wanted: Span) -> None:
        """Ask for a span, page by page, until what is wanted of it is known."""
        if asked.end == ALWAYS.end:
            # A page of the newest items, however many of them are new.
            asked = ALWAYS
        reading = self._reader.read(asked)
        newest = reading.newest
        down_to = wanted.start if newest is None else min(wanted.start, newest - self._disorder)
        answer = reading.next()
        while answer.rest.end > max(down_to, asked.start):
            if not answer.ordered and asked != wanted:
                # Only a list that is read to its end tells anything now: one no longer than needed.
                asked = wanted
                reading = self._reader.read(asked)
            answer = reading.next()

    def _search(self, spans: Sequence[Span]) -> Future[None]:
        key = ("search", spans[0].start, spans[-1].end)
        return self._fly(key, lambda: self._find_newest(spans))

    def _find_newest(self, spans: Sequence[Span]) -> None:
        """Find the newest item of each span: by listing them where that is cheaper."""
        looked_for = self._open(spans)
        if len(looked_for) > 1:
            gaps = self._store.windows().gaps(Span(looked_for[0].start, spans[-1].end))
            if not gaps:
                return  # somebody else was faster
            reading = self._reader.read(Span(looked_for[0].start, gaps[-1].end))
            pages, below = 0, 0.0
            while looked_for and (pages < _LOOKS or below <= len(looked_for) / 2):
                answer = reading.next()
                pages, below = pages + 1, _pages_below(answer) if answer.ordered else 0.0
                looked_for = self._open(looked_for) if answer.more else []
        probes = [
            self._probes.submit(("probe", span), partial(self._probe, span)) for span in looked_for
        ]
        for probe in probes:
            probe.result()

    def _probe(self, span: Span) -> None:
        """Ask for the newest items of a span: as few as are likely to tell which one is newest."""
        limit: int | None = _PROBED if self._disorder else 1
        reading = self._reader.read(span, limit=limit)
        answer = reading.next()
        # A server that looks through its items bit by bit may answer with nothing so far.
        while answer.more and self._open([span]):
            if limit is not None and not answer.ordered:
                # It has to be read to its end: by pages as large as can be.
                limit = None
                reading = self._reader.read(span)
            answer = reading.next()


def _first_failure(
    known: Callable[[], bool],
    ask: Callable[[], Future[None]],
    flights: SingleFlight,
    waiter: Waiter,
) -> HistfsError | None:
    """Wait until something is known.

    Returns:
        Why asking failed; None when it didn't, whether the thing is known then or not.
    """
    # More than once: an answer that tells of more new items than it holds leaves a gap.
    for _ in range(_ANSWERS):
        try:
            flights.outlast(ask, waiter)
        except DeadlineExceeded:
            return None
        except Interrupted:
            raise
        except HistfsError as error:
            return error
        if known():
            return None
    return None


def _pages_below(answer: SpanPage) -> float:
    """Return how many more pages like this one are likely to follow."""
    dates = [record.item.date for record in answer.records if record.dated]
    if not dates:
        return 0.0
    return (answer.rest.end - answer.rest.start) / max(1, dates[0] - dates[-1])
