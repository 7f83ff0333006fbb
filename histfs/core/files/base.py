"""The `ItemFile` protocol, and the base of those whose bytes come from an item's details."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Protocol

from histfs.core.index import Index
from histfs.core.item import Details, Item
from histfs.core.nodes import BytesFile, OpenFile
from histfs.core.waiting import Waiter

#: How many sizes are remembered, so that stat after stat of a file renders it once.
_SIZES = 16_384


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


class Rendered(ABC):
    """The base of an item file that is made from the item's details, without the network.

    Args:
        index: where the details are.
    """

    name: str
    deletes = False

    def __init__(self, index: Index) -> None:
        self._index = index
        self._measured = lru_cache(_SIZES)(self._measure)

    @abstractmethod
    def render(self, details: Details) -> bytes:
        """Return the file's bytes."""

    def before_archive(self, item: Item, waiter: Waiter) -> None:  # noqa: B027
        """Nothing to do: its bytes are made of what the catalog holds."""

    def before_delete(self, item: Item, waiter: Waiter) -> None:  # noqa: B027
        """Nothing to do: an open file has all of its bytes."""

    def filename(self, item: Item) -> str | None:
        """Return the file's name, the same for every item."""
        return self.name

    def size(self, item: Item, waiter: Waiter) -> int:
        """Return the size of what `render` gives."""
        return self._measured(item)

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open what `render` gives, as it is now."""
        return BytesFile(self.render(self._index.details(item)))

    def _measure(self, item: Item) -> int:
        return len(self.render(self._index.details(item)))
