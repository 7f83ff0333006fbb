"""Reading a span from the source into the store.

Threads: a `SpanReader` is shared by any number, `_lock` guards its outage; a `SpanRead` is for one
thread, which may let another one ask.
"""

from __future__ import annotations

import contextlib
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from typing import NamedTuple

from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.circuit_breaker import CircuitBreaker
from histfs.catalog.pager import Pager, SpanPage
from histfs.core.errors import BadAnswer, HistfsError, Missing, Rejected, SourceError
from histfs.core.item import Item
from histfs.core.single_flight import SingleFlight
from histfs.core.source import Source
from histfs.core.times import ALWAYS, Span

#: Items that one page holds, at the most.
PAGE = 1000
#: Known items that an answer lacks which are asked for by their ids: where more are missing, and
#: these are gone, the list is asked for again, some seconds later. And how many may be missing, of
#: which the server has some, before the answer is refused.
_SAMPLE, _FEW, _PAUSE = 5, 20, 3.0
#: The year 2000, in seconds since the epoch: no item has an earlier date.
_PAST = 946_684_800
#: Seconds from now on after which no item has a possible date.
_FUTURE = 2 * 86_400
#: Items, and pages, of a list that is read whole before years can be listed; and pages of one that
#: is read without a filter again and again.
_SHORT, _SHORT_PAGES, _LONG_PAGES = 2000, 40, 20
#: Seconds after which an item without a possible date is asked for again, and how many such items
#: are asked for after one page at the most.
_CHECKED, _CHECKS = 10.0, 8

log = logging.getLogger(__name__)


class Outage(NamedTuple):
    """A time in which lists can't be read, and what is known of them grows old.

    Attributes:
        since: its first failure, in seconds since the epoch.
        last: its last failure.
        message: why that failed, one line for a person.
    """

    since: float
    last: float
    message: str


