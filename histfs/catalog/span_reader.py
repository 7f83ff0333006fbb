"""Reading a span from the source into the store.

A `SpanReader` is shared by all that read; each `read` gives a `SpanRead`, one span's pages.

Threads: any number at once share a `SpanReader`; `_lock` guards its outage, and no other lock is
taken while it is held. A `SpanRead` belongs to one thread, which may let another one fetch the next
page.
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
from histfs.core.times import ALWAYS, CLOCK_TOLERANCE, FIRST_POSSIBLE, Span

#: Items that one page holds, at the most.
PAGE = 1000
#: Missing items that are requested by their ids; how many may be missing of which the server has
#: some; and the seconds before the list is requested again.
_SAMPLE, _FEW, _PAUSE = 5, 20, 3.0
#: Seconds before an empty page is requested again.
_SHORT_PAUSE = 0.2
#: Items, and pages, of an unfiltered list that is read before years can be listed; and pages of one
#: that is read again and again.
_SHORT, _SHORT_PAGES, _LONG_PAGES = 2000, 40, 20
#: Seconds after which an undated item is requested again, and how many of them are requested after
#: one page at the most.
_CHECKED, _CHECKS = 10.0, 8

log = logging.getLogger(__name__)


class Outage(NamedTuple):
    """A time in which lists fail, and the catalog grows stale.

    Attributes:
        since: the first failure, in seconds since the epoch.
        last: the last failure.
        message: the reason of the last failure, one line for a person.
    """

    since: float
    last: float
    message: str


class SpanReader:
    """Begins to read spans.

    Args:
        source: lists the items.
        store: keeps them.
        breaker: is told whether the source answers.
        clock: seconds since the epoch.
        page_size: items that one page holds.
        pause: waits for some seconds.
    """

    def __init__(
        self,
        source: Source,
        store: CatalogStore,
        breaker: CircuitBreaker,
        clock: Callable[[], float],
        page_size: int = PAGE,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.source = source
        self.store = store
        self.breaker = breaker
        self.clock = clock
        self.page_size = page_size
        self.pause = pause
        self._lock = threading.Lock()
        self._outage: Outage | None = None

    @property
    def outage(self) -> Outage | None:
        """Since when lists fail; None while they succeed."""
        with self._lock:
            return self._outage

    def record_result(self, error: HistfsError | None) -> None:
        """Record whether a page of a list came.

        Args:
            error: why it did not; None when it did.
        """
        with self._lock:
            if error is None:
                self._outage = None
            else:
                since = self.clock() if self._outage is None else self._outage.since
                self._outage = Outage(since, self.clock(), str(error))

    @property
    def refresh_size(self) -> int:
        """The number of known items that one request refreshes.

        A page has room for a few more that are new: a second page would double the cost.
        """
        return self.page_size - self.page_size // 50

    def has_undated(self) -> bool:
        """Say whether the items without a possible date have been requested.

        A list that is filtered by time need not hold them.
        """
        reliable = not self.source.traits.disorder
        notes = self.store.notes
        return reliable or notes.undated_fetched or notes.full_list_at is not None

    def fetch_undated(self) -> None:
        """Request the items without a possible date.

        An unfiltered list has all of them, among their neighbours. Where that list is long, those
        whose dates lie in the future or before the year 2000 are requested alone. Those that no
        filter finds, such as null, come with the first unfiltered list that is read completely.

        Raises:
            As `SpanRead.next`.
        """
        read, items = self.read(ALWAYS), 0
        for _ in range(_SHORT_PAGES):
            page = read.next()
            if not page.more:
                # Also where the pages were requested by time, and may lack undated items.
                self.store.notes.undated_fetched = True
                return
            items += len(page.records)
            if items >= _SHORT:
                break
        future = Span(int(self.clock()) + 2 * CLOCK_TOLERANCE, ALWAYS.end)
        for span in (Span(ALWAYS.start, FIRST_POSSIBLE), future):
            read = self.read(span, may_be_empty=True)
            while read.next().more:
                pass
        self.store.notes.undated_fetched = True

    def needs_full_list(self, since: float) -> bool:
        """Say whether an unfiltered list is still to be read, or once more.

        Only that holds every item without a possible date. A list that takes very long is read
        unfiltered once at the most, when a scan begins with it.

        Args:
            since: when it has to have been read last, in seconds since the epoch.
        """
        traits = self.source.traits
        if not traits.disorder or not traits.stable_cursors:
            return False
        read = self.store.notes.full_list_at
        if read is not None and read >= since:
            return False
        return self.store.total() <= _LONG_PAGES * self.page_size

    def has_all_undated(self) -> bool:
        """Say whether all has been requested that lists filtered by time need not hold."""
        return self.has_undated() and not self.needs_full_list(-math.inf)

    def read(
        self,
        span: Span,
        *,
        limit: int | None = None,
        background: bool = False,
        may_be_empty: bool = False,
    ) -> SpanRead:
        """Begin to read a span.

        Args:
            span: the span.
            limit: items on a page; None for as many as a page can hold.
            background: whether no caller waits for it (`CircuitBreaker.request`).
            may_be_empty: whether an empty page is believed where nothing is known.
        """
        return SpanRead(self, span, limit, background=background, may_be_empty=may_be_empty)


class SpanRead:
    """Reads one span page by page, from its end downwards, and stores each page."""

    def __init__(
        self,
        reader: SpanReader,
        span: Span,
        limit: int | None,
        *,
        background: bool,
        may_be_empty: bool,
    ) -> None:
        self._reader = reader
        self._may_be_empty = may_be_empty
        self._pager = Pager(reader.source, span, limit)
        self._background = background
        # Of the first page alone: a cursor that was refused is not used again.
        self._request_key: Hashable = (span, limit)
        # Above the newest known item there was nothing. If there is more now than a page can tell,
        # the part in between is unknown until the next page.
        self.newest = reader.store.newest(span)
        disorder = reader.source.traits.disorder
        self._outdated: Span | None = Span(
            span.start if self.newest is None else max(span.start, self.newest - disorder), span.end
        )
        self._prefetched: Future[tuple[float, SpanPage]] | None = None
        self._since: float | None = None

    @property
    def is_unfiltered(self) -> bool:
        """Whether it reads the whole history without a filter by time."""
        return self._pager.is_unfiltered

    @property
    def is_prefetching(self) -> bool:
        """Whether the next page has been requested."""
        return self._prefetched is not None

    def next(self, prefetch: SingleFlight | None = None) -> SpanPage:
        """Fetch the next page and store it.

        Args:
            prefetch: fetches the page after it while this one is being stored.

        Raises:
            SourceError: the source failed, or its pages contradict each other.
            NoSpace, CacheFailed: the page can't be stored.
        """
        prefetched = self._prefetched
        if prefetched is not None and prefetched.done() and _is_transient(prefetched.exception()):
            prefetched = None
        requested_at, page = prefetched.result() if prefetched else self._fetch()
        if not page.ordered:
            # An unordered list is valid as of the request of its first page.
            requested_at = self._since = requested_at if self._since is None else self._since
        # Before the next page is requested: this one may have to be requested again.
        with self._request():
            self._confirm_empty(page)
            self._confirm(page, requested_at)
        self._prefetched = prefetch.submit(self, self._fetch) if prefetch and page.more else None
        self._reader.store.replace(
            page.span,
            page.records,
            requested_at,
            page.retracted or self._outdated,
            seen=page.seen,
            undated=page.undated,
        )
        self._outdated = None
        self._check_undated(page)
        return page

    def _confirm_empty(self, page: SpanPage) -> None:
        """Request an empty page again before it covers a span of which nothing is known.

        No known item contradicts a page that is empty by mistake. Shown as an empty directory, it
        would let a backup delete what it has.

        Raises:
            BadAnswer: the second page is not empty.
            SourceError: the source failed.
        """
        store = self._reader.store
        if self._may_be_empty or page.records or page.seen or page.span.start >= page.span.end:
            return
        if store.covers(page.span) or store.newest(page.span) is not None:
            return
        self._reader.pause(_SHORT_PAUSE)
        if self._pager.refetch().records:
            raise BadAnswer("the server lists items that it did not list a moment before")

    def _confirm(self, page: SpanPage, requested_at: float) -> None:
        """Make sure that known items which a page lacks are gone, before they are removed.

        A truncated page looks like a page after deletions. So a sample of the missing items is
        requested by id, and one item that the page lists: a server that answers 404 to that one,
        too, tells nothing by ids. Where this leaves a doubt, more items are missing, or nothing is
        left of the span, the page is requested again. A few items that the server has and does not
        list stay: which time its filter uses for them is unknown.

        Raises:
            BadAnswer: the answers contradict each other.
            SourceError: the source failed.
        """
        reader = self._reader
        missing = reader.store.missing(
            page.span, page.records, requested_at, seen=page.seen, undated=page.undated
        )
        if not missing:
            return
        sample = random.sample(missing, min(len(missing), _SAMPLE))
        found = {item: self._is_present(item, page.span) for item in sample}
        present = [item for item in sample if found[item]]
        if present and len(missing) > _FEW:
            raise BadAnswer(
                f"the server lists {len(missing)} known items no more, but has {present[0].key}"
            )
        if present:
            others = [item for item in missing if item not in found]
            present += [item for item in others if self._is_present(item, page.span)]
            log.warning("the server has %d items that it does not list: they stay", len(present))
            reader.store.mark_unlisted(present)
        elif (
            len(missing) > len(sample)
            or None in found.values()
            or (len(missing) > 1 and not page.records)
            or (page.records and self._has(page.records[0].item) is not True)
        ):
            reader.pause(_PAUSE)
            keys = {item.key for item in missing}
            if any(record.item.key in keys for record in self._pager.refetch().records):
                raise BadAnswer("two answers of the server list different items")

    def _is_present(self, item: Item, span: Span) -> bool | None:
        """Return whether a list of a span should hold an item; None where the server refuses."""
        try:
            record = self._reader.source.get(item.id)
        except Missing:
            return False
        except Rejected:
            return None
        # It may have got another date. An item that stayed though a page lacked it is requested
        # again with the last page, whose span it is not in.
        same = record.item.date == item.date
        return same or not record.dated or span.holds(record.item.date)

    def _check_undated(self, page: SpanPage) -> None:
        """Request undated items that the page should hold, and does not.

        The server's filter by time may leave them out: that a page lacks them tells nothing.
        """
        store, now = self._reader.store, self._reader.clock()
        missing = []
        for item in store.undated(page.span, checked_before=now - _CHECKED, limit=_CHECKS):
            has = self._has(item)
            if has is None:
                return
            if has:
                store.set_checked(item.key, now)
            else:
                missing.append(item)
        if not missing:
            return
        # No list tells about them, so one 404 is not enough.
        self._reader.pause(_PAUSE)
        for item in missing:
            if self._has(item) is False:
                log.info("item %s is gone", item.key)
                store.discard(item.key, item.date)

    def _has(self, item: Item) -> bool | None:
        """Return whether the server has an item, by its id; None where it does not tell."""
        try:
            self._reader.source.get(item.id)
        except Missing:
            return False
        except SourceError as error:
            log.info("whether item %s still exists is not known: %s", item.key, error)
            return None
        return True

    def _fetch(self) -> tuple[float, SpanPage]:
        """Return the next page, and when it was requested in seconds since the epoch."""
        requested_at = self._reader.clock()
        key, self._request_key = self._request_key, None
        with self._request(key):
            return requested_at, self._pager.next()

    @contextlib.contextmanager
    def _request(self, key: Hashable = None) -> Iterator[None]:
        """Guard a request within the block with the breaker, and record its result."""
        try:
            with self._reader.breaker.request(self._background, key=key):
                yield
        except HistfsError as error:
            self._reader.record_result(error)
            raise
        self._reader.record_result(None)


def _is_transient(error: BaseException | None) -> bool:
    """Say whether another try may succeed: a failure of the server, but no wrong page."""
    return isinstance(error, SourceError) and not isinstance(error, BadAnswer)
