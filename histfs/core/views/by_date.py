"""``by-date/YYYY/MM/DD``: where every item has its home."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from histfs.core.index import Index
from histfs.core.item import Item
from histfs.core.times import ALWAYS, Span, Zone
from histfs.core.views.base import At

#: Spans that are remembered, more than ten years of days.
_SPANS = 4096


class ByDate:
    """Items by the local day on which they were made.

    Args:
        zone: the zone in which days begin.
    """

    name = "by-date"
    depth = 3

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._spans = lru_cache(_SPANS)(self._span)

    def span(self, at: At) -> Span | None:
        """Return the span of a year, a month or a day; None when the calendar has no such one."""
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

    def settled(self, at: At, index: Index) -> bool:
        """Say whether all is known from the newest known item of the directory to its end."""
        span = self.span(at)
        if span is None:
            return True
        newest = index.newest(span)
        return index.complete(Span(span.start if newest is None else newest + 1, span.end))

    def newest(self, at: At, index: Index) -> int | None:
        """Return the date of the newest item in a year, a month or a day."""
        span = self.span(at)
        return None if span is None else index.newest(span)

    def subdirectories(self, at: At, index: Index) -> Sequence[str]:
        """Return the years, the months of a year or the days of a month that have items."""
        return sorted(self._inhabited(at, index))

    def items(self, at: At, index: Index) -> Sequence[Item]:
        """Return the items of a day."""
        span = self.span(at)
        return [] if span is None else index.between(span)

    def home(self, item: Item, index: Index) -> At:
        """Return year, month and day of an item."""
        return tuple(self._zone.local(item.date).isoformat()[:10].split("-"))

    def _inhabited(self, at: At, index: Index) -> Iterator[str]:
        """Hop from the newest item to the newest one before its year, its month, its day."""
        span = self.span(at)
        while span is not None:
            newest = index.newest(span)
            if newest is None:
                return
            here = tuple(self._zone.local(newest).isoformat()[:10].split("-"))[: len(at) + 1]
            yield here[-1]
            inner = self.span(here)
            span = Span(span.start, min(inner.start, newest)) if inner else None
