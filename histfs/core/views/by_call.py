"""``by-call/CALL_ID``: a link for each id of a phone call, the carrier's and that of SIP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from histfs.core.index import Index, Listed
from histfs.core.item import Item
from histfs.core.names import suffixed
from histfs.core.views.by_facet import ByFacet
from histfs.core.views.view import At


class ByCall(ByFacet):
    """Conversations by their call id, once it is known: the server lists them without it.

    If two conversations have the same call id, the second one's name ends with its key.
    """

    name, facet, nothing = "by-call", "call", "(no call)"
    depth = 0
    total = False
    aliased = True

    def items(self, at: At, index: Index) -> Iterator[Listed]:
        """Yield the conversations whose call id is known."""
        # A call over SIP may have two ids.
        return iter(sorted({listed for _, listed in self.aliases(at, index)}))

    def places(self, item: Item, index: Index) -> Sequence[At]:
        """Return the view's folder, if the item has a call id."""
        return [()] if self.facet in index.facets(item) else ()

    def linked(self, at: At, index: Index) -> Set[str]:
        """Return nothing: there is one directory."""
        return frozenset()

    def aliases(self, at: At, index: Index) -> Iterator[tuple[str, Listed]]:
        """Yield the conversations whose call id is known, named by that id, safe in a path."""
        for name, value in self._values(index).items():
            for number, listed in enumerate(index.having(self.facet, value.value)):
                yield suffixed(name, listed.key) if number else name, listed
