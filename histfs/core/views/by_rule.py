"""Items by a rule: a view that is one function from an item to the name of its directory.

The rule is asked again only for the months in which something has changed, and what is kept of a
month is which directories it has, not its items.

Threads: `_lock` guards what is known of the months.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from histfs.core.index import Index, Listed
from histfs.core.item import Item
from histfs.core.names import component
from histfs.core.times import ALWAYS, Span, Zone
from histfs.core.views.view import At, WholeHistoryView


class _Month(NamedTuple):
    """What is known of a month.

    Attributes:
        version: the index's, when the directories were these.
        newest: the date of the newest item of each directory.
    """

    version: int
    newest: dict[str, int]


class ByRule(WholeHistoryView):
    """A view whose `directory` says where an item is shown."""

    def __init__(self, zone: Zone) -> None:
        super().__init__(zone)
        self._lock = threading.Lock()
        self._months: dict[Span, _Month] = {}

    @abstractmethod
    def directory(self, item: Item, index: Index) -> str | None:
        """Return the name of the directory in which an item is shown; None for none.

        Args:
            item: the item.
            index: has its `facets` and its `details`, which cost more than the item itself.
        """

    def newest(self, at: At, index: Index) -> int | None:
        """Return the date of the newest item of a directory, or of all items."""
        if not at:
            return index.newest(ALWAYS)
        dates = (month.newest.get(at[0]) for month in self._read(index).values())
        return max((date for date in dates if date is not None), default=None)

    def subdirectories(self, at: At, index: Index) -> Sequence[str]:
        """Return every name that the rule gives."""
        return sorted({name for month in self._read(index).values() for name in month.newest})

    def items(self, at: At, index: Index) -> Iterator[Listed]:
        """Yield the items for which the rule gives a name, oldest first."""
        months = [span for span, month in self._read(index).items() if at[0] in month.newest]
        for span in sorted(months):
            for item in index.items(span):
                if self.home(item, index) == at:
                    yield Listed(item.date, item.key, item.slug)

    def home(self, item: Item, index: Index) -> At | None:
        """Return what the rule gives."""
        name = component(self.directory(item, index) or "")
        return (name,) if name else None

    def _read(self, index: Index) -> dict[Span, _Month]:
        """Return all months that have items."""
        version = index.version
        found = {}
        rest = ALWAYS
        while (newest := index.newest(rest)) is not None:
            local = self.zone.local(newest)
            span = self.zone.month(local.year, local.month)
            # What is dated out of the calendar's reach is shown at its end.
            span = Span(min(span.start, newest), max(min(span.end, rest.end), newest + 1))
            found[span] = self._read_month(span, index, version)
            rest = Span(ALWAYS.start, span.start)
        with self._lock:
            self._months = found
        return found

    def _read_month(self, span: Span, index: Index, version: int) -> _Month:
        with self._lock:
            known = self._months.get(span)
        if known is not None and index.unchanged(span, known.version):
            # It is what it is now, too: an index forgets what changed long ago.
            return known._replace(version=version)
        newest: dict[str, int] = {}
        for item in index.items(span):
            for name in self.home(item, index) or ():
                newest[name] = item.date  # the last one is the newest
        return _Month(version, newest)


class ByDay(ByRule):
    """``by-day/2024-05-02``: all days in one flat list."""

    name = "by-day"

    def directory(self, item: Item, index: Index) -> str:
        """Return the local day on which the item was made."""
        return self.zone.stamp(item.date)[:10]
