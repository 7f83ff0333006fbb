"""The `Archive` protocol: where a complete copy of an item is put before the item is deleted."""

from __future__ import annotations

from typing import Protocol

from histfs.core.item import Item
from histfs.core.waiting import Waiter


class Copy(Protocol):
    """The copy of an item that is about to be deleted."""

    def deleted(self) -> None:
        """Note that the item is deleted; the copy is the last one."""

    def discard(self) -> None:
        """Remove the copy: the item was not deleted."""

    def undecided(self) -> str:
        """Keep the copy though it is not known whether the item is deleted.

        Returns:
            Where the copy is, in words for a log; empty where there is none.
        """


class Archive(Protocol):
    """Keeps copies of items."""

    def prepare(self, item: Item, waiter: Waiter) -> None:
        """Fetch all that a copy of an item needs, and see to it that it is sound.

        Raises:
            HistfsError: it can't be had.
        """

    def keep(self, item: Item) -> Copy:
        """Copy an item; when this returns the copy is complete, also after a loss of power.

        Raises:
            HistfsError: it can't be copied, or the copy can't be kept.
        """


class NoArchive:
    """Keeps nothing: what is deleted is lost. Implements `Archive` and `Copy`."""

    def prepare(self, item: Item, waiter: Waiter) -> None:
        """Nothing to fetch."""

    def keep(self, item: Item) -> Copy:
        """Nothing to copy."""
        return self

    def deleted(self) -> None:
        """Nothing to note."""

    def discard(self) -> None:
        """Nothing to remove."""

    def undecided(self) -> str:
        """Nothing to keep."""
        return ""
