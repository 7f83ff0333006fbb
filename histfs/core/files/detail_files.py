"""Files that are rendered from an item's details: ``meta.json``, ``text.txt``, ``summary.json``.

Threads: any number at once; the cache of sizes guards itself, and there is no other state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache

from histfs.core.file_context import FileContext
from histfs.core.files.item_file import ESTIMATED, KnownSizeFile
from histfs.core.item import Details, Item
from histfs.core.nodes import BytesFile, OpenFile
from histfs.core.sizes import FileSize
from histfs.core.waiting import Waiter

#: Sizes in the cache: each stat needs one, and rendering a file to measure it costs more.
_SIZES = 16_384


def meta_bytes(details: Details) -> bytes:
    """Return the content of ``meta.json``."""
    return details.raw + b"\n"


def text_bytes(details: Details) -> bytes:
    """Return the content of ``text.txt``."""
    return b"" if details.text is None else f"{details.text}\n".encode("utf-8", "replace")


class Rendered(KnownSizeFile, ABC):
    """The base of an item file that is rendered from the item's details. Implements `ItemFile`.

    Where the source lists less than all details, they are fetched when the file is opened.

    Args:
        context: has the details.

    Attributes:
        name: the file's name, the same for every item.
    """

    name: str
    deletes = False

    def __init__(self, context: FileContext) -> None:
        self._index = context.index
        self._sizes = lru_cache(_SIZES)(self._measure)

    @abstractmethod
    def render(self, details: Details) -> bytes:
        """Return the file's bytes."""

    def before_archive(self, item: Item, waiter: Waiter) -> None:
        """Fetch the details, unless they are stored."""
        self._index.full(item, waiter)

    def before_delete(self, item: Item, waiter: Waiter) -> None:
        """Do nothing: an open file has all of its bytes."""

    def filename(self, item: Item) -> str | None:
        """Return the file's name."""
        return self.name

    def known_size(self, item: Item, waiter: Waiter) -> FileSize:
        """Return the size of what `render` returns; an estimate while the details are unknown."""
        revision = self._index.full_revision(item)
        return ESTIMATED if revision is None else self._sizes(item, revision)

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open what `render` returns for the details as they are now."""
        return BytesFile(self.render(self._index.full(item, waiter)))

    def _measure(self, item: Item, revision: int) -> FileSize:
        details = self._index.known(item)
        return ESTIMATED if details is None else FileSize(len(self.render(details)), is_exact=True)


class MetaFile(Rendered):
    """``meta.json``: the API's own object, every field in its order, indented by two spaces."""

    name = "meta.json"

    def render(self, details: Details) -> bytes:
        """Return the object and a final newline."""
        return meta_bytes(details)


class TextFile(Rendered):
    """``text.txt``: the spoken text and a final newline; empty if the item has no text."""

    name = "text.txt"

    def render(self, details: Details) -> bytes:
        """Return the text in UTF-8; a lone surrogate, which UTF-8 can't hold, becomes ``?``."""
        return text_bytes(details)


class SummaryFile(MetaFile):
    """``summary.json``: the object of the list, where that is less than all there is.

    Its bytes are in the catalog: it is exact, and costs no request.
    """

    name = "summary.json"

    def before_archive(self, item: Item, waiter: Waiter) -> None:
        """Do nothing: the listed object is stored."""

    def known_size(self, item: Item, waiter: Waiter) -> FileSize:
        """Return the exact size."""
        return self._sizes(item, item.revision)

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open the object as it is listed now."""
        return BytesFile(self.render(self._index.details(item)))

    def _measure(self, item: Item, revision: int) -> FileSize:
        return FileSize(len(self.render(self._index.details(item))), is_exact=True)