class SpanReader:
    """Begins to read spans.

    Args:
        source: where items are listed.
        store: where they are kept.
        health: is told whether the source answers.
        clock: seconds since the epoch.
        page: items that one page holds.
        pause: waits for some seconds.
    """

    def __init__(
        self,
        source: Source,
        store: CatalogStore,
        health: CircuitBreaker,
        clock: Callable[[], float],
        page: int = PAGE,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.source = source
        self.store = store
        self.health = health
        self.clock = clock
        self.page = page
        self.pause = pause
        self._lock = threading.Lock()
        self._outage: Outage | None = None

    @property
    def outage(self) -> Outage | None:
        """Since when lists can't be read; None while they can."""
        with self._lock:
            return self._outage

    def note_answer(self, error: HistfsError | None) -> None:
        """Keep whether a page of a list came.

        Args:
            error: why it didn't; None when it did.
        """
        with self._lock:
            if error is None:
                self._outage = None
            else:
                since = self.clock() if self._outage is None else self._outage.since
                self._outage = Outage(since, self.clock(), str(error))

    @property
    def known_on_page(self) -> int:
        """How many known items are asked for again at once.

        There is room for a few that are new: a page too many would cost as much as a page.
        """
        return self.page - self.page // 50

    def knows_undated(self) -> bool:
        """Say whether the items without a possible date have been asked for.

        A list that is filtered by time need not hold them.
        """
        reliable = not self.source.traits.disorder
        return reliable or self.store.undated_sought or self.store.whole_read is not None

    def read_undated(self) -> None:
        """Ask for the items without a possible date.

        A list without a filter has all of them, among their neighbours. Where that is long, those
        whose dates lie in the future or before the year 2000 are asked for alone. Those that no
        filter finds, such as null, come with the first list that is read whole.

        Raises:
            As `SpanRead.next`.
        """
        reading, items = self.read(ALWAYS), 0
        for _ in range(_SHORT_PAGES):
            answer = reading.next()
            if not answer.more:
                # Also where the pages were asked for by time, and may lack what has no date.
                self.store.undated_sought = True
                return
            items += len(answer.records)
            if items >= _SHORT:
                break
        future = Span(int(self.clock()) + _FUTURE, ALWAYS.end)
        for span in (Span(ALWAYS.start, _PAST), future):
            reading = self.read(span)
            while reading.next().more:
                pass
        self.store.undated_sought = True

    def wants_whole_list(self, since: float) -> bool:
        """Say whether a list without a filter is still to be read, or once more.

        Only that has every item without a possible date. A list that takes very long is read so
        once at the most, when a scan begins with it.

        Args:
            since: when it has to have been read last, in seconds since the epoch.
        """
        traits = self.source.traits
        if not traits.disorder or not traits.stable_cursors:
            return False
        read = self.store.whole_read
        if read is not None and read >= since:
            return False
        return self.store.total() <= _LONG_PAGES * self.page

    def knows_whole(self) -> bool:
        """Say whether all has been asked for that lists filtered by time need not hold."""
        return self.knows_undated() and not self.wants_whole_list(-math.inf)

    def read(self, span: Span, *, limit: int | None = None, background: bool = False) -> SpanRead:
        """Begin to read a span.

        Args:
            span: what to ask for.
            limit: items on a page; None for as many as a page can hold.
            background: whether others come first.
        """
        return SpanRead(self, span, limit, background)


class SpanRead:
    """A span that is read page by page, from its end downwards."""

    def __init__(self, reader: SpanReader, span: Span, limit: int | None, background: bool) -> None:
        self._reader = reader
        self._paging = Pager(reader.source, span, limit)
        self._background = background
        # Of the first page alone: a cursor that was refused is not asked with again.
        self._question: Hashable = (span, limit)
        # Above the newest known item there was nothing. If there is more now than a page can tell,
        # what is in between is not known before the next page.
        self.newest = reader.store.newest(span)
        disorder = reader.source.traits.disorder
        self._outdated: Span | None = Span(
            span.start if self.newest is None else max(span.start, self.newest - disorder), span.end
        )
        self._coming: Future[tuple[float, SpanPage]] | None = None
        self._since: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is of the whole history, without a filter."""
        return self._paging.is_whole

    @property
    def is_ahead(self) -> bool:
        """Whether the next page is on its way."""
        return self._coming is not None

    def next(self, ahead: SingleFlight | None = None) -> SpanPage:
        """Ask for the next page and store it.

        Args:
            ahead: asks for the page after it while this one is being stored.

        Raises:
            SourceError: the source failed, or its pages can't be trusted.
            NoSpace, CacheFailed: the page can't be kept.
        """
        coming = self._coming
        if coming is not None and coming.done() and _has_passed(coming.exception()):
            coming = None
        asked, answer = coming.result() if coming else self._ask()
        if not answer.ordered:
            # The last page tells of all of them: it is as old as the first one.
            asked = self._since = asked if self._since is None else self._since
        # Before the next page is on its way: the last one may have to be asked for again.
        with self._asking():
            self._confirm(answer, asked)
        self._coming = ahead.submit(self, self._ask) if ahead and answer.more else None
        self._reader.store.replace(
            answer.span,
            answer.records,
            asked,
            answer.retracted or self._outdated,
            seen=answer.seen,
            undated=answer.undated,
        )
        self._outdated = None
        self._check_undated(answer)
        return answer

    def _confirm(self, answer: SpanPage, asked: float) -> None:
        """Make sure that known items which an answer lacks are gone, before they are forgotten.

        An answer with a part of the list looks like one after which items were deleted. So some of
        the missing items are asked for by their ids; and where these are not all, or nothing is
        left of the span, the list is asked for once more. A few items that the server has and does
        not list stay: what its filter takes for their time is unknown.

        Raises:
            BadAnswer: the answers contradict each other.
            SourceError: the source failed.
        """
        reader = self._reader
        missing = reader.store.missing(
            answer.span, answer.records, asked, seen=answer.seen, undated=answer.undated
        )
        if not missing:
            return
        sample = random.sample(missing, min(len(missing), _SAMPLE))
        there = [item for item in sample if self._is_there(item, answer.span)]
        if there and len(missing) > _FEW:
            raise BadAnswer(
                f"the server lists {len(missing)} known items no more, but has {there[0].key}"
            )
        if there:
            others = [item for item in missing if item not in sample]
            there += [item for item in others if self._is_there(item, answer.span)]
            log.warning("the server has %d items that it does not list: they stay", len(there))
            reader.store.keep_unlisted(there)
        elif len(missing) > len(sample) or (len(missing) > 1 and not answer.records):
            reader.pause(_PAUSE)
            keys = {item.key for item in missing}
            if any(record.item.key in keys for record in self._paging.again().records):
                raise BadAnswer("two answers of the server list different items")

    def _is_there(self, item: Item, span: Span) -> bool:
        """Say whether the server has an item, and a list of a span should hold it."""
        try:
            record = self._reader.source.get(item.id)
        except (Missing, Rejected):
            # Refused: nothing but the list can tell.
            return False
        # It may have got another date. One that was kept though a page lacked it is asked for again
        # with the last page, whose span it is not in.
        same = record.item.date == item.date
        return same or not record.dated or span.holds(record.item.date)

    def _check_undated(self, answer: SpanPage) -> None:
        """Ask for items without a possible date that the answer should hold, and doesn't.

        The server's filter by time may leave them out, so an answer without them does not tell that
        they are gone.
        """
        store, now = self._reader.store, self._reader.clock()
        missing = []
        for item in store.undated(answer.span, checked_before=now - _CHECKED, limit=_CHECKS):
            has = self._has(item)
            if has is None:
                return
            if has:
                store.set_checked(item.key, now)
            else:
                missing.append(item)
        if not missing:
            return
        # No list tells of them: one answer with 404 is not enough.
        self._reader.pause(_PAUSE)
        for item in missing:
            if self._has(item) is False:
                log.info("item %s is gone", item.key)
                store.discard(item.key, item.date)

    def _has(self, item: Item) -> bool | None:
        """Say whether the server has an item, by its id; None where it does not tell."""
        try:
            self._reader.source.get(item.id)
        except Missing:
            return False
        except SourceError as error:
            log.info("whether item %s is still there is not known: %s", item.key, error)
            return None
        return True

    def _ask(self) -> tuple[float, SpanPage]:
        asked = self._reader.clock()
        question, self._question = self._question, None
        with self._asking(question):
            return asked, self._paging.next()

    @contextlib.contextmanager
    def _asking(self, question: Hashable = None) -> Iterator[None]:
        """Ask for something within the block, and keep how that went."""
        try:
            with self._reader.health.asking(self._background, question=question):
                yield
        except HistfsError as error:
            self._reader.note_answer(error)
            raise
        self._reader.note_answer(None)


def _has_passed(error: BaseException | None) -> bool:
    """Say whether another try may go well: a failure of the server, but no page that is wrong."""
    return isinstance(error, SourceError) and not isinstance(error, BadAnswer)
