"""The `ItemFile` protocol, and the base of those whose bytes come from an item's details."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Protocol

from histfs.core.errors import IsADirectory, NoAttachment
from histfs.core.file_context import FileContext
from histfs.core.item import Details, Item
from histfs.core.nodes import BytesFile, OpenFile
from histfs.core.sizes import FileSize
from histfs.core.waiting import Waiter

#: How many sizes are remembered, so that stat after stat of a file renders it once.
_SIZES = 16_384
#: Bytes that are shown before there are details to render; a program that opens the file learns
#: better. Never 0, which some take for the end of the file.
ESTIMATE = 4096
_ESTIMATED = FileSize(ESTIMATE, is_exact=False)


class ItemFile(Protocol):
    """One file that every item exposes."""

    @property
    def deletes(self) -> bool:
        """Whether unlinking the file deletes the item, or only hides the file in this mount."""

    def before_archive(self, item: Item, waiter: Waiter) -> None:
        """Have all of the file's bytes on this machine, and sound."""

    def before_delete(self, item: Item, waiter: Waiter) -> None:
        """See to it that who has the file open can read on when the item is deleted."""

    def filename(self, item: Item) -> str | None:
        """Return the file's name in the item's directory, None when this item has no such file."""

    def size(self, item: Item, waiter: Waiter) -> int:
        """Return the size in bytes, without asking the network where that is possible."""

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open the file."""


class KnownSizeFile:
    """The base of an item file that tells whether its size is exact; no ABC, as each stat asks."""

    def known_size(self, item: Item, waiter: Waiter) -> FileSize:
        """Return the size, exact or estimated, as `ItemFile.size` does."""
        raise NotImplementedError

    def size(self, item: Item, waiter: Waiter) -> int:
        """Return the size in bytes, exact or estimated."""
        return self.known_size(item, waiter).size


class ItemFolder(ABC):
    """A directory in an item's directory. Stands among the item files, as an `ItemFile`.

    Attributes:
        name: the directory's name, the same for every item.
    """

    name: str
    deletes = False

    @abstractmethod
    def ensure_members(self, item: Item, waiter: Waiter) -> None:
        """Find out what the directory holds, where that isn't known yet; may ask the network.

        Raises:
            As `Index.full`.
        """

    @abstractmethod
    def members(self, item: Item) -> Mapping[str, ItemFile]:
        """Return its files by their names, as far as they are known; empty where there are none."""

    def filename(self, item: Item) -> str | None:
        """Return the directory's name, None while this item is not known to have one."""
        return self.name if self.members(item) else None

    def before_archive(self, item: Item, waiter: Waiter) -> None:
        """Have all of its files on this machine, apart from those that are gone for certain."""
        self.ensure_members(item, waiter)
        for file in self.members(item).values():
            with contextlib.suppress(NoAttachment):
                file.before_archive(item, waiter)

    def before_delete(self, item: Item, waiter: Waiter) -> None:  # noqa: B027
        """Nothing to do: each of its files sees to itself."""

    def size(self, item: Item, waiter: Waiter) -> int:
        """Refuse: a directory has no size."""
        raise IsADirectory(self.name)

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Refuse: a directory can't be opened as a file."""
        raise IsADirectory(self.name)


def flattened(named: Mapping[str, ItemFile], item: Item) -> dict[str, ItemFile]:
    """Return an item's files by their paths in its directory, with those in its folders."""
    flat: dict[str, ItemFile] = {}
    for name, file in named.items():
        if isinstance(file, ItemFolder):
            members = file.members(item)
            flat.update({f"{name}/{member}": each for member, each in members.items()})
        else:
            flat[name] = file
    return flat


def by_name(files: Iterable[ItemFile], item: Item) -> dict[str, ItemFile]:
    """Return the files that an item has by their names, in their order.

    Of several with one name it is the first, or the one that deletes the item.
    """
    named: dict[str, ItemFile] = {}
    for file in files:
        name = file.filename(item)
        if name is not None and (name not in named or file.deletes):
            named[name] = file
    return named


class Rendered(KnownSizeFile, ABC):
    """The base of an item file that is made from the item's details.

    They are fetched when the file is opened, where the source lists less than all of them.

    Args:
        library: has the details.

    Attributes:
        name: the file's name, the same for every item.
    """

    name: str
    deletes = False

    def __init__(self, library: FileContext) -> None:
        self._index = library.index
        self._measured = lru_cache(_SIZES)(self._measure)

    @abstractmethod
    def render(self, details: Details) -> bytes:
        """Return the file's bytes."""

    def before_archive(self, item: Item, waiter: Waiter) -> None:
        """Fetch the details, unless they are here."""
        self._index.full(item, waiter)

    def before_delete(self, item: Item, waiter: Waiter) -> None:
        """Nothing to do: an open file has all of its bytes."""

    def filename(self, item: Item) -> str | None:
        """Return the file's name."""
        return self.name

    def known_size(self, item: Item, waiter: Waiter) -> FileSize:
        """Return the size of what `render` gives; an estimate while that can't be told."""
        revision = self._index.full_revision(item)
        return _ESTIMATED if revision is None else self._measured(item, revision)

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open what `render` gives, as it is now."""
        return BytesFile(self.render(self._index.full(item, waiter)))

    def _measure(self, item: Item, revision: int) -> FileSize:
        details = self._index.known(item)
        return _ESTIMATED if details is None else FileSize(len(self.render(details)), True)
