"""Items by something that they have in common, such as their voice: ``by-voice/VOICE``.

An item that has several values, such as a dialogue of two voices, is shown under each of them.

A name that stood for one voice never comes to stand for another one, whatever is deleted: ``rm -r
Rachel``, said twice, must not empty the second Rachel, and a backup's ``by-voice/Rachel`` must not
be filled with her clips. The index keeps the names for that (`Index.named_values`).

Threads: `_lock` guards the index's last answer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence, Set

from histfs.core.index import FacetValue, Index, Listed
from histfs.core.item import Item
from histfs.core.times import Zone
from histfs.core.views.view import At, WholeHistoryView


class ByFacet(WholeHistoryView):
    """Items by one of their facets.

    Attributes:
        name: the view's folder, such as ``by-voice``.
        facet: the facet, such as ``voice``.
        nothing: the directory of the items that have none, such as ``(no voice)``.
    """

    facet: str
    nothing: str

    def __init__(self, zone: Zone) -> None:
        super().__init__(zone)
        self._lock = threading.Lock()
        self._known: tuple[int, Mapping[str, FacetValue]] | None = None

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
        return iter(()) if value is None else index.having(self.facet, value.value)

    def home(self, item: Item, index: Index) -> At | None:
        """Return the directory of the item's first value."""
        return next(iter(self.places(item, index)), None)

    def places(self, item: Item, index: Index) -> Sequence[At]:
        """Return the directories of the values that the item has."""
        has = index.facets(item).get(self.facet, ())
        names = {known.value: name for name, known in self._values(index).items()} if has else {}
        return [(names[value],) for value, _ in has if value in names]

    def linked(self, at: At, index: Index) -> Set[str]:
        """Return the items that have the value, but another one before it."""
        value = self._values(index).get(at[0])
        return frozenset() if value is None else index.secondary(self.facet, value.value)

    def _values(self, index: Index) -> Mapping[str, FacetValue]:
        """Return the values by their directory names."""
        version = index.version
        with self._lock:
            if self._known is not None and self._known[0] == version:
                return self._known[1]
            # The directory of a value that is renamed stays as it is until the next mount.
            first = self._known is None
        found = index.named_values(self.name, self.facet, self.nothing, rename=first)
        with self._lock:
            self._known = (version, found)
        return found


class ByVoice(ByFacet):
    """``by-voice/VOICE``."""

    name, facet, nothing = "by-voice", "voice", "(no voice)"


class BySource(ByFacet):
    """``by-source/SOURCE``: by what made it, such as ``TTS``."""

    name, facet, nothing = "by-source", "source", "(no source)"


class ByModel(ByFacet):
    """``by-model/MODEL``."""

    name, facet, nothing = "by-model", "model", "(no model)"


class ByAgent(ByFacet):
    """``by-agent/AGENT``: conversations by who talked for you."""

    name, facet, nothing = "by-agent", "agent", "(no agent)"


class ByOutcome(ByFacet):
    """``by-outcome/OUTCOME``: conversations by how they went: success, failure or unknown."""

    name, facet, nothing = "by-outcome", "outcome", "(no outcome)"
