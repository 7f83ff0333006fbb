"""``meta.json``: the API's own object."""

from __future__ import annotations

import json

from histfs.core.files.base import Rendered
from histfs.core.item import Details


class MetaFile(Rendered):
    """Every field that the API sent, known or not, in its order, indented by two spaces."""

    name = "meta.json"

    def render(self, details: Details) -> bytes:
        """Return the object as JSON in UTF-8.

        A lone surrogate, which UTF-8 can't hold, is written as the escape that JSON has for it
        (RFC 8259, section 7).
        """
        text = json.dumps(details.raw, ensure_ascii=False, indent=2)
        return f"{text}\n".encode("utf-8", "backslashreplace")
