"""The directories that were listed last, each with its items in the order of its listing.

Programs read clips in the order in which they have them from a listing. A view of another package
may list them in any order, so that is remembered when it is listed; no view is called for it later.

Threads: any number at once. `ListedDirectories._lock` guards the directories; nothing is called
while it is held. A `ListedDirectory` does not change.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence

from histfs.core.index import Listed

#: Directories that are kept, and their items, some 300 bytes each.
_DIRECTORIES, _ITEMS = 1000, 20_000


class ListedDirectory:
    """A directory of items, as it was listed.

    Args:
        names: of the entries, as listed.
        items: that the entries show; the first name of an item counts.

    Attributes:
        listed: the items in the order of the listing.
        by_name: the items in the order of their names, as programs that sort have it.
        places: their numbers in `listed`, by their keys.
    """

    __slots__ = ("by_name", "listed", "places")

    def __init__(self, names: Sequence[str], items: Sequence[Listed]) -> None:
        named: dict[str, tuple[str, Listed]] = {}
        for name, item in zip(names, items, strict=True):
            named.setdefault(item.key, (name, item))
        self.listed = tuple(item for _, item in named.values())
        by_name = tuple(item for _, item in sorted(named.values()))
        self.by_name = self.listed if by_name == self.listed else by_name
        self.places = {item.key: place for place, item in enumerate(self.listed)}


class ListedDirectories:
    """The directories of a source that were listed last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # The one that was listed last is the last one.
        self._directories: OrderedDict[Hashable, ListedDirectory] = OrderedDict()
        self._items = 0

    def note(self, path: Hashable, directory: ListedDirectory) -> None:
        """Note that a directory was listed.

        Args:
            path: identifies it.
            directory: its items.
        """
        with self._lock:
            known = self._directories.pop(path, None)
            self._items += len(directory.listed) - (0 if known is None else len(known.listed))
            self._directories[path] = directory
            while self._items > _ITEMS or len(self._directories) > _DIRECTORIES:
                _, oldest = self._directories.popitem(last=False)
                self._items -= len(oldest.listed)

    def holding(self, key: str, number: int) -> list[ListedDirectory]:
        """Return the directories that show an item, that which was listed last first.

        Args:
            key: of the item.
            number: how many at the most.
        """
        with self._lock:
            found = [each for each in self._directories.values() if key in each.places]
        return found[: -number - 1 : -1]
