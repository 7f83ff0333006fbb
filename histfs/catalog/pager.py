"""The pages of one span, newest first, and for which part of it they are complete.

No API promises the order of a list. Two models are tried, one after the other:

ordered     An item is at most ``disorder`` seconds newer than any item before it. Then the pages so
            far are complete above their oldest date plus ``disorder``. The items below that are
            carried over to the next page.
unordered   As soon as an item breaks that rule, no page before it was complete. The list is read
            again from its first page, and is complete with its last page.

    ordered:    page 1                        [----------)  and some items below it
                page 2            [-----------)

The request is for the span and ``disorder`` seconds on either side of it: the server's filter may
use another time for an item than the item's date.

Records without a possible date (`Record.dated`) say nothing about the order.

Where a cursor may be a number of items to skip (`Traits.stable_cursors`), an ordered list is
continued without one: by a request for what is at most ``disorder`` seconds newer than the oldest
date so far. So consecutive pages overlap by the last item at least.

Threads: a `Pager` belongs to one thread at a time.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from histfs.core.errors import BadAnswer
from histfs.core.item import Record
from histfs.core.source import Page, Query, Source
from histfs.core.times import ALWAYS, Span

#: Empty pages in a row that are accepted: a server may look through its items bit by bit.
_EMPTY = 100


@dataclass(frozen=True, slots=True)
class SpanPage:
    """A page, and what is complete with it.

    Attributes:
        span: the part of the span that this page completes; it may be empty.
        records: newest first: those of the span, and others that the page holds.
        rest: the part of the span below; empty after the last page.
        retracted: a part that earlier pages had completed, and that is not complete after all.
        seen: date and key of each record of the pages before that are not in ``records``, where
            the span depends on them: an unordered list, once it has been read to its end.
        undated: keys of all records without a possible date, when the whole history has been read;
            None before.
        ordered: whether the list keeps the order of time.
    """

    span: Span
    records: Sequence[Record]
    rest: Span
    retracted: Span | None = None
    seen: Set[tuple[int, str]] = frozenset()
    undated: Set[str] | None = None
    ordered: bool = True

    @property
    def more(self) -> bool:
        """Whether further pages follow."""
        return self.rest.start < self.rest.end


class Pager:
    """Reads a span from its end downwards.

    `fetch` returns the next page as the source sent it, which is all that a search needs. `next`
    adds which part of the span it completes.

    Args:
        source: the source to request from.
        span: the span to read.
        limit: items on a page; None for as many as a page can hold.
        words: only items that match these words (`Query.words`).
        sources: as in `Query.sources`.
    """

    def __init__(
        self,
        source: Source,
        span: Span = ALWAYS,
        limit: int | None = None,
        *,
        words: str | None = None,
        sources: tuple[str, ...] = (),
    ) -> None:
        self._source = source
        self._span = span
        self._disorder = source.traits.disorder
        self._first = Query(span.widened(self._disorder), limit=limit, words=words, sources=sources)
        self._ordered = True
        self._restart()

    def _begin(self, query: Query) -> None:
        """Continue with the first page of a query."""
        self._query = query
        self._cursors: set[str] = set()
        self._empty = 0

    def _restart(self) -> None:
        """Continue with the first page of the span."""
        self._begin(self._first)
        self._last = self._first
        self._unfiltered = self._span == ALWAYS
        # The start of the complete part, and the lowest date so far.
        self._reached = self._span.end
        self._lowest = self._first.span.end
        self._carried: list[Record] = []
        self._previous: Set[str] = frozenset()
        self._seen: set[tuple[int, str]] = set()
        self._undated: set[str] = set()

    @property
    def is_unfiltered(self) -> bool:
        """Whether no filter by time can leave out a record without a possible date."""
        return self._unfiltered

    def fetch(self) -> Page:
        """Return the next page; the one without a cursor is the last.

        After a failure the same page can be fetched again.

        Raises:
            BadAnswer: the cursors go round in a circle, or lead from one empty page to the next.
            SourceError: the source failed.
        """
        self._last = self._query
        page = self._source.list(self._query)
        if page.cursor is not None:
            if page.cursor in self._cursors:
                raise BadAnswer("the server gave the same page cursor twice")
            self._cursors.add(page.cursor)
            self._empty = 0 if page.records or page.named else self._empty + 1
            if self._empty > _EMPTY:
                raise BadAnswer("the server gives one empty page after the other")
            self._query = replace(self._query, after=page.cursor)
        return page

    def refetch(self) -> Page:
        """Return the last page once more, as the source sends it now.

        Raises:
            SourceError: the source failed.
        """
        return self._source.list(self._last)

    def next(self) -> SpanPage:
        """Return the next page, and which part of the span it completes.

        Raises:
            As `fetch`.
        """
        page = self.fetch()
        # A page may repeat items of the page before: an item was added, or deleted, in between.
        new = [record for record in page.records if record.item.key not in self._previous]
        self._previous = {record.item.key for record in (*self._carried, *page.records)}
        self._undated.update(record.item.key for record in new if not record.dated)
        if self._ordered and not self._follow(new):
            if self._reached < self._span.end:
                return self._read_again(page)
            self._ordered = False
        records = sorted([*self._carried, *new], key=lambda record: -record.item.date)
        last = page.cursor is None
        top = self._reached
        seen: Set[tuple[int, str]] = frozenset()
        if self._ordered:
            # A server that ignores where the span starts must not make it longer.
            bound = max(self._span.start, self._lowest + self._disorder + 1)
            self._reached = self._span.start if last else min(top, bound)
            self._carried = [record for record in records if record.item.date < self._reached]
            stable = self._source.traits.stable_cursors
            if not (stable or last) and new and self._reached < top:
                span = Span(self._first.span.start, self._reached)
                self._begin(replace(self._first, span=span))
                self._unfiltered = False
        else:
            self._carried = []
            self._seen.update((record.item.date, record.item.key) for record in records)
            if last:
                self._reached, seen = self._span.start, self._seen
        return SpanPage(
            Span(self._reached, top),
            records,
            Span(self._span.start, self._reached),
            seen=seen,
            undated=frozenset(self._undated) if last and self._unfiltered else None,
            ordered=self._ordered,
        )

    def _follow(self, records: Sequence[Record]) -> bool:
        """Follow the order through a page; return whether it holds."""
        for record in records:
            if record.dated:
                if record.item.date - self._lowest > self._disorder:
                    return False
                self._lowest = min(self._lowest, record.item.date)
        return True

    def _read_again(self, page: Page) -> SpanPage:
        """Give up on the order after pages that completed something: restart."""
        retracted = Span(self._reached, self._span.end)
        records = [*self._carried, *page.records]
        self._ordered = False
        self._restart()
        nothing = Span(self._reached, self._reached)
        return SpanPage(nothing, records, self._span, retracted=retracted, ordered=False)
