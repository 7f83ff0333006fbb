"""Reading a span page by page, newest first: what each page tells completely.

No API promises the order of a list. Two models are tried, one after the other:

ordered     An item is at most ``disorder`` seconds newer than any item before it. Then the pages so
            far tell completely what is newer than their oldest date plus ``disorder``. What they
            hold below that is passed on to the page that tells it.
unordered   As soon as an item breaks that rule, nothing that the pages told is complete. The list
            is read again from its first page, and tells its span when its last page has come.

    ordered:    page 1                        [----------)  and some items below it
                page 2            [-----------)

The server is asked for the span and ``disorder`` seconds on either side of it: its filter may take
another moment for an item's time than the item's date.

Records without a possible date (`Record.dated`) say nothing of the order.

Where a cursor may be a number of items to skip (`Traits.stable_cursors`), an ordered list is
continued without one: by asking for what is at most ``disorder`` seconds newer than the oldest date
so far. So consecutive pages overlap by the last item at least.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from histfs.core.errors import BadAnswer
from histfs.core.item import Record
from histfs.core.source import Page, Query, Source
from histfs.core.times import ALWAYS, Span

#: Empty pages in a row that are gone past: a server may look through its items bit by bit.
_EMPTY = 100


@dataclass(frozen=True, slots=True)
class SpanPage:
    """What the pages so far tell.

    Attributes:
        span: what this page, with those before, tells completely; it may be empty.
        records: newest first: those of the span, and others that the page holds.
        rest: what lies below; empty when this was the last page.
        retracted: a span that earlier answers told, and that is not complete after all.
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
        """Whether something lies below."""
        return self.rest.start < self.rest.end


class Pages:
    """The pages of an answer, one after the other. For one thread.

    Args:
        source: where to ask.
        query: what to ask for.
    """

    def __init__(self, source: Source, query: Query) -> None:
        self._source = source
        self._query = query
        self._asked = query
        self._cursors: set[str] = set()
        self._empty = 0

    def again(self) -> Page:
        """Ask for the last page once more.

        Raises:
            SourceError: the source failed.
        """
        return self._source.list(self._asked)

    def next(self) -> Page:
        """Ask for the next page; the one without a cursor is the last.

        Raises:
            BadAnswer: the pages lead nowhere.
            SourceError: the source failed.
        """
        self._asked = self._query
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


class Pager:
    """A span that is read from its end downwards. For one thread.

    Args:
        source: where to ask.
        span: what to ask for.
        limit: items on a page; None for as many as a page can hold.
    """

    def __init__(self, source: Source, span: Span, limit: int | None = None) -> None:
        self._source = source
        self._span = span
        self._disorder = source.traits.disorder
        self._query = Query(span.widened(self._disorder), limit=limit)
        self._ordered = True
        self._edge: list[Record] = []
        self._previous: Set[str] = frozenset()
        self._begin()

    @property
    def is_whole(self) -> bool:
        """Whether no filter by time can leave out a record without a possible date."""
        return self._whole

    def again(self) -> Page:
        """Ask for the last page once more.

        Raises:
            SourceError: the source failed.
        """
        return self._last.again()

    def _begin(self) -> None:
        """Set out for the first page."""
        self._pages = self._last = Pages(self._source, self._query)
        self._whole = self._span == ALWAYS
        self._told = self._span.end
        self._low = self._query.span.end
        self._edge = []
        self._previous = frozenset()
        self._seen: set[tuple[int, str]] = set()
        self._undated: set[str] = set()

    def next(self) -> SpanPage:
        """Ask for the next page.

        Raises:
            BadAnswer: the pages lead nowhere.
            SourceError: the source failed.
        """
        self._last = self._pages
        page = self._pages.next()
        # A page may repeat items of the page before: an item was added, or deleted, in between.
        new = [record for record in page.records if record.item.key not in self._previous]
        self._previous = {record.item.key for record in (*self._edge, *page.records)}
        self._undated.update(record.item.key for record in new if not record.dated)
        if self._ordered and not self._follow(new):
            if self._told < self._span.end:
                return self._read_again(page)
            self._ordered = False
        records = sorted([*self._edge, *new], key=lambda record: -record.item.date)
        last = page.cursor is None
        top = self._told
        seen: Set[tuple[int, str]] = frozenset()
        if self._ordered:
            # A server that ignores where the span starts must not make it longer.
            bound = max(self._span.start, self._low + self._disorder + 1)
            self._told = self._span.start if last else min(top, bound)
            self._edge = [record for record in records if record.item.date < self._told]
            stable = self._source.traits.stable_cursors
            if not (stable or last) and new and self._told < top:
                span = Span(self._query.span.start, self._told)
                self._pages = Pages(self._source, replace(self._query, span=span))
                self._whole = False
        else:
            self._edge = []
            self._seen.update((record.item.date, record.item.key) for record in records)
            if last:
                self._told, seen = self._span.start, self._seen
        return SpanPage(
            Span(self._told, top),
            records,
            Span(self._span.start, self._told),
            seen=seen,
            undated=frozenset(self._undated) if last and self._whole else None,
            ordered=self._ordered,
        )

    def _follow(self, records: Sequence[Record]) -> bool:
        """Follow the order through a page; return whether it holds."""
        for record in records:
            if record.dated:
                if record.item.date - self._low > self._disorder:
                    return False
                self._low = min(self._low, record.item.date)
        return True

    def _read_again(self, page: Page) -> SpanPage:
        """Give up on the order after pages that told something: start from the first page again."""
        retracted = Span(self._told, self._span.end)
        records = [*self._edge, *page.records]
        self._ordered = False
        self._begin()
        nothing = Span(self._told, self._told)
        return SpanPage(nothing, records, self._span, retracted=retracted, ordered=False)
