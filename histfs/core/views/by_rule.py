"""Views by a rule: one function maps an item to the name of its directory.

The directories of each month are cached, not its items; the rule runs again only for the months in
which the index has changed.

Threads: `_lock` guards `_months`, the cache; the index and the rule are not called while it is
held.
"""

from __future__ import annotations

import threading
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from histfs.core.index import Index, Listed
from histfs.core.item import Item
from histfs.core.names import component
from histfs.core.times import ALWAYS, Span, Zone
from histfs.core.views.view import At, WholeHistoryView


class _Month(NamedTuple):
    """The directories of a month.

    Attributes:
        version: of the index, for which they are valid.
        newest: the date of the newest item, by the name of the directory.
    """

    version: int
    newest: dict[str, int]


class ByRule(WholeHistoryView):
    """A view whose method `directory` decides where an item is shown."""

    def __init__(self, zone: Zone) -> None:
        super().__init__(zone)
        self._lock = threading.Lock()
        self._months: dict[Span, _Month] = {}

    @abstractmethod
    def directory(self, item: Item, index: Index) -> str | None:
        """Return the name of the directory that shows an item; None if none does.

        Args:
            item: the item.
            index: has its `facets` and its `details`, each of which costs a query.
        """

    def newest(self, at: At, index: Index) -> int | None:
        """Return the date of the newest item of a directory, or of all items."""
        if not at:
            return index.newest(ALWAYS)
        dates = (month.newest.get(at[0]) for month in self._update(index).values())
        return max((date for date in dates if date is not None), default=None)

    def subdirectories(self, at: At, index: Index) -> Sequence[str]:
        """Return every name that the rule returns."""
        return sorted({name for month in self._update(index).values() for name in month.newest})

    def items(self, at: At, index: Index) -> Iterator[Listed]:
        """Yield the items for which the rule returns a name, oldest first."""
        months = [span for span, month in self._update(index).items() if at[0] in month.newest]
        for span in sorted(months):
            for item in index.items(span):
                if self.home(item, index) == at:
                    yield Listed(item.date, item.key, item.slug)

    def home(self, item: Item, index: Index) -> At | None:
        """Return the directory that the rule names."""
        name = component(self.directory(item, index) or "")
        return (name,) if name else None

    def _update(self, index: Index) -> dict[Span, _Month]:
        """Bring the cache up to date, and return all months that have items, newest first."""
        version = index.version
        months = {}
        rest = ALWAYS
        while (newest := index.newest(rest)) is not None:
            local = self.zone.local(newest)
            span = self.zone.month(local.year, local.month)
            # `Zone.local` clips dates that no calendar can show: their month must hold them.
            span = Span(min(span.start, newest), max(min(span.end, rest.end), newest + 1))
            months[span] = self._update_month(span, index, version)
            rest = Span(ALWAYS.start, span.start)
        with self._lock:
            self._months = months
        return months

    def _update_month(self, span: Span, index: Index, version: int) -> _Month:
        with self._lock:
            cached = self._months.get(span)
        if cached is not None and index.unchanged(span, cached.version):
            # Valid now, too; the index can't tell for ever what changed since an old version.
            return cached._replace(version=version)
        newest: dict[str, int] = {}
        for item in index.items(span):
            for name in self.home(item, index) or ():
                newest[name] = item.date  # the last one is the newest
        return _Month(version, newest)


class ByText(ByRule):
    """``by-text/WORDS_CHECKSUM``: generations of one text side by side, whatever its case."""

    name = "by-text"

    def directory(self, item: Item, index: Index) -> str | None:
        """Return the first words of the text, and a checksum of all; None without a text."""
        text = " ".join((index.details(item).text or "").casefold().split())
        return f"{item.slug}_{zlib.crc32(text.encode('utf-8', 'replace')):08x}" if text else None


class ByDay(ByRule):
    """``by-day/2024-05-02``: all days in one flat list."""

    name = "by-day"

    def directory(self, item: Item, index: Index) -> str:
        """Return the local day on which the item was created."""
        return self.zone.stamp(item.date)[:10]
