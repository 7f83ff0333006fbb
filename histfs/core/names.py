"""The names of items, voices and sources: safe, readable and stable. Pure functions.

An item is called ``{local time}_{slug}_{key}``. Neither the time nor the slug holds an underscore,
so the key is what follows the second one, and a path is resolved without listing its directory.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import NamedTuple

from histfs.core.name_forms import STAMP, key_in
from histfs.core.times import Zone

#: The greatest length of a name in bytes (NAME_MAX of limits.h).
NAME_MAX = 255
#: The greatest length in bytes of a name that is made here: eCryptfs takes no longer one.
PORTABLE_MAX = 143

#: The name of the folder of `histfs.core.listen`.
LISTEN = "listen"

#: The rule of `is_plain_name`, for an error message.
PLAIN_NAME = "a name is 1 to 20 letters, digits, - and _"

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,19}\Z")
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]+\Z")
#: The bytes of a name that the time and the shortest slug leave for the key.
_KEY_MAX = 230
_SLUG_CHARACTERS = 40
_SLUG_BYTES = 64
_UNTITLED = "untitled"
_HIDDEN = "…"
#: Characters of a text that mostly suffice for a slug.
_SLUG_PREFIX = 64
#: Candidates that are compared to find out whether a directory's name fits its label.
_CANDIDATES = 16
#: The greatest length of a suffix in bytes.
_SUFFIX_MAX = 80
#: The bytes of a slug that stay, however long the key is.
_SLUG_LEAST = 4
#: What FAT, NTFS and SMB refuse in a name, and what stands for it.
_REPLACED = {**dict.fromkeys("/\\:*?<>|", "-"), '"': "'"}
#: Names that are devices on Windows, also with an extension.
_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³])\Z", re.IGNORECASE)
#: The beginning of a clip's name in ``listen``.
_CLIP = re.compile(r"\d{4}-\d\d-\d\d \d\d\.\d\d", re.ASCII)
_MINUTE = len("2024-05-02 11.45")
_EXTENSION = re.compile(r"\.[a-z0-9]{2,5}\Z", re.ASCII)
#: Characters in the table of word characters.
_CHARACTERS = 10_000


def is_plain_name(text: str) -> bool:
    """Say whether a text may be the name of a plugin or a profile, and so of a folder."""
    return bool(_PLAIN_NAME.match(text))


def key_of(item_id: str) -> str:
    """Return an item's id in a form that is safe in a path, a file name and a URL.

    An id of letters, digits, ``_`` and ``-`` is its own key. Other characters are percent-encoded
    (RFC 3986, section 2.1), so that two ids never share a key; an id that is too long for a name is
    replaced by its SHA-256.

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
    """A table for `str.translate` that maps all but word characters to a space.

    Filled on demand, up to `_CHARACTERS` entries: looking up a category is slow.
    """

    def __missing__(self, code: int) -> int:
        # Letters, marks and numbers.
        mapped = code if unicodedata.category(chr(code))[0] in "LMN" else ord(" ")
        if len(self) < _CHARACTERS:
            self[code] = mapped
        return mapped


_words = _WordTable()
#: The same for `bytes.translate` of ASCII, which takes half the time.
_ASCII_WORDS = bytes(_words[code] if code < 128 else 0 for code in range(256))


def slug_of(text: str | None) -> str:
    """Return the readable part of an item's name: the first words of its text, joined by dashes.

    Args:
        text: any text; None for no text.
    """
    # Lower case and NFC never shorten a text to nothing: a bounded prefix is enough.
    piece = (text or "")[:200].lower()
    if not piece.isascii():
        piece = unicodedata.normalize("NFC", piece)
    words = _join_words(piece[:_SLUG_PREFIX])
    if len(words) <= _SLUG_CHARACTERS and len(piece) > _SLUG_PREFIX:
        words = _join_words(piece)
    slug = cut(words[:_SLUG_CHARACTERS], _SLUG_BYTES)
    if slug != words and words[len(slug)] != "-" and "-" in slug:
        slug = slug[: slug.rindex("-")]  # the last word is cut
    return slug or _UNTITLED


def _join_words(text: str) -> str:
    if text.isascii():
        return b"-".join(text.encode().translate(_ASCII_WORDS).split()).decode()
    return "-".join(text.translate(_words).split())


def item_name(moment: int, slug: str, key: str, zone: Zone) -> str:
    """Return the name of an item's directory.

    Args:
        moment: the item's date, in seconds since the epoch.
        slug: from `slug_of`.
        key: from `key_of`.
        zone: the zone in which the time is shown.
    """
    room = max(PORTABLE_MAX - STAMP - 2 - len(key), _SLUG_LEAST)
    return f"{zone.stamp(moment)}_{cut(slug, room)}_{key}"


