"""``by-voice/VOICE``, ``by-source/SOURCE``: items by something that they have in common.

A name that stood for one voice in this mount never comes to stand for another one, whatever is
deleted: ``rm -r Rachel``, said twice, must not empty the second Rachel.

Threads: `_lock` guards the names that were given out and the answer made of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from histfs.core.index import FacetValue, Index, Listed
from histfs.core.item import Item
from histfs.core.names import Labelled, name_directories
from histfs.core.times import ALWAYS, Span
from histfs.core.views.base import At
from histfs.core.waiting import Waiter


class ByFacet:
    """Items by one of their facets.

    Args:
        name: the view's folder, such as ``by-voice``.
        kind: the facet, such as ``voice``.
        nothing: the directory of the items that have none, such as ``(no voice)``.
    """

    depth = 1

    def __init__(self, name: str, kind: str, nothing: str) -> None:
        self.name = name
        self._kind = kind
        self._nothing = nothing
        self._lock = threading.Lock()
        self._given: dict[str, str] = {}
        self._known: tuple[int, dict[str, FacetValue]] | None = None

    def span(self, at: At) -> Span | None:
        """Return all time: which values there are, and what they hold, needs the whole history."""
        return ALWAYS

    def prepare(self, at: At, index: Index, waiter: Waiter) -> None:
        """Wait for the whole history."""
        index.ensure(ALWAYS, waiter)

    def listable(self, at: At, index: Index) -> bool:
        """Say whether the whole history is known: before, names can't be given out."""
        return index.complete(ALWAYS)

    seek, settled = prepare, listable

    def newest(self, at: At, index: Index) -> int | None:
        """Return the date of the newest item that has the value, or of all items."""
        values = self._values(index)
        if not at:
            return max((value.newest for value in values.values()), default=None)
        value = values.get(at[0])
        return None if value is None else value.newest

    def subdirectories(self, at: At, index: Index) -> Sequence[str]:
        """Return a name for each value."""
        return sorted(self._values(index))

    def items(self, at: At, index: Index) -> Iterator[Listed]:
        """Yield the items that have the value."""
        value = self._values(index).get(at[0])
        return iter(()) if value is None else index.having(self._kind, value.value)

    def home(self, item: Item, index: Index) -> At:
        """Return the directory of the value that the item has."""
        has = index.facets(item).get(self._kind)
        if has is None:
            return ()
        values = self._values(index)
        return tuple(name for name, known in values.items() if known.value == has.value)

    def _values(self, index: Index) -> dict[str, FacetValue]:
        """Return the values by their directory names."""
        version = index.version
        with self._lock:
            if self._known is not None and self._known[0] == version:
                return self._known[1]
        values = {value.value: value for value in index.facet_values(self._kind)}
        with self._lock:
            named = set(self._given.values())
            new = [Labelled(v.value, v.label) for v in values.values() if v.value not in named]
            name_directories(self._given, new, self._nothing)
            found = {name: values[value] for name, value in self._given.items() if value in values}
            self._known = (version, found)
            return found
