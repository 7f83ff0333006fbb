"""``by-date/2024-05``: the items of each local month in one flat directory; for ``listen``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from histfs.core.index import Index, Listed
from histfs.core.item import Item
from histfs.core.times import ALWAYS, Span
from histfs.core.views.view import At, WholeHistoryView
from histfs.core.waiting import Waiter


class ByMonth(WholeHistoryView):
    """Items by their local month. A month depends on its own span of time alone."""

    name = "by-date"

    def span(self, at: At) -> Span | None:
        """Return the span of a month; None if the calendar doesn't have it."""
        if not at:
            return ALWAYS
        year, _, month = at[0].partition("-")
        digits = year + month
        if not (digits.isascii() and digits.isdigit() and (len(year), len(month)) == (4, 2)):
            return None
        try:
            return self.zone.month(int(year), int(month))
        except (ValueError, OverflowError):
            return None

    def ensure(self, at: At, index: Index, waiter: Waiter) -> None:
        """Wait for the items of a month, or for the whole history."""
        span = self.span(at)
        if span is not None:
            index.ensure(span, waiter)

    def complete(self, at: At, index: Index) -> bool:
        """Say whether all items of a month, or of the whole history, are known."""
        span = self.span(at)
        return span is not None and index.complete(span)

    def newest(self, at: At, index: Index) -> int | None:
        """Return the date of the newest item of a month, or of all items."""
        span = self.span(at)
        return None if span is None else index.newest(span)

    def subdirectories(self, at: At, index: Index) -> Sequence[str]:
        """Return the months that have items."""
        found, end = [], ALWAYS.end
        while (newest := index.newest(Span(ALWAYS.start, end))) is not None:
            found.append(self._month(newest))
            local = self.zone.local(newest)
            # `Zone.local` clips dates that no calendar can show.
            end = min(self.zone.month(local.year, local.month).start, newest)
        return sorted(set(found))

    def items(self, at: At, index: Index) -> Iterator[Listed]:
        """Yield the items of a month."""
        span = self.span(at)
        return iter(()) if span is None else index.between(span)

    def home(self, item: Item, index: Index) -> At | None:
        """Return the month of an item."""
        return (self._month(item.date),)

    def _month(self, moment: int) -> str:
        return self.zone.stamp(moment)[: len("2024-05")]
