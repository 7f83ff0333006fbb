"""The `AudioStore` protocol: the cache of audio, as item files use it. Any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from histfs.core.item import Item
from histfs.core.nodes import FileStream, OpenFile
from histfs.core.sizes import FileSize
from histfs.core.waiting import Waiter

#: An order of items by date: of those with a value of a facet (its kind, its value), or of all.
Order = tuple[str, str] | None

#: Returns the items that follow one in an order, or precede it, at most a given number.
Following = Callable[[Item, Order, int], Sequence[Item]]


class AudioStore(Protocol):
    """The audio of items, downloaded on demand, and evicted when the cache is full."""

    def size(self, item: Item, waiter: Waiter) -> FileSize:
        """Return the size that stat shows: exact if it is known, else an estimate.

        Raises:
            SourceError: the store promises exact sizes, and the audio can't be downloaded.
        """

    def extension(self, item: Item) -> str:
        """Return the extension, without a dot, of the name of an item's audio.

        The clip's first bytes decide it; before they are known, the item's declared format does.
        """

    def ensure_verified(self, item: Item, waiter: Waiter) -> None:
        """Ensure that the complete audio of an item is cached, with the bytes that came first.

        Raises:
            As `open`; BadAnswer where the server sends other bytes by now.
        """

    def fetch_for_open_files(self, item: Item, waiter: Waiter) -> None:
        """Download what open files of an item have not read yet: the item is about to be deleted.

        Raises:
            As `open`.
        """

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open the audio of an item; its exact size is known afterwards.

        Raises:
            NotForCrawlers: it must be downloaded, and the caller may not cause that.
            SourceError: the size is not known, and the audio can't be downloaded.
            NoSpace, CacheFailed: it can't be stored.
            Interrupted, DeadlineExceeded: the wait ended first.
        """

    def stream(self, item: Item, waiter: Waiter) -> FileStream:
        """Open the audio of an item to be read as it comes, once its first bytes have come.

        Raises:
            As `open`.
        """
