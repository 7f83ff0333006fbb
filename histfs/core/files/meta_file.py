"""``meta.json``: the API's own object."""

from __future__ import annotations

from histfs.core.files.item_file import Rendered
from histfs.core.item import Details


class MetaFile(Rendered):
    """Every field that the API sent, known or not, in its order, indented by two spaces."""

    name = "meta.json"

    def render(self, details: Details) -> bytes:
        """Return the object as it is plus a final newline."""
        return details.raw + b"\n"
