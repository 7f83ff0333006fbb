"""The `AudioStore` protocol: what the tree asks of the cache of audio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from histfs.core.item import Item
from histfs.core.nodes import OpenFile
from histfs.core.sizes import FileSize
from histfs.core.waiting import Waiter

#: An order of items: by date among those that have a value of a facet, given by its kind and value,
#: or among all of them.
Order = tuple[str, str] | None

#: Gives the items that come after one in an order, and how many at the most.
Following = Callable[[Item, Order, int], Sequence[Item]]


class AudioStore(Protocol):
    """The audio of items, fetched when it is needed and kept for as long as there is room."""

    def size(self, item: Item, waiter: Waiter) -> FileSize:
        """Return the size that stat shows: exact where it is known, else an estimate.

        Raises:
            SourceError: the store promises exact sizes, and the audio can't be had.
        """

    def extension(self, item: Item) -> str:
        """Return the extension, without a dot, of the name of an item's audio.

        The bytes that have come once tell it, before that what the item says of its format.
        """

    def ensure(self, item: Item, waiter: Waiter) -> None:
        """Have the whole of an item's audio here, as it came from the server.

        Raises:
            As `open`.
        """

    def secure(self, item: Item, waiter: Waiter) -> None:
        """Fetch what those who have the audio open have yet to read: it is about to be deleted.

        Raises:
            As `open`.
        """

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open the audio of an item; its exact size is known afterwards.

        Raises:
            NotForCrawlers: it isn't here, and may not be fetched for who calls.
            SourceError: the size is not known and the audio can't be had.
            NoSpace, CacheFailed: it can't be kept.
            Interrupted, DeadlineExceeded: the wait ended first.
        """
