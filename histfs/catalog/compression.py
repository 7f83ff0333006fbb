"""Compression of raw objects, each by itself, with a zstd dictionary of their common structure.

One item's JSON is too short to compress well alone, and all items have the same field names. The
dictionary is kept in the catalog file, beside the objects.

Threads: any number at once; a `Compressor` is immutable, and has a zstd context for each batch.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence, Set

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: One of the fast levels (zstd(1)): an item is a tenth larger than with 1, at half the time.
_LEVEL = -1
#: Bytes of a dictionary, at the most, and of what makes it worth having one.
_LARGEST, _SMALLEST = 16_384, 8
#: A token of JSON: a string, with the colon that makes it a field name; a number or a word; a
#: punctuation mark.
_TOKEN = re.compile(rb'("(?:[^"\\]|\\.)*")(\s*:)?|([^][{},":\s]+)|([][{},])')
#: Tokens that objects may have in common: field names, words of an API, numbers, characters.
_WORD = re.compile(rb'"[\w./+-]{0,40}"|" "|[\w.+-]{1,8}')
#: A string of one character; a number with a decimal point, such as an alignment's times.
_LETTER = 3
_TIME = re.compile(rb"\d{1,2}\.\d{1,3}")


class Compressor:
    """Compresses and decompresses objects.

    Args:
        dictionary: from `dictionary_of`; empty for none.
    """

    def __init__(self, dictionary: bytes) -> None:
        known = zstd.ZstdDict(dictionary, is_raw=True) if dictionary else None
        self._to = known.as_digested_dict if known else None
        self._from = known.as_digested_dict if known else None

    def pack(self, objects: Iterable[bytes]) -> list[bytes]:
        """Compress each object by itself."""
        context = zstd.ZstdCompressor(level=_LEVEL, zstd_dict=self._to)
        return [context.compress(raw, context.FLUSH_FRAME) for raw in objects]

    def unpack(self, packed: bytes) -> bytes:
        """Decompress an object.

        Raises:
            ValueError: it is damaged.
        """
        try:
            return zstd.decompress(packed, zstd_dict=self._from)
        except zstd.ZstdError as error:
            raise ValueError(str(error)) from error


def dictionary_of(objects: Sequence[bytes]) -> bytes:
    """Return a dictionary for objects like these, without personal data.

    The dictionary outlives the objects that it was made of, so it must not hold what only some of
    them have. Field names, and values of one word, are kept if most of the objects have them.
    Lists, which may spell a text, become the sorted set of their common elements.

    Args:
        objects: a page of them, in JSON; anything else is ignored.

    Returns:
        The dictionary; empty where there is too little in common.
    """
    counts = Counter(token for raw in objects for token in _tokens(raw))
    common = {token for token, count in counts.items() if 2 * count > len(objects)}
    letters = sorted(token for token in common if len(token) == _LETTER)
    times = sorted(token for token in counts if _TIME.fullmatch(token))
    lists = b",".join([*letters, *times])[: _LARGEST // 4]
    dictionary = lists if lists.count(b",") > 1 else b""
    for skeleton in dict.fromkeys(_skeleton(raw, common) for raw in objects):
        if len(dictionary) + len(skeleton) <= _LARGEST:
            dictionary += skeleton
    return dictionary if len(dictionary) >= _SMALLEST else b""


def _tokens(raw: bytes) -> set[bytes]:
    """Return the field names, short strings and numbers of an object."""
    found = (token[1] or token[3] for token in _TOKEN.finditer(raw))
    return {token for token in found if token and _WORD.fullmatch(token)}


def _skeleton(raw: bytes, common: Set[bytes]) -> bytes:
    """Return an object without its lists, and with empty strings for uncommon ones."""
    parts: list[bytes] = []
    depth = 0
    for token in _TOKEN.finditer(raw):
        mark = token[4]
        depth += (mark == b"[") - (mark == b"]")
        if depth:
            continue
        if mark:
            parts.append(mark)
        elif token[1]:
            parts.append((token[1] if token[1] in common else b'""') + (token[2] or b""))
        elif token[3] in common:
            parts.append(token[3])
    return b"".join(parts)
