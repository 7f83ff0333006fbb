"""How items, voices and sources are named, so that every name is safe, readable and stable.

An item is ``{local time}_{slug}_{key}``. The time holds no underscore and neither does the slug, so
the key is whatever follows the second one, and one path is resolved without listing a directory.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import NamedTuple

from histfs.core.times import Zone

#: Bytes in a name, at the most (NAME_MAX of limits.h).
NAME_MAX = 255

#: What `is_plain_name` asks for, for a person.
PLAIN_NAME = "a name is 1 to 20 letters, digits, - and _"

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,19}\Z")
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]+\Z")
#: What is left of a name for the key behind the time and the shortest slug.
_KEY_MAX = 230
_STAMP = len("2024-05-02T11-45-06")
_SLUG_CHARACTERS = 40
_SLUG_BYTES = 64
_UNTITLED = "untitled"
_HIDDEN = "…"
#: Characters of a text that are mostly enough for a slug.
_ENOUGH = 64
#: Names of a directory that are compared to see whether it is still called like its thing.
_SEVERAL = 16
#: Characters whose place in a word is kept in memory.
_KNOWN = 10_000


def is_plain_name(text: str) -> bool:
    """Say whether a text may be the name of a plugin or a profile, which folders are called by."""
    return bool(_PLAIN_NAME.match(text))


def key_of(item_id: str) -> str:
    """Return an item's id in a form that is safe in a path, a file name and a URL.

    An id of letters, digits, ``_`` and ``-`` is its own key. In any other the rest is
    percent-escaped (RFC 3986, section 2.1), so that two ids never share a key; one too long for a
    name is replaced by its SHA-256.

    Args:
        item_id: the id as the API gives it.
    """
    if _PLAIN_ID.match(item_id) and len(item_id) <= _KEY_MAX:
        return item_id
    raw = item_id.encode("utf-8", "surrogatepass")
    escaped = "".join(chr(byte) if _PLAIN_ID.match(chr(byte)) else f"%{byte:02X}" for byte in raw)
    if escaped and len(escaped) <= _KEY_MAX:
        return escaped
    return "%-" + hashlib.sha256(raw).hexdigest()


class _WordTable(dict[int, int]):
    """What `str.translate` makes of a text to find its words: all but their characters a space.

    Keeps what it was asked for, up to `_KNOWN` characters: a category takes long to look up.
    """

    def __missing__(self, code: int) -> int:
        # Letters, marks and numbers.
        known = code if unicodedata.category(chr(code))[0] in "LMN" else ord(" ")
        if len(self) < _KNOWN:
            self[code] = known
        return known


_words = _WordTable()
#: The same for bytes of ASCII, which takes half the time.
_ASCII_WORDS = bytes(_words[code] if code < 128 else 0 for code in range(256))


def slug_of(text: str | None) -> str:
    """Return the readable part of an item's name: words of its text joined by dashes.

    Args:
        text: the item's text, as long and as odd as it may be.
    """
    # Folding may lengthen a text, never shorten it to nothing: a bounded piece is enough.
    piece = (text or "")[:200].lower()
    if not piece.isascii():
        piece = unicodedata.normalize("NFC", piece)
    words = _joined(piece[:_ENOUGH])
    if len(words) <= _SLUG_CHARACTERS and len(piece) > _ENOUGH:
        words = _joined(piece)
    slug = cut(words[:_SLUG_CHARACTERS], _SLUG_BYTES)
    if slug != words and words[len(slug)] != "-" and "-" in slug:
        slug = slug[: slug.rindex("-")]  # the last word is not whole
    return slug or _UNTITLED


def _joined(text: str) -> str:
    if text.isascii():
        return b"-".join(text.encode().translate(_ASCII_WORDS).split()).decode()
    return "-".join(text.translate(_words).split())


def item_name(moment: int, slug: str, key: str, zone: Zone) -> str:
    """Return the name of an item's directory.

    Args:
        moment: when the item was made, in seconds since the epoch.
        slug: from `slug_of`.
        key: from `key_of`.
        zone: the zone in which the time is shown.
    """
    room = NAME_MAX - _STAMP - 2 - len(key)
    return f"{zone.stamp(moment)}_{cut(slug, room)}_{key}"


def key_in(name: str) -> str | None:
    """Return the key at the end of an item's name, None when the name is not of that form."""
    parts = name.split("_", 2)
    good = len(parts) == 3 and len(parts[0]) == _STAMP and parts[2].isascii()
    return parts[2] or None if good else None


