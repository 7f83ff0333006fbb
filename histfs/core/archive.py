"""The `Archive` protocol: keeps a complete copy of each item before the item is deleted."""

from __future__ import annotations

from typing import Protocol

from histfs.core.item import Item
from histfs.core.waiting import Waiter


class Copy(Protocol):
    """The copy of an item that is about to be deleted."""

    def deleted(self) -> None:
        """Record that the item is deleted."""

    def discard(self) -> None:
        """Remove the copy: the item was not deleted."""

    def undecided(self) -> str:
        """Record that it is not known whether the item is deleted; keep the copy.

        Returns:
            Where the copy is, for a log message; empty if there is none.
        """


class Archive(Protocol):
    """Keeps copies of items."""

    def prepare(self, item: Item, waiter: Waiter) -> None:
        """Fetch all that a copy of an item needs, and verify it.

        Raises:
            HistfsError: a part of it can't be had.
        """

    def keep(self, item: Item) -> Copy:
        """Copy an item; when this returns, the copy is complete and durable.

        Raises:
            HistfsError: the item can't be copied, or the copy can't be stored.
        """


class NoArchive:
    """Keeps no copies. Implements `Archive` and `Copy`."""

    def prepare(self, item: Item, waiter: Waiter) -> None:
        """Do nothing."""

    def keep(self, item: Item) -> Copy:
        """Do nothing."""
        return self

    def deleted(self) -> None:
        """Do nothing."""

    def discard(self) -> None:
        """Do nothing."""

    def undecided(self) -> str:
        """Return that there is no copy."""
        return ""
