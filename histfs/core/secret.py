"""API keys that don't show themselves, and their redaction in any text.

A server may send the key back: in a message, in a header, escaped as in JSON, HTML or a URL, in
base64, truncated, or with other characters in between. Every text of a server passes `redact`
before a person sees it: in messages of `HistfsError`, in the log and on the terminal.

Threads: `_lock` guards the set of keys that this process holds; no other lock is taken while it is
held. A `Secret` is immutable.
"""

from __future__ import annotations

import base64
import html
import re
import threading
import unicodedata
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

#: Adjacent letters and digits of a key that are redacted.
_MIN_LENGTH = 8
#: Levels of nested escaping that are decoded.
_DEPTH = 4
_MASK = "***"
_SEPARATORS = bytes(code for code in range(256) if not chr(code).isalnum() or code > 127)
_ESCAPE = re.compile(
    r"\\+u([0-9a-f]{4})|\\+u\{([0-9a-f]{1,6})\}|\\+U([0-9a-f]{8})|\\+x([0-9a-f]{2})"  # JSON, C
    r"|%u([0-9a-f]{4})|%([0-9a-f]{2})"  # URLs
    r"|&\#x?[0-9a-f]{1,8};?|&[a-z]{2,31};",  # HTML
    re.IGNORECASE,
)
_lock = threading.Lock()


class _Pieces(NamedTuple):
    """The parts of a key to redact, in each encoding; letters and digits in lower case.

    Attributes:
        prefixes: the first `_MIN_LENGTH` characters of each; a text without them has no part.
        by_length: all parts by their length.
    """

    prefixes: Set[str]
    by_length: Mapping[int, Set[str]]


class Secret:
    """An API key; repr, str and format don't show it, and it can't be pickled.

    Args:
        value: what must not be shown.
        origin: where it comes from, for a person.
        also: parts of it that must not be shown either, such as a password in it.

    Attributes:
        origin: the same, redacted.
    """

    __slots__ = ("__weakref__", "_parts", "_pieces", "_value", "origin")

    def __init__(self, value: str, origin: str = "", also: Iterable[str] = ()) -> None:
        self._value = value
        self._parts = [Secret(part) for part in also]
        self._pieces = _pieces_of(value)
        self.origin = self.redact(origin)
        if self._pieces is not None:
            with _lock:
                _held.add(self)

    def reveal(self) -> str:
        """Return the key itself, to send it to the server."""
        return self._value

    def redact(self, text: str) -> str:
        """Return a text with every occurrence of the key masked.

        Finds it in either case, escaped, in base64 or hexadecimal and with other characters than
        letters and digits in between, and each part of `_MIN_LENGTH` letters and digits that has a
        digit in it. A shorter key is found only verbatim, in either case.
        """
        for part in self._parts:
            text = part.redact(text)
        if self._pieces is not None:
            return _masked(text, [self._pieces])
        if not self._value:
            return text
        return re.sub(re.escape(self._value), _MASK, text, flags=re.IGNORECASE)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __reduce__(self) -> str:
        raise TypeError("a secret can't be pickled")


_held: weakref.WeakSet[Secret] = weakref.WeakSet()


def redact(text: str) -> str:
    """Return a text without any key that this process holds; see `Secret.redact`.

    Keys of fewer than `_MIN_LENGTH` letters and digits stay: they may be part of any word.
    """
    with _lock:
        pieces = [secret._pieces for secret in _held if secret._pieces is not None]
    return _masked(text, pieces) if pieces else text


