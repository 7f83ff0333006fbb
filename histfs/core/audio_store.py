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
    """The audio of items: downloaded when it is needed, and cached while there is room."""

    def size(self, item: Item, waiter: Waiter) -> FileSize:
        """Return the size that stat shows: exact where it is known, else an estimate.

        Raises:
            SourceError: the store promises exact sizes, and the audio can't be fetched.
        """

    def extension(self, item: Item) -> str:
        """Return the extension, without a dot, of the name of an item's audio.

        It is detected from the first bytes; before a download the item's format declares it.
        """

    def ensure_verified(self, item: Item, waiter: Waiter) -> None:
        """Have an item's complete audio here, verified to be what first came from the server.

        Raises:
            As `open`; BadAnswer where the server sends other bytes by now.
        """

    def fetch_for_open_files(self, item: Item, waiter: Waiter) -> None:
        """Fetch the audio for its open files, which have yet to read it: it will be deleted.

        Raises:
            As `open`.
        """

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open the audio of an item; its exact size is known afterwards.

        Raises:
            NotForCrawlers: it isn't here, and may not be fetched for this caller.
            SourceError: the size is not known and the audio can't be fetched.
            NoSpace, CacheFailed: it can't be kept.
            Interrupted, DeadlineExceeded: the wait ended first.
        """
