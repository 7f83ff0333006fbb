"""How raw objects are stored: compressed one by one, against a dictionary of their structure.

One item's JSON is too short to compress well alone, and all items hold the same field names. The
dictionary stands in the catalog file, beside what it was used for.

Threads: any number at once; a packer has no state that changes, and a context is made per batch.
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

#: One of the fast levels (zstd(1)): an item is a tenth larger than with 1, and half as dear.
_LEVEL = -1
#: Bytes of a dictionary, at the most, and of what makes it worth having one.
_LARGEST, _SMALLEST = 16_384, 8
#: What JSON is made of: a string, and the colon that makes it a field name; a number or a word; a
#: mark.
_TOKEN = re.compile(rb'("(?:[^"\\]|\\.)*")(\s*:)?|([^][{},":\s]+)|([][{},])')
#: What may be common to objects: field names, words of an API, numbers, single characters.
_WORD = re.compile(rb'"[\w./+-]{0,40}"|" "|[\w.+-]{1,8}')
#: A string of one character; a number with a decimal point, such as an alignment's times.
_LETTER = 3
_TIME = re.compile(rb"\d{1,2}\.\d{1,3}")


class Compressor:
    """Compresses objects and gives them back.

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
        """Return an object as it was.

        Raises:
            ValueError: it is damaged.
        """
        try:
            return zstd.decompress(packed, zstd_dict=self._from)
        except zstd.ZstdError as error:
            raise ValueError(str(error)) from error


def dictionary_of(objects: Sequence[bytes]) -> bytes:
    """Return a dictionary for objects like these: what they have in common, and nobody's data.

    The dictionary outlives the objects that it was made of, so what only some of them hold must
    not be in it. Field names, and values of one word, are kept if most of the objects have them.
    Lists, which may spell a text, become the sorted set of their common elements.

    Args:
        objects: a page of them, in JSON; what isn't JSON is passed over.
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
    """Return the field names, strings and numbers of an object, but long texts."""
    found = (token[1] or token[3] for token in _TOKEN.finditer(raw))
    return {token for token in found if token and _WORD.fullmatch(token)}


def _skeleton(raw: bytes, common: Set[bytes]) -> bytes:
    """Return an object without its lists, and with empty strings for what is not common."""
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