def _pieces_of(value: str) -> _Pieces | None:
    """Return the parts of a key to redact; None for a key of too few letters and digits."""
    letters = _normalized(value)
    if len(letters) < _MIN_LENGTH:
        return None
    raw = value.encode("utf-8", "surrogatepass")
    encoded: set[str] = set()
    for shift in range(3):
        # The first and the last characters depend on the text around the key.
        first, last = -(-shift * 8 // 6), (shift + len(raw)) * 8 // 6
        code = base64.b64encode(b"\0" * shift + raw).decode()[first:last]
        encoded.update(_substrings(code, _MIN_LENGTH * 4 // 3 + 1))
    # A part without a digit may be a word.
    parts = {part for part in _substrings(value, _MIN_LENGTH) if not part.isalpha()}
    pieces = [letters, *parts, *encoded, *_substrings(raw.hex(), _MIN_LENGTH * 2)]
    by_length: dict[int, set[str]] = {}
    for piece in pieces:
        by_length.setdefault(len(piece), set()).add(piece)
    return _Pieces({piece[:_MIN_LENGTH] for piece in pieces}, by_length)


def _substrings(text: str, length: int) -> Iterator[str]:
    """Yield the substrings of a length of the normalized text."""
    letters = _normalized(text)
    return (letters[start : start + length] for start in range(len(letters) - length + 1))


def _normalized(text: str) -> str:
    """Return the ASCII letters and digits of a text, in lower case."""
    if text.isascii():
        return text.encode().translate(None, _SEPARATORS).decode().lower()
    return "".join(letter for letter, _ in _letter_offsets(text))


def _letter_offsets(text: str) -> Iterator[tuple[str, int]]:
    """Yield the ASCII letters and digits of a text, in lower case, with their offsets."""
    for offset, character in enumerate(text):
        if character.isascii():
            if character.isalnum():
                yield character.lower(), offset
        else:
            # Such as full-width letters.
            for letter in unicodedata.normalize("NFKC", character):
                if letter.isascii() and letter.isalnum():
                    yield letter.lower(), offset


def _masked(text: str, keys: Sequence[_Pieces]) -> str:
    """Return a text with the parts of keys masked, in any escaping."""
    hidden = bytearray(len(text))
    # For each character of the decoded text its offset in the original text; and the end.
    decoded, offsets = text, list(range(len(text) + 1))
    for _ in range(_DEPTH):
        _mark(decoded, offsets, keys, hidden)
        unescaped = _unescape(decoded, offsets)
        if unescaped is None:
            break
        decoded, offsets = unescaped
    if not any(hidden):
        return text
    parts: list[str] = []
    for character, is_hidden in zip(text, hidden, strict=True):
        if not is_hidden:
            parts.append(character)
        elif not parts or parts[-1] is not _MASK:
            parts.append(_MASK)
    return "".join(parts)


def _mark(text: str, offsets: Sequence[int], keys: Sequence[_Pieces], hidden: bytearray) -> None:
    """Mark the characters of a text in which a part of a key stands.

    Args:
        text: the text, perhaps decoded.
        offsets: for each of its characters the offset in the original text; and the end.
        keys: the pieces of each key.
        hidden: the marks, for each character of the original text.
    """
    # Nearly all texts are without a key: one pass must do.
    parts = set(_substrings(text, _MIN_LENGTH))
    keys = [key for key in keys if not parts.isdisjoint(key.prefixes)]
    if not keys:
        return
    letters = [offset for _, offset in _letter_offsets(text)]
    for key in keys:
        for length, pieces in key.by_length.items():
            for start, part in enumerate(_substrings(text, length)):
                if part in pieces:
                    begin = offsets[letters[start]]
                    end = offsets[letters[start + length - 1] + 1]
                    hidden[begin:end] = b"\1" * (end - begin)


def _unescape(text: str, offsets: Sequence[int]) -> tuple[str, list[int]] | None:
    """Return a text with its escapes resolved, and its offsets; None when it has no escapes."""
    parts: list[str] = []
    new_offsets: list[int] = []
    last = 0
    for match in _ESCAPE.finditer(text):
        parts.append(text[last : match.start()])
        new_offsets += offsets[last : match.start()]
        number = next(filter(None, match.groups()), None)
        try:
            character = html.unescape(match[0]) if number is None else chr(int(number, 16))
        except (OverflowError, ValueError):
            character = match[0]
        parts.append(character)
        new_offsets += [offsets[match.start()]] * len(character)
        last = match.end()
    if last == 0:
        return None
    return "".join([*parts, text[last:]]), [*new_offsets, *offsets[last:]]
