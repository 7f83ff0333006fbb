"""The `ItemFile` protocol: one file, or one folder, in each item's directory."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Protocol

from histfs.core.errors import IsADirectory, NoAttachment
from histfs.core.item import Item
from histfs.core.nodes import FileStream, OpenFile
from histfs.core.sizes import FileSize
from histfs.core.waiting import Waiter

#: The size in bytes that a file shows before its bytes can be known; an open file shows the exact
#: size. Never 0, which some programs take for the end of the file.
ESTIMATE = 4096
#: The same as a `FileSize`.
ESTIMATED = FileSize(ESTIMATE, is_exact=False)


class ItemFile(Protocol):
    """One file of every item.

    `before_archive`, `before_delete` and `open` may wait for the network. The other methods answer
    from what this machine knows. Any number of threads call a file at once.
    """

    @property
    def deletes(self) -> bool:
        """Whether unlinking the file deletes the item, or only hides the file in this mount."""

    def before_archive(self, item: Item, waiter: Waiter) -> None:
        """Ensure that all of the file's bytes are on this machine, and undamaged."""

    def before_delete(self, item: Item, waiter: Waiter) -> None:
        """Ensure that those who have the file open can read on after the item is deleted."""

    def filename(self, item: Item) -> str | None:
        """Return the name in the item's directory; None if this item has no such file."""

    def size(self, item: Item, waiter: Waiter) -> int:
        """Return the size in bytes; waits for the network only if exact sizes are promised."""

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


class StreamedFile(ABC):
    """The base of an item file that can be read before its size is known."""

    @abstractmethod
    def stream(self, item: Item, waiter: Waiter) -> FileStream:
        """Open the file to be read as its bytes come."""


class ItemFolder(ABC):
    """A directory in an item's directory. Stands among the item files, as an `ItemFile`.

    Attributes:
        name: the directory's name, the same for every item.
    """

    name: str
    deletes = False

    @abstractmethod
    def ensure_members(self, item: Item, waiter: Waiter) -> None:
        """Ensure that the directory's files are known; may wait for the network.

        Raises:
            As `Index.full`.
        """

    @abstractmethod
    def members(self, item: Item) -> Mapping[str, ItemFile]:
        """Return the files by name, as far as they are known; empty if there are none."""

    def filename(self, item: Item) -> str | None:
        """Return the directory's name; None while it is not known that the item has one."""
        return self.name if self.members(item) else None

    def before_archive(self, item: Item, waiter: Waiter) -> None:
        """Ensure that all files are on this machine, except those that the server has no more."""
        self.ensure_members(item, waiter)
        for file in self.members(item).values():
            with contextlib.suppress(NoAttachment):
                file.before_archive(item, waiter)

    def before_delete(self, item: Item, waiter: Waiter) -> None:  # noqa: B027
        """Do nothing: each of the files has its own call."""

    def size(self, item: Item, waiter: Waiter) -> int:
        """Refuse: a directory has no size."""
        raise IsADirectory(self.name)

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Refuse: a directory can't be opened as a file."""
        raise IsADirectory(self.name)


def size_for(file: ItemFile, item: Item, waiter: Waiter) -> FileSize:
    """Return the size of a file that the caller of stat gets.

    A caller that believes the size gets the exact one: the file is opened to know it.

    Raises:
        As `ItemFile.open`, for such a caller.
    """
    if isinstance(file, KnownSizeFile):
        size = file.known_size(item, waiter)
    else:
        size = FileSize(file.size(item, waiter), is_exact=False)
    if size.is_exact or not waiter.needs_size():
        return size
    opened = file.open(item, waiter)
    try:
        return FileSize(opened.size, is_exact=True)
    finally:
        opened.close()


def flattened(named: Mapping[str, ItemFile], item: Item) -> dict[str, ItemFile]:
    """Return an item's files, and those in its folders, by their paths in its directory."""
    flat: dict[str, ItemFile] = {}
    for name, file in named.items():
        if isinstance(file, ItemFolder):
            members = file.members(item)
            flat.update({f"{name}/{member}": each for member, each in members.items()})
        else:
            flat[name] = file
    return flat


def by_name(files: Iterable[ItemFile], item: Item) -> dict[str, ItemFile]:
    """Return the files that an item has by name, in the given order.

    Of several files with the same name the one that deletes the item counts, else the first.
    """
    named: dict[str, ItemFile] = {}
    for file in files:
        name = file.filename(item)
        if name is not None and (name not in named or file.deletes):
            named[name] = file
    return named
