"""The `RenderedSizes` protocol: the sizes of rendered files, kept from one mount to the next.

A walk asks for the size of each file of each item. To render a file costs much more than to look up
its size. A size that is too small cuts the file silently, so a kept size must be the one that a
render gives.
"""

from __future__ import annotations

from typing import Protocol

from histfs.core.item import Details, Item


class RenderedFile(Protocol):
    """A file whose bytes depend on the item's details alone, and on histfs's own code."""

    @property
    def name(self) -> str:
        """The file's name, the same for every item."""

    def filename(self, item: Item) -> str | None:
        """Return the name in the item's directory; None if this item has no such file."""

    def render(self, details: Details) -> bytes:
        """Return the file's bytes."""


class RenderedSizes(Protocol):
    """Knows the sizes of rendered files. Any number of threads call it at once."""

    def add(self, file: RenderedFile) -> None:
        """Have the sizes of a file kept; called before the first size is asked for."""

    def size(self, item: Item, name: str) -> int | None:
        """Return the size of an item's file in bytes; None where the caller is to render it.

        Args:
            item: as it is listed.
            name: of a file that was added.

        Raises:
            CacheFailed, NoSpace: the sizes can't be read.
        """

    def check(self, item: Item, name: str, size: int) -> None:
        """Compare the size of a file that was rendered with the one that is kept, if there is one.

        Where they differ, no kept size is believed any more.
        """
