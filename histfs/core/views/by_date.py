"""``by-date/YYYY/MM/DD``: every item in the directory of its local day.

A directory depends on its own span of time alone, so that a listing of one day costs no scan.

Threads: any number at once; the cache of spans guards itself, and there is no other state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from functools import lru_cache

from histfs.core.errors import NoSuchPath
from histfs.core.index import Index, Listed
from histfs.core.item import Item
from histfs.core.times import ALWAYS, Span, Zone
from histfs.core.views.view import At
from histfs.core.waiting import Waiter

#: Spans in the cache: more than ten years of days.
_SPANS = 4096


class ByDate:
    """Items by the local day on which they were created.

    Args:
        zone: the zone in which days begin.
    """

    name = "by-date"
    depth = 3
    facet = None
    whole_history = False
    listed = True
    total = True
    aliased = False

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._spans = lru_cache(_SPANS)(self._span)

    def span(self, at: At) -> Span | None:
        """Return the span of a year, a month or a day; None if the calendar doesn't have it."""
        return self._spans(at)

    def _span(self, at: At) -> Span | None:
        if not all(part.isascii() and part.isdigit() for part in at):
            return None
        if [len(part) for part in at] != [4, 2, 2][: len(at)]:
            return None
        numbers = [int(part) for part in at]
        try:
            match numbers:
                case []:
                    return ALWAYS
                case [year]:
                    return self._zone.year(year)
                case [year, month]:
                    return self._zone.month(year, month)
                case [year, month, day]:
                    return self._zone.day(year, month, day)
        except (ValueError, OverflowError):
            return None
        return None

    def ensure(self, at: At, index: Index, waiter: Waiter) -> None:
        """Wait for the items of a day; above days, for what decides which directories exist."""
        if len(at) == self.depth:
            self.ensure_newest(at, index, waiter)
        elif at:
            index.ensure_newest(self._parts(at), waiter)
        else:
            for years in self._populated(at, index):
                index.ensure_newest([years], waiter)

    def complete(self, at: At, index: Index) -> bool:
        """Say whether all items of a day are known; above days, which directories exist."""
        if len(at) == self.depth:
            return index.complete(self._existing(at))
        return all(map(index.knows_newest, self._parts(at) if at else self._populated(at, index)))

    def ensure_newest(self, at: At, index: Index, waiter: Waiter) -> None:
        """Wait for the newest item of a year or a month, or for all items of a day.

        A program that looks up a day is likely to list it next.
        """
        if len(at) == self.depth:
            index.ensure(self._existing(at), waiter)
        else:
            index.ensure_newest([self._existing(at)], waiter)

    def knows_newest(self, at: At, index: Index) -> bool:
        """Say whether the newest item of a directory is known."""
        return index.knows_newest(self._existing(at))

    def newest(self, at: At, index: Index) -> int | None:
        """Return the date of the newest item of a year, a month or a day."""
        span = self.span(at)
        return None if span is None else index.newest(span)

    def subdirectories(self, at: At, index: Index) -> Sequence[str]:
        """Return the years, the months of a year or the days of a month that have items."""
        newest = (index.newest(span) for span in self._populated(at, index))
        return sorted(self._at(date)[len(at)] for date in newest if date is not None)

    def items(self, at: At, index: Index) -> Iterator[Listed]:
        """Yield the items of a day."""
        return index.between(self._existing(at))

    def holds(self, at: At, item: Item, index: Index) -> bool:
        """Say whether a day is the item's."""
        return self._at(item.date) == at

    def home(self, item: Item, index: Index) -> At:
        """Return the year, month and day of an item."""
        return self._at(item.date)

    def places(self, item: Item, index: Index) -> Sequence[At]:
        """Return the year, month and day of an item."""
        return (self._at(item.date),)

    def linked(self, at: At, index: Index) -> Set[str]:
        """Return nothing: every item of a day has its home there."""
        return frozenset()

    def aliases(self, at: At, index: Index) -> Iterator[tuple[str, Listed]]:
        """Yield nothing: items have their own names."""
        return iter(())

    def _existing(self, at: At) -> Span:
        """Return the span of a directory; `NoSuchPath` if the calendar doesn't have it."""
        span = self.span(at)
        if span is None:
            raise NoSuchPath("/".join(at))
        return span

    def _parts(self, at: At) -> list[Span]:
        """Return the spans of the months of a year, or the days of a month."""
        spans = (self.span((*at, f"{number:02}")) for number in range(1, 32))
        return [span for span in spans if span is not None]

    def _populated(self, at: At, index: Index) -> Iterator[Span]:
        """Yield the span of a directory, then again what precedes the newest item's subdirectory.

        The caller ensures the newest item of each span before it takes the next one. So the walk
        skips subdirectories without items, and they cost no request.
        """
        span = self._existing(at)
        while True:
            yield span
            newest = index.newest(span)
            if newest is None:
                return
            inner = self._existing(self._at(newest)[: len(at) + 1])
            span = Span(span.start, min(inner.start, newest))

    def _at(self, moment: int) -> At:
        return tuple(self._zone.stamp(moment)[:10].split("-"))
