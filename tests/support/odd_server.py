"""A source whose server's order is not strict, and whose items may have impossible dates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from histfs.core.errors import Missing
from histfs.core.item import Record
from histfs.core.source import Page, Query
from histfs.core.times import ALWAYS
from histfs.sources.elevenlabs.json_parsing import dates_of
from tests.support.clock import Clock
from tests.support.memory import MemorySource, record


@dataclass(frozen=True, slots=True)
class Entry:
    """An item on the server.

    Attributes:
        id: its id.
        time: its creation by the server's clock, in Unix seconds.
        date: its ``date_unix``.
    """

    id: str
    time: int
    date: int


class OddServer(MemorySource):
    """A source that lists entries newest first.

    Args:
        entries: the items.
        page_size: the maximum number of items on a page.
        disorder: seconds, `Traits.disorder`.
        order: the field that lists are sorted by.
        filter_by: the field that the time filter compares.
    """

    def __init__(
        self,
        entries: Iterable[Entry],
        page_size: int,
        *,
        disorder: int,
        order: Literal["time", "date"] = "time",
        filter_by: Literal["time", "date"] = "date",
    ) -> None:
        super().__init__((), page_size)
        self.traits = replace(self.traits, disorder=disorder)
        self.entries = list(entries)
        self._order = order
        self._filter_by = filter_by

    def list(self, query: Query) -> Page:
        """Return one page; its cursor is the id of its last item."""
        self._called("list", query)
        found = [
            e
            for e in self.entries
            if query.span == ALWAYS or query.span.holds(getattr(e, self._filter_by))
        ]
        found.sort(key=lambda e: (-getattr(e, self._order), e.id))
        if query.after is not None:
            found = found[[e.id for e in found].index(query.after) + 1 :]
        size = min(query.limit or self.page_size, self.page_size)
        entries = found[:size]
        return Page(_records(entries), entries[-1].id if len(found) > size else None)

    def get(self, item_id: str) -> Record:
        """Return one item."""
        self._called("get", item_id)
        found = [e for e in self.entries if e.id == item_id]
        if not found:
            raise Missing(f"no item {item_id}")
        return _records(found)[0]


def _records(entries: list[Entry]) -> list[Record]:
    dates, possible = dates_of([e.date for e in entries], Clock().now)
    return [
        replace(record(e.id, date), dated=dated)
        for e, date, dated in zip(entries, dates, possible, strict=True)
    ]
