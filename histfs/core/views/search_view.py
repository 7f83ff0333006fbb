"""``search/WORDS``: the items whose text matches some words.

Any words have a directory, but none is listed: a program that walks the mount must not search.

A search shows at most `SEARCH_LIMIT` items. If it finds more, a file beside their links says so in
its name: the listing must not look complete. Stateless; the index keeps the hits.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence

from histfs.core.index import SEARCH_LIMIT, Index, Listed
from histfs.core.item import Item
from histfs.core.times import ALWAYS
from histfs.core.views.view import At, WholeHistoryView
from histfs.core.waiting import Waiter

#: The name and the contents of the file which says that there are more items.
MORE_NAME = f"MORE-THAN-{SEARCH_LIMIT}-MATCHES"
MORE_TEXT = f"""\
More than {SEARCH_LIMIT:,} items match. Only {SEARCH_LIMIT:,} of them are shown here.
Add words to the search to find fewer, or look under by-date, which shows all items.
""".encode()


class Search(WholeHistoryView):
    """The items that the index finds for some words."""

    name = "search"
    listed = False
    total = False

    def ensure(self, at: At, index: Index, waiter: Waiter) -> None:
        """Search for the words."""
        if at:
            index.search(at[0], waiter)

    def complete(self, at: At, index: Index) -> bool:
        """Say whether the index has the hits for these words."""
        return not at or index.found(at[0]) is not None

    def newest(self, at: At, index: Index) -> int | None:
        """Return the date of the newest hit; of the newest item if there is no hit."""
        found = index.found(at[0]) if at else None
        return found[-1].date if found else index.newest(ALWAYS) or 0

    def subdirectories(self, at: At, index: Index) -> Sequence[str]:
        """Return nothing."""
        return ()

    def items(self, at: At, index: Index) -> Iterator[Listed]:
        """Yield the hits that are shown, oldest first."""
        return iter(_shown(at, index))

    def holds(self, at: At, item: Item, index: Index) -> bool:
        """Say whether an item is a hit that is shown."""
        shown = _shown(at, index)
        position = bisect.bisect_left(shown, (item.date, item.key))
        return position < len(shown) and shown[position].key == item.key

    def home(self, item: Item, index: Index) -> At | None:
        """Return nothing: many searches find an item."""
        return None

    def more(self, at: At, index: Index) -> bool:
        """Say whether a search has more hits than are shown."""
        found = index.found(at[0]) if at else None
        return found is not None and len(found) > SEARCH_LIMIT


def _shown(at: At, index: Index) -> Sequence[Listed]:
    """Return the hits that are shown: the newest ones."""
    return (index.found(at[0]) or ())[-SEARCH_LIMIT:]
