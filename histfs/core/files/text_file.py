"""``text.txt``: what was spoken."""

from __future__ import annotations

from histfs.core.files.item_file import Rendered
from histfs.core.item import Details


class TextFile(Rendered):
    """The text as it is plus a final newline; empty when the item has no text."""

    name = "text.txt"

    def render(self, details: Details) -> bytes:
        """Return the text in UTF-8; a lone surrogate, which UTF-8 can't hold, becomes ``?``."""
        if details.text is None:
            return b""
        return f"{details.text}\n".encode("utf-8", "replace")
