"""Makes items known that a search only names: from the catalog, else from a list, else one by one.

What isn't known is listed a page at a time, from the newest such item downwards. Each page begins
at one of them, so that there are never more pages than items that are not known, nor than pages of
all items.

    named            x       x   x                  x
    pages   [----------------]   [------------------]

Threads: a `HitResolver` is shared by any number; it has no state.
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

#: Items that are asked for one by one, at the most: lists have all others.
_SINGLE = 50


class HitResolver:
    """Finds the items that a search names.

    Args:
        reader: asks the source, and has the store.
    """

    def __init__(self, reader: SpanReader) -> None:
        self._reader = reader
        self._store = reader.store

    def items(self, named: Iterable[Named]) -> list[Listed]:
        """Return the items that are named, oldest first; what is gone meanwhile is left out.

        Raises:
            BadAnswer: far more is named than there is.
            SourceError: the source failed.
            NoSpace, CacheFailed: what was found can't be kept.
        """
        wanted = {key_of(item.id): item for item in named}
        listed = self._listed(wanted)
        # One without a usable date stands under another one's.
        listed |= self._anywhere(_without(wanted, listed))
        unknown = _without(wanted, listed)
        self._list(unknown)
        listed |= self._listed(unknown)
        return sorted([*listed.values(), *self._get(_without(unknown, listed))])

    def _listed(self, named: Mapping[str, Named]) -> dict[str, Listed]:
        """Return those of some items that are known under the dates that they are named with."""
        items = (
            self._store.find(key, item.date) for key, item in named.items() if item.date is not None
        )
        return {item.key: Listed(item.date, item.key, item.slug) for item in items if item}

    def _anywhere(self, named: Mapping[str, Named]) -> dict[str, Listed]:
        """Return those of some items that are known under any date; reads all of the catalog."""
        if not named:
            return {}
        rows = self._store.files.rows(
            "SELECT date, key, slug FROM items WHERE key IN (SELECT value FROM json_each(?))",
            (json.dumps(list(named)),),
        )
        return {key: Listed(date, key, slug) for date, key, slug in rows}

    def _list(self, named: Mapping[str, Named]) -> None:
        """List some items; there may be some that no list has."""
        dates = sorted({item.date for item in named.values() if item.date is not None})
        lowest, reached = dates[0] if dates else 0, None
        for date in reversed(dates):
            if reached is not None and date >= reached:
                continue
            reading = self._reader.read(Span(lowest, date + 1))
            while (reached := reading.next().span.start) > date:
                pass

    def _get(self, named: Mapping[str, Named]) -> list[Listed]:
        """Get some items one by one."""
        if len(named) > _SINGLE:
            raise BadAnswer(f"the search names {len(named)} items that are in no list")
        asked = self._reader.clock()
        records: list[Record] = []
        for item in named.values():
            with contextlib.suppress(Missing):
                records.append(self._reader.source.get(item.id))
        return self._store.add(records, asked)


def _without(named: Mapping[str, Named], listed: Mapping[str, Listed]) -> dict[str, Named]:
    return {key: item for key, item in named.items() if key not in listed}
