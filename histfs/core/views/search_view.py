"""``search/WORDS``: the items whose text has some words; not listed, there when looked up.

No program that walks through the mount comes here: a directory for each of all words that there
could be has no end.

A search shows `SEARCH_LIMIT` items at the most. Where it finds more a file beside their links says
so in its name: such a listing must not look like a complete one.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence

from histfs.core.index import SEARCH_LIMIT, Index, Listed
from histfs.core.item import Item
from histfs.core.times import ALWAYS
from histfs.core.views.view import At, WholeHistoryView
from histfs.core.waiting import Waiter

#: The file that says so, and what is in it.
MORE_NAME = f"MORE-THAN-{SEARCH_LIMIT}-MATCHES"
MORE_TEXT = f"""\
More than {SEARCH_LIMIT:,} items match. Only {SEARCH_LIMIT:,} of them are shown here.
Add words to the search to find fewer, or look under by-date, which shows all items.
""".encode()


class Search(WholeHistoryView):
    """What a search finds; who finds it is the index's matter."""

    name = "search"
    listed = False
    total = False

    def ensure(self, at: At, index: Index, waiter: Waiter) -> None:
        """Search."""
        if at:
            index.search(at[0], waiter)

    def complete(self, at: At, index: Index) -> bool:
        """Say whether these words were searched for a moment ago."""
        return not at or index.found(at[0]) is not None

    def newest(self, at: At, index: Index) -> int | None:
        """Return the date of the newest item that was found, or of all where there is none."""
        found = index.found(at[0]) if at else None
        return found[-1].date if found else index.newest(ALWAYS) or 0

    def subdirectories(self, at: At, index: Index) -> Sequence[str]:
        """Return nothing."""
        return ()

    def items(self, at: At, index: Index) -> Iterator[Listed]:
        """Yield the newest items of those that were found, oldest first."""
        return iter(_shown(at, index))

    def holds(self, at: At, item: Item, index: Index) -> bool:
        """Say whether an item was found, and is shown."""
        shown = _shown(at, index)
        place = bisect.bisect_left(shown, (item.date, item.key))
        return place < len(shown) and shown[place].key == item.key

    def home(self, item: Item, index: Index) -> At | None:
        """Return nothing: an item is found with many words."""
        return None

    def more(self, at: At, index: Index) -> bool:
        """Say whether a search found more items than are shown."""
        found = index.found(at[0]) if at else None
        return found is not None and len(found) > SEARCH_LIMIT


def _shown(at: At, index: Index) -> Sequence[Listed]:
    return (index.found(at[0]) or ())[-SEARCH_LIMIT:]
