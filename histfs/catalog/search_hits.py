"""Resolve hits of a search that only names items: in the catalog, in lists, else one by one.

Unknown items are listed a page at a time, from the newest one downwards. Each page begins at one of
them, so that there are never more pages than unknown items, nor than pages of all items.

    named            x       x   x                  x
    pages   [----------------]   [------------------]

Threads: any number at once share a `SearchHitResolver`; it has no state.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping

from histfs.catalog.span_reader import SpanReader
from histfs.core.errors import BadAnswer, Missing
from histfs.core.index import Listed
from histfs.core.item import Record
from histfs.core.names import key_of
from histfs.core.source import Named
from histfs.core.times import Span

#: Items that are requested one by one, at the most: lists have all others.
_SINGLE = 50


class SearchHitResolver:
    """Finds the items that a search names.

    Args:
        reader: reads from the source into the store.
    """

    def __init__(self, reader: SpanReader) -> None:
        self._reader = reader
        self._store = reader.store

    def resolve(self, named: Iterable[Named]) -> list[Listed]:
        """Return the items that are named, oldest first, without those that are gone meanwhile.

        Raises:
            BadAnswer: far more is named than there is.
            SourceError: the source failed.
            NoSpace, CacheFailed: what was found can't be stored.
        """
        wanted = {key_of(item.id): item for item in named}
        found = self._at_their_dates(wanted)
        # An item without a possible date is shown under another one's.
        found |= self._anywhere(_without(wanted, found))
        unknown = _without(wanted, found)
        self._list(unknown)
        found |= self._at_their_dates(unknown)
        return sorted([*found.values(), *self._get(_without(unknown, found))])

    def _at_their_dates(self, named: Mapping[str, Named]) -> dict[str, Listed]:
        """Return the items that the catalog has under the dates that the search gives."""
        items = (
            self._store.find(key, item.date) for key, item in named.items() if item.date is not None
        )
        return {item.key: Listed(item.date, item.key, item.slug) for item in items if item}

    def _anywhere(self, named: Mapping[str, Named]) -> dict[str, Listed]:
        """Return the items that the catalog has under any date; scans the whole table."""
        if not named:
            return {}
        rows = self._store.files.rows(
            "SELECT date, key, slug FROM items WHERE key IN (SELECT value FROM json_each(?))",
            (json.dumps(list(named)),),
        )
        return {key: Listed(date, key, slug) for date, key, slug in rows}

    def _list(self, named: Mapping[str, Named]) -> None:
        """Read lists around some items; there may be items that no list has."""
        dates = sorted({item.date for item in named.values() if item.date is not None})
        lowest, reached = dates[0] if dates else 0, None
        for date in reversed(dates):
            if reached is not None and date >= reached:
                continue
            read = self._reader.read(Span(lowest, date + 1))
            while (reached := read.next().span.start) > date:
                pass

    def _get(self, named: Mapping[str, Named]) -> list[Listed]:
        """Request some items one by one, and store them."""
        if len(named) > _SINGLE:
            raise BadAnswer(f"the search names {len(named)} items that are in no list")
        requested_at = self._reader.clock()
        records: list[Record] = []
        for item in named.values():
            with contextlib.suppress(Missing):
                records.append(self._reader.source.get(item.id))
        return self._store.add(records, requested_at)


def _without(named: Mapping[str, Named], found: Mapping[str, Listed]) -> dict[str, Named]:
    return {key: item for key, item in named.items() if key not in found}
