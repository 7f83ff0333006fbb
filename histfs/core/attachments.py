"""Attachments: the names of their files, and what the audio store knows them by. Pure.

The store keeps an attachment as it keeps a clip: under a key, with an exact size and a SHA-256. So
an attachment is described to the store by an `Item` of its own, made by `part_of`.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from histfs.core.item import Attachment, Item
from histfs.core.names import NAME_MAX, component, cut, key_of

#: Stands between an item's key and an attachment's in the store; no item's key has it.
MARK = "+"
#: Bytes that are shown before an attachment was fetched; no field of the API tells its size.
ESTIMATE = 100_000
#: Characters of each half of a key in the store, so that it is a file name on the disk.
_ITEM_KEY_MAX, _FILE_KEY_MAX = 150, 64
#: An extension that is kept whole when a long name is cut.
_EXTENSION = re.compile(r"[A-Za-z0-9]{1,16}\Z")
_UNNAMED = "attachment"
#: Extensions for files that have no name. A table of the system's may be another one tomorrow.
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


def named(attachments: Iterable[Attachment]) -> dict[str, Attachment]:
    """Give each attachment of an item a safe file name that no other has, whatever the case.

    Of several with one name the first keeps it, and the others get the end of their id behind it:
    what comes later in a conversation changes no name. An attachment that comes twice, by its id,
    is shown once.

    Args:
        attachments: in the order in which they were sent.
    """
    names: dict[str, Attachment] = {}
    ids, taken = set[str](), set[str]()
    for attachment in attachments:
        if attachment.id not in ids:
            ids.add(attachment.id)
            name = next(name for name in _choices(attachment) if name.casefold() not in taken)
            taken.add(name.casefold())
            names[name] = attachment
    return names


def part_of(item: Item, attachment: Attachment) -> Item:
    """Return what the audio store knows an attachment by.

    Args:
        item: the item that has the attachment.
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
    """Return what the keys of an item's attachments begin with in the store, and no other does."""
    return _bounded(key, _ITEM_KEY_MAX) + MARK


def is_binary(content_type: str) -> bool:
    """Say whether files of a media type never begin as a web page, or as JSON, does."""
    kind, _, subtype = content_type.partition("/")
    return subtype == "pdf" or (kind in ("image", "audio", "video") and "xml" not in subtype)


def _choices(attachment: Attachment) -> Iterator[str]:
    """Yield names for an attachment, the one that is wanted most first."""
    stem, extension = _split(attachment)
    key = key_of(attachment.id)
    yield _joined(stem, extension)
    for suffix in (key[-8:], key):
        yield _joined(stem, f" ({suffix}){extension}")
    # Another one has just this name.
    yield from (_joined(stem, f" ({key[-8:]} {n}){extension}") for n in itertools.count(2))


def _split(attachment: Attachment) -> tuple[str, str]:
    """Return a safe stem of a name, and its extension with the dot, or nothing."""
    stem, dot, extension = attachment.name.rpartition(".")
    if dot and component(stem) and _EXTENSION.match(extension):
        return component(stem), f".{extension}"
    whole = component(attachment.name)
    return (whole, "") if whole else (_UNNAMED, _EXTENSIONS.get(attachment.content_type, ""))


def _joined(stem: str, end: str) -> str:
    """Return a name of at most 255 bytes; its end, which a key makes 250 long at most, is whole."""
    return cut(stem, NAME_MAX - len(end.encode())).rstrip(". ") + end


def _bounded(key: str, most: int) -> str:
    return key if len(key) <= most else f"%-{hashlib.sha256(key.encode()).hexdigest()[:32]}"
