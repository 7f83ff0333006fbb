"""Reading a span page by page, newest first: what each page tells completely.

A page that ends in the middle of a second doesn't tell all of that second; what it has of it is
passed on to the page that does.

    page 1                        [----------)  and some of the second before
    page 2            [-----------)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from histfs.core.errors import BadAnswer
from histfs.core.item import Record
from histfs.core.source import Page, Query, Source
from histfs.core.times import Span

#: Empty pages in a row that are gone past: a server may look through its items bit by bit.
_EMPTY = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """What the pages so far tell.

    Attributes:
        span: what this page, with those before, tells completely.
        records: newest first: those of the span, and some of the second before it.
        rest: what lies below; empty when this was the last page.
    """

    span: Span
    records: Sequence[Record]
    rest: Span

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
        self._cursors: set[str] = set()
        self._empty = 0

    def next(self) -> Page:
        """Ask for the next page; the one without a cursor is the last.

        Raises:
            BadAnswer: the pages lead nowhere.
            SourceError: the source failed.
        """
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


class Paging:
    """A span that is read from its end downwards. For one thread.

    Args:
        source: where to ask.
        span: what to ask for.
        limit: items on a page; None for as many as a page can hold.
    """

    def __init__(self, source: Source, span: Span, limit: int | None = None) -> None:
        self._pages = Pages(source, Query(span, limit=limit))
        self._rest = span
        self._edge: list[Record] = []

    def next(self) -> Answer:
        """Ask for the next page.

        Raises:
            BadAnswer: the pages can't be trusted: what is complete can't be told then.
            SourceError: the source failed.
        """
        page = self._pages.next()
        start, top = self._rest
        low = _lowest(page.records, top)
        records = [*self._edge, *page.records]
        self._edge = [record for record in records if record.item.date == low]
        # A server that ignores where the span starts must not make it longer.
        told = start if page.cursor is None else max(start, low + 1)
        self._rest = Span(start, told)
        return Answer(Span(told, top), records, self._rest)


def _lowest(records: Sequence[Record], top: int) -> int:
    """Return the date of the oldest item on a page of items from before ``top``.

    Raises:
        BadAnswer: the page is not newest first.
    """
    low = top - 1
    for record in records:
        if record.item.date > low:
            raise BadAnswer("the server's pages are not in the order of time")
        low = record.item.date
    return low