def without_words(path: str) -> str:
    """Return a path for a log, without words of items, and without the values of facets.

    A log outlives the items. Folders, dates, ids and the names of files stay.
    """
    parts = path.split("/")
    shown = list(parts)
    for place, (above, name) in enumerate(zip(["", *parts], parts, strict=False)):
        key = key_in(name)
        if _CLIP.match(name):
            extension = _EXTENSION.search(name)
            shown[place] = f"{name[:_MINUTE]} {_HIDDEN}{extension[0] if extension else ''}"
        elif place > 1 and parts[place - 2] == LISTEN and above[:3] != "by-":
            shown[place] = _HIDDEN
        elif key is not None:
            shown[place] = f"{name[:STAMP]}_{_HIDDEN}_{key}"
        elif name and (above in ("search", "files") or (above[:3] == "by-" and above != "by-date")):
            shown[place] = _HIDDEN
    return "/".join(shown)


def moments_in(name: str, zone: Zone) -> list[int]:
    """Return the moments that the time in an item's name may mean.

    Two in the hour when clocks are set back; none if the name holds no time.

    Args:
        name: of the form of `item_name`.
        zone: the zone in which its time is.
    """
    return zone.moments(name[:STAMP])


class Labelled(NamedTuple):
    """A value of a facet, such as a voice, with its label.

    Attributes:
        value: its id.
        label: its readable name; None if it has none.
    """

    value: str
    label: str | None


def choose_name(labelled: Labelled, nothing: str, usable: Callable[[str], bool]) -> str:
    """Choose the name of a value's directory.

    It is the value's label if that name is usable, else the label with the start of the value, or
    with all of it, as a suffix.

    Args:
        labelled: the value.
        nothing: the name for the empty value, such as ``(no voice)``; no other value gets it.
        usable: says whether a name may be used for the value.
    """
    return next(name for name in _candidates(labelled, nothing) if usable(name))


def is_name_of(name: str, labelled: Labelled, nothing: str) -> bool:
    """Say whether `choose_name` may choose a name for a value."""
    return name in itertools.islice(_candidates(labelled, nothing), _CANDIDATES)


def component(label: str) -> str:
    """Turn a text into one path component; empty if no character of it can be shown.

    FAT, NTFS, SMB and eCryptfs take the name, too.
    """
    shown = "".join(_shown(c) for c in unicodedata.normalize("NFC", label[:300]))
    name = " ".join(shown.split()).lstrip(".- ").rstrip(". ")
    stem = name.partition(".")[0].rstrip()
    if _DEVICE.match(stem):
        name = f"{stem}_{name[len(stem) :]}"
    return cut(name, PORTABLE_MAX).rstrip(". ")


def folded(name: str) -> str:
    """Return what names have in common that are one name where case is ignored."""
    return unicodedata.normalize("NFC", name.upper().casefold())


def is_component(name: object) -> bool:
    """Say whether an object can be a name in a directory: a text of 1 to 255 bytes of UTF-8."""
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\0" in name:
        return False
    try:
        return len(name.encode()) <= NAME_MAX
    except UnicodeEncodeError:  # a lone surrogate
        return False


def _candidates(labelled: Labelled, nothing: str) -> Iterator[str]:
    """Yield names for a value's directory, the preferred one first."""
    key = key_of(labelled.value) if labelled.value else "2"
    plain = nothing
    if labelled.value:
        plain = component(labelled.label or labelled.value) or (
            f"({cut(key, PORTABLE_MAX - 2)})" if key.startswith("-") else component(key)
        )
    # `nothing` is reserved: a voice with the label "(no voice)" must not take it.
    if folded(plain) != folded(nothing) or not labelled.value:
        yield plain
    yield suffixed(plain, key[:8])
    yield suffixed(plain, key)
    # The label of another value is the same.
    yield from (suffixed(plain, f"{key} {number}") for number in itertools.count(2))


def _shown(character: str) -> str:
    if character in _REPLACED:
        return _REPLACED[character]
    # C: control, format (bidi overrides, zero width), surrogate, private; Z: separators.
    return " " if unicodedata.category(character)[0] in "CZ" else character


def suffixed(name: str, suffix: str) -> str:
    """Return a name with a suffix in brackets; the name is cut to make room for it.

    Args:
        name: from `component`.
        suffix: ASCII; a long one is replaced by its hash.
    """
    if len(suffix) > _SUFFIX_MAX:
        suffix = f"%-{hashlib.sha256(suffix.encode()).hexdigest()}"
    return f"{cut(name, PORTABLE_MAX - len(suffix) - 3).rstrip('. ')} ({suffix})"


def cut(text: str, limit: int) -> str:
    """Cut a text to ``limit`` bytes of UTF-8 without breaking a character."""
    raw = text.encode()
    return text if len(raw) <= limit else raw[:limit].decode(errors="ignore")
