"""Attachments: the names of their files, and their items in the audio store. Pure functions.

The store keeps an attachment as it keeps a clip: under a key, with an exact size and a SHA-256. So
`part_of` describes an attachment to the store by an `Item` of its own.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from histfs.core.item import Attachment, Item
from histfs.core.names import PORTABLE_MAX, component, cut, folded, key_of

#: Separates an item's key from an attachment's in the store; no item's key contains it.
MARK = "+"
#: The size in bytes that is shown before the attachment was fetched; the API does not tell it.
ESTIMATE = 100_000
#: The greatest lengths of the two halves of a key in the store, which is a file name on the disk.
_ITEM_KEY_MAX, _FILE_KEY_MAX = 150, 64
#: An extension that stays when a long name is cut.
_EXTENSION = re.compile(r"[A-Za-z0-9]{1,16}\Z")
_UNNAMED = "attachment"
#: Extensions for files without a name. The table of mimetypes may differ from system to system.
_EXTENSIONS = {
    "application/pdf": ".pdf",
    "application/json": ".json",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/plain": ".txt",
}


def unique_names(attachments: Iterable[Attachment]) -> dict[str, Attachment]:
    """Return the attachments of an item by safe file names, which differ even if case is ignored.

    Of several with the same name the first keeps it, and the others get the end of their id as a
    suffix: a later attachment of the conversation changes no name. Each id is shown once.

    Args:
        attachments: in the order in which they were sent.
    """
    names: dict[str, Attachment] = {}
    ids, taken = set[str](), set[str]()
    for attachment in attachments:
        if attachment.id not in ids:
            ids.add(attachment.id)
            name = next(name for name in _candidates(attachment) if folded(name) not in taken)
            taken.add(folded(name))
            names[name] = attachment
    return names


def part_of(item: Item, attachment: Attachment) -> Item:
    """Return the item by which the audio store knows an attachment.

    Args:
        item: the item to which the attachment belongs.
        attachment: the attachment.
    """
    key = key_prefix(item.key) + _bounded(key_of(attachment.id), _FILE_KEY_MAX)
    return replace(
        item,
        key=key,
        content_type=attachment.content_type,
        output_format="",
        estimate=ESTIMATE,
        attachment=attachment.id,
    )


def key_prefix(key: str) -> str:
    """Return the prefix of the keys of an item's attachments in the store, and of no other key."""
    return _bounded(key, _ITEM_KEY_MAX) + MARK


def is_binary(content_type: str) -> bool:
    """Say whether files of a media type never begin like a web page or JSON."""
    kind, _, subtype = content_type.partition("/")
    return subtype == "pdf" or (kind in ("image", "audio", "video") and "xml" not in subtype)


def _candidates(attachment: Attachment) -> Iterator[str]:
    """Yield names for an attachment, the preferred one first."""
    stem, extension = _split(attachment)
    key = _bounded(key_of(attachment.id), _FILE_KEY_MAX)
    yield _joined(stem, extension)
    for suffix in (key[-8:], key):
        yield _joined(stem, f" ({suffix}){extension}")
    # The original name of another attachment is the same.
    yield from (_joined(stem, f" ({key[-8:]} {n}){extension}") for n in itertools.count(2))


def _split(attachment: Attachment) -> tuple[str, str]:
    """Return a safe stem of a name, and its extension with the dot, which may be empty."""
    stem, dot, extension = attachment.name.rpartition(".")
    if dot and component(stem) and _EXTENSION.match(extension):
        return component(stem), f".{extension}"
    name = component(attachment.name)
    return (name, "") if name else (_UNNAMED, _EXTENSIONS.get(attachment.content_type, ""))


def _joined(stem: str, end: str) -> str:
    """Return a name of at most 143 bytes; only the stem is cut, as the end has at most 100."""
    return cut(stem, PORTABLE_MAX - len(end.encode())).rstrip(". ") + end


def _bounded(key: str, most: int) -> str:
    return key if len(key) <= most else f"%-{hashlib.sha256(key.encode()).hexdigest()[:32]}"
