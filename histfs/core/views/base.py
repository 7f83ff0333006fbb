"""The `View` protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from histfs.core.index import Index, Listed
from histfs.core.item import Item
from histfs.core.times import Span
from histfs.core.waiting import Waiter

#: A directory of a view: the names on the way to it, below the view's own folder.
At = tuple[str, ...]


class View(Protocol):
    """Under which directories items are shown; every item stands in exactly one of a view.

    `prepare` and `seek` may wait for the network. The other methods ask the index for what it
    knows.
    """

    @property
    def name(self) -> str:
        """The name of the view's folder under the root."""

    @property
    def depth(self) -> int:
        """How many levels of directories lie between the view's folder and the items."""

    def span(self, at: At) -> Span | None:
        """Return the span of time on which a directory depends; None when there can't be it."""

    def prepare(self, at: At, index: Index, waiter: Waiter) -> None:
        """See to it that all that a directory shows is known and fresh.

        Raises:
            SourceError, NotComplete, Interrupted: as `Index.ensure`.
        """

    def listable(self, at: At, index: Index) -> bool:
        """Say whether all that a directory shows is known, fresh or not."""

    def seek(self, at: At, index: Index, waiter: Waiter) -> None:
        """See to it that it is known whether there is a directory, and its newest item.

        Raises:
            As `prepare`.
        """

    def settled(self, at: At, index: Index) -> bool:
        """Say whether `newest` is known for certain, though the directory may not be."""

    def newest(self, at: At, index: Index) -> int | None:
        """Return the date of the newest item below a directory; None when there is no such one."""

    def subdirectories(self, at: At, index: Index) -> Sequence[str]:
        """Return the names in a directory that lies above the items."""

    def items(self, at: At, index: Index) -> Iterator[Listed]:
        """Yield the items in a directory at the lowest level, oldest first."""

    def home(self, item: Item, index: Index) -> At:
        """Return the directory in which an item is shown."""
