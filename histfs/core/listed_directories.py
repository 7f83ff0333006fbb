"""The directories that were listed last, each with its items in the order of its listing.

Programs read clips in the order in which they have them from a listing. A view of another package
may list them in any order, so that is remembered when it is listed; no view is called for it later.

Threads: any number at once. `ListedDirectories._lock` guards the directories; nothing is called
while it is held. A `ListedDirectory` does not change.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from histfs.core.index import Listed
from histfs.core.path_nodes import Path

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
        named_places: their numbers in `by_name`, by their keys.
    """

    __slots__ = ("by_name", "listed", "named_places", "places")

    def __init__(self, names: Sequence[str], items: Sequence[Listed]) -> None:
        named: dict[str, tuple[str, Listed]] = {}
        for name, item in zip(names, items, strict=True):
            named.setdefault(item.key, (name, item))
        self.listed = tuple(item for _, item in named.values())
        by_name = tuple(item for _, item in sorted(named.values()))
        self.by_name, self.places = by_name, _places(self.listed)
        self.named_places = self.places
        if by_name == self.listed:
            self.by_name = self.listed
        else:
            self.named_places = _places(by_name)


def _places(items: Sequence[Listed]) -> Mapping[str, int]:
    return {item.key: place for place, item in enumerate(items)}


class Noted(NamedTuple):
    """A directory that was listed.

    Attributes:
        number: greater than those of the directories that were listed before.
        path: of the directory; it begins with what identifies the view.
        directory: its items.
    """

    number: int
    path: Path
    directory: ListedDirectory


class ListedDirectories:
    """The directories of a source that were listed last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # The one that was listed last is the last one.
        self._directories: OrderedDict[Path, Noted] = OrderedDict()
        self._listed = self._items = 0

    def note(self, path: Path, directory: ListedDirectory) -> None:
        """Note that a directory was listed.

        Args:
            path: of the directory; it begins with what identifies the view.
            directory: its items.
        """
        with self._lock:
            known = self._directories.pop(path, None)
            if known is not None:
                self._items -= len(known.directory.listed)
            self._listed += 1
            self._directories[path] = Noted(self._listed, path, directory)
            self._items += len(directory.listed)
            while self._items > _ITEMS or len(self._directories) > _DIRECTORIES:
                _, oldest = self._directories.popitem(last=False)
                self._items -= len(oldest.directory.listed)

    def holding(self, key: str, number: int) -> list[Noted]:
        """Return the directories that show an item, that which was listed last first.

        Args:
            key: of the item.
            number: how many at the most.
        """
        with self._lock:
            found = [each for each in self._directories.values() if key in each.directory.places]
        return found[: -number - 1 : -1]

    def after(self, noted: Noted) -> Noted | None:
        """Return the directory of the same view that was listed next; None if there is none."""
        with self._lock:
            later = (each for each in self._directories.values() if each.number > noted.number)
            return next((each for each in later if each.path[0] == noted.path[0]), None)