def without_words(path: str) -> str:
    """Return a path for a log, which outlives the items: without what they say, and whose they are.

    Kept are folders, dates, ids and the names of files.
    """
    parts = path.split("/")
    shown = list(parts)
    for place, (above, name) in enumerate(zip(["", *parts], parts, strict=False)):
        key = key_in(name)
        if key is not None:
            shown[place] = f"{name[:_STAMP]}_{_HIDDEN}_{key}"
        elif name and (above in ("search", "files") or (above[:3] == "by-" and above != "by-date")):
            shown[place] = _HIDDEN
    return "/".join(shown)


def moments_in(name: str, zone: Zone) -> list[int]:
    """Return the moments that the time in an item's name may stand for.

    They are two where clocks were set back an hour, and none where the name holds no time.

    Args:
        name: of the form of `item_name`.
        zone: the zone in which its time is.
    """
    return zone.moments(name[:_STAMP])


class Labelled(NamedTuple):
    """Something that gives a directory its name: a voice, a source, an agent.

    Attributes:
        value: what identifies it.
        label: what a person calls it; None when it has no name but its value.
    """

    value: str
    label: str | None


def choose_name(thing: Labelled, nothing: str, usable: Callable[[str], bool]) -> str:
    """Choose the name of a thing's directory.

    It is what a person calls the thing, where that name can be used; else the start of the thing's
    value stands behind it, or the whole of it where that is not enough.

    Args:
        thing: what is named.
        nothing: the name for the empty value, such as ``(no voice)``; no other thing gets it.
        usable: says whether a name may stand for the thing.
    """
    return next(name for name in _choices(thing, nothing) if usable(name))


def is_name_of(name: str, thing: Labelled, nothing: str) -> bool:
    """Say whether a directory's name is one that `choose_name` may choose for a thing."""
    return name in itertools.islice(_choices(thing, nothing), _SEVERAL)


def component(label: str) -> str:
    """Turn a text into one path component; empty when nothing of it can be shown."""
    shown = "".join(_shown(c) for c in unicodedata.normalize("NFC", label[:300]))
    return cut(" ".join(shown.split()).lstrip(".- "), NAME_MAX).rstrip(". ")


def is_component(name: object) -> bool:
    """Say whether something can be a name in a directory: a text of at most 255 bytes of UTF-8."""
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\0" in name:
        return False
    try:
        return len(name.encode()) <= NAME_MAX
    except UnicodeEncodeError:  # a lone surrogate
        return False


def _choices(thing: Labelled, nothing: str) -> Iterator[str]:
    key = key_of(thing.value) if thing.value else "2"
    plain = nothing
    if thing.value:
        plain = component(thing.label or thing.value) or (
            f"({key})" if key.startswith("-") else key
        )
    # Reserved, so that a voice which is called "(no voice)" does not push the nameless aside.
    if plain != nothing or not thing.value:
        yield plain
    yield suffixed(plain, key[:8])
    yield suffixed(plain, key)
    # Somebody gave another thing just this name.
    yield from (suffixed(plain, f"{key} {number}") for number in itertools.count(2))


def _shown(character: str) -> str:
    if character == "/":
        return "-"
    # C: control, format (bidi overrides, zero width), surrogate, private; Z: separators.
    return " " if unicodedata.category(character)[0] in "CZ" else character


def suffixed(name: str, suffix: str) -> str:
    """Return a name with something in brackets behind it, which the name makes room for."""
    return f"{cut(name, NAME_MAX - len(suffix) - 3).rstrip('. ')} ({suffix})"


def cut(text: str, limit: int) -> str:
    """Cut a text to ``limit`` bytes of UTF-8 without breaking a character."""
    raw = text.encode()
    return text if len(raw) <= limit else raw[:limit].decode(errors="ignore")
