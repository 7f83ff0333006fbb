"""The extended attributes of an item's files (xattr(7)). Pure.

The names are those of freedesktop.org, "Guidelines for extended attributes", where it has one.
"""

from __future__ import annotations

from collections.abc import Mapping

from histfs.core.item import Facets, Item
from histfs.core.names import cut

#: Bytes of the text: ext4 keeps all attributes of a file in a block of 4 KB.
_COMMENT = 2048
#: The facets that are shown.
_FACETS = ("voice", "model", "source", "agent", "outcome")


def attributes_of(
    item: Item, facets: Facets, text: str | None, *, sha256: bytes | None, is_audio: bool
) -> Mapping[str, bytes]:
    """Return the values by name; what is not known, or empty, is missing.

    Args:
        item: the item.
        facets: its values; of several values of a kind the labels are joined by commas.
        text: what was spoken; None if it is not known.
        sha256: of its audio; None if it is not known.
        is_audio: whether the file is the audio.
    """
    found = {"histfs.id": item.id}
    for kind in _FACETS:
        found[f"histfs.{kind}"] = ", ".join(
            label or value for value, label in facets.get(kind, ()) if label or value
        )
    found["xdg.comment"] = cut(text or "", _COMMENT)
    if is_audio:
        found["mime_type"] = item.content_type
        found["hash.sha256"] = "" if sha256 is None else sha256.hex()
    return {
        f"user.{name}": value.encode("utf-8", "replace") for name, value in found.items() if value
    }
