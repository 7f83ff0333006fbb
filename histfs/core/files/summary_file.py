"""``summary.json``: what the server lists of an item, where that is not all there is."""

from __future__ import annotations

from histfs.core.files.item_file import Rendered
from histfs.core.item import Details, Item
from histfs.core.nodes import BytesFile, OpenFile
from histfs.core.sizes import FileSize
from histfs.core.waiting import Waiter


class SummaryFile(Rendered):
    """The object of the list, every field, indented by two spaces; costs no request."""

    name = "summary.json"

    def render(self, details: Details) -> bytes:
        """Return the object as it is plus a final newline."""
        return details.raw + b"\n"

    def before_archive(self, item: Item, waiter: Waiter) -> None:
        """Nothing to do: it is here."""

    def known_size(self, item: Item, waiter: Waiter) -> FileSize:
        """Return the exact size."""
        return self._measured(item, item.revision)

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open it as it is now."""
        return BytesFile(self.render(self._index.details(item)))

    def _measure(self, item: Item, revision: int) -> FileSize:
        return FileSize(len(self.render(self._index.details(item))), is_exact=True)
