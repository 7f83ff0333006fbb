"""``search/WORDS``: the items whose text has some words; not listed, there when looked up.

No program that walks through the mount comes here: a directory for each of all words that there
could be has no end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from histfs.core.index import Index, Listed
from histfs.core.item import Item
from histfs.core.times import ALWAYS
from histfs.core.views.base import At, Whole
from histfs.core.waiting import Waiter


class Search(Whole):
    """What a search finds; who finds it is the index's matter."""

    name = "search"
    listed = False
    total = False

    def prepare(self, at: At, index: Index, waiter: Waiter) -> None:
        """Search."""
        if at:
            index.search(at[0], waiter)

    def listable(self, at: At, index: Index) -> bool:
        """Say whether these words were searched for a moment ago."""
        return not at or index.found(at[0]) is not None

    def newest(self, at: At, index: Index) -> int | None:
        """Return the date of the newest item that was found, or of all where there is none."""
        dates = [listed.date for listed in self.items(at, index)] if at else []
        return max(dates) if dates else index.newest(ALWAYS) or 0

    def subdirectories(self, at: At, index: Index) -> Sequence[str]:
        """Return nothing."""
        return ()

    def items(self, at: At, index: Index) -> Iterator[Listed]:
        """Yield what was found, oldest first."""
        return iter(index.found(at[0]) or ())

    def holds(self, at: At, item: Item, index: Index) -> bool:
        """Say whether an item was found."""
        return any(listed.key == item.key for listed in self.items(at, index))

    def home(self, item: Item, index: Index) -> At | None:
        """Return nothing: an item is found with many words."""
        return None
