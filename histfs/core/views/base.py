"""The `View` protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from histfs.core.index import Index
from histfs.core.item import Item
from histfs.core.times import Span

#: A directory of a view: the names on the way to it, below the view's own folder.
At = tuple[str, ...]


class View(Protocol):
    """Under which directories items are shown; every item stands in exactly one of a view.

    The methods ask the index for what it knows and never wait: the tree has made sure of `span`, or
    of `settled` where it asks for `newest` alone.
    """

    @property
    def name(self) -> str:
        """The name of the view's folder under the root."""

    @property
    def depth(self) -> int:
        """How many levels of directories lie between the view's folder and the items."""

    def span(self, at: At) -> Span | None:
        """Return what must be known to list a directory; None when there can't be such a one."""

    def settled(self, at: At, index: Index) -> bool:
        """Say whether `newest` is known for certain, though the directory may not be."""

    def newest(self, at: At, index: Index) -> int | None:
        """Return the date of the newest item below a directory; None when there is no such one."""

    def subdirectories(self, at: At, index: Index) -> Sequence[str]:
        """Return the names in a directory that lies above the items."""

    def items(self, at: At, index: Index) -> Sequence[Item]:
        """Return the items in a directory at the lowest level, oldest first."""

    def home(self, item: Item, index: Index) -> At:
        """Return the directory in which an item is shown."""
