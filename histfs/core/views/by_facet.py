"""Views by a facet, such as ``by-voice/VOICE``: items that share a value share a directory.

An item with several values, such as a dialogue of two voices, stands in the directory of each.

A directory's name is never reused for another value, whatever is deleted: a second ``rm -r Rachel``
must not delete the clips of another voice of that name, and a backup must not mix the two. The
index stores the names (`Index.named_values`).

Threads: `_lock` guards `_cached`, the values at one version of the index; the index is not called
while it is held.
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
        nothing: the directory of the items without a value, such as ``(no voice)``.
    """

    facet: str
    nothing: str

    def __init__(self, zone: Zone) -> None:
        super().__init__(zone)
        self._lock = threading.Lock()
        self._cached: tuple[int, Mapping[str, FacetValue]] | None = None

    def newest(self, at: At, index: Index) -> int | None:
        """Return the date of the newest item with the value, or of all items."""
        values = self._values(index)
        if not at:
            return max((value.newest for value in values.values()), default=None)
        value = values.get(at[0])
        return None if value is None else value.newest

    def subdirectories(self, at: At, index: Index) -> Sequence[str]:
        """Return the name of each value."""
        return sorted(self._values(index))

    def items(self, at: At, index: Index) -> Iterator[Listed]:
        """Yield the items with the value, oldest first."""
        value = self._values(index).get(at[0])
        return iter(()) if value is None else index.having(self.facet, value.value)

    def home(self, item: Item, index: Index) -> At | None:
        """Return the directory of the item's first value."""
        return next(iter(self.places(item, index)), None)

    def places(self, item: Item, index: Index) -> Sequence[At]:
        """Return the directories of the item's values."""
        own = index.facets(item).get(self.facet, ())
        names = {known.value: name for name, known in self._values(index).items()} if own else {}
        return [(names[value],) for value, _ in own if value in names]

    def linked(self, at: At, index: Index) -> Set[str]:
        """Return the keys of the items that have the value, but not as their first."""
        value = self._values(index).get(at[0])
        return frozenset() if value is None else index.secondary(self.facet, value.value)

    def _values(self, index: Index) -> Mapping[str, FacetValue]:
        """Return the values by their directory names."""
        version = index.version
        with self._lock:
            if self._cached is not None and self._cached[0] == version:
                return self._cached[1]
            # A value that is renamed at the source keeps its directory until the next mount.
            first = self._cached is None
        values = index.named_values(self.name, self.facet, self.nothing, rename=first)
        with self._lock:
            self._cached = (version, values)
        return values


class ByVoice(ByFacet):
    """``by-voice/VOICE``."""

    name, facet, nothing = "by-voice", "voice", "(no voice)"


class BySource(ByFacet):
    """``by-source/SOURCE``: by the product that generated the clip, such as ``TTS``."""

    name, facet, nothing = "by-source", "source", "(no source)"


class ByModel(ByFacet):
    """``by-model/MODEL``."""

    name, facet, nothing = "by-model", "model", "(no model)"


class ByAgent(ByFacet):
    """``by-agent/AGENT``: conversations by their agent."""

    name, facet, nothing = "by-agent", "agent", "(no agent)"


class ByChannel(ByFacet):
    """``by-channel/CHANNEL``: conversations by how they began, such as ``twilio`` or ``widget``."""

    name, facet, nothing = "by-channel", "channel", "(no channel)"


class ByLanguage(ByFacet):
    """``by-language/LANGUAGE``: conversations by their main language, such as ``en``."""

    name, facet, nothing = "by-language", "language", "(no language)"


class ByTag(ByFacet):
    """``by-tag/TAG``: conversations by the ids of their tags; one with several under each."""

    name, facet, nothing = "by-tag", "tag", "(no tag)"


class ByOutcome(ByFacet):
    """``by-outcome/OUTCOME``: conversations by success, failure or unknown."""

    name, facet, nothing = "by-outcome", "outcome", "(no outcome)"
