"""A string that doesn't show itself, and texts that don't show it either.

A server may send the key back: in a message, in a header, escaped as JSON, HTML or a URL does it,
in base64, cut, or with something in between. `redact` is what every text of a server's passes on
its way to a person: in the messages of `HistfsError`, in the log and on the terminal.

Threads: `_lock` guards the keys that this process holds; a `Secret` does not change.
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

#: Letters and digits of a key that give it away when they stand together.
_TELLING = 8
#: How often a text is decoded, one way of escaping within another.
_DEPTH = 4
_BLOT = "***"
_OTHERS = bytes(code for code in range(256) if not chr(code).isalnum() or code > 127)
_ESCAPE = re.compile(
    r"\\+u([0-9a-f]{4})|\\+u\{([0-9a-f]{1,6})\}|\\+U([0-9a-f]{8})|\\+x([0-9a-f]{2})"  # JSON, C
    r"|%u([0-9a-f]{4})|%([0-9a-f]{2})"  # URLs
    r"|&\#x?[0-9a-f]{1,8};?|&[a-z]{2,31};",  # HTML
    re.IGNORECASE,
)
_lock = threading.Lock()


class _Pieces(NamedTuple):
    """The parts of a key, in each form, that give it away; letters and digits in lower case.

    Attributes:
        hints: their beginnings: a text without any of these is without all of them.
        telling: all of them, by their length.
    """

    hints: Set[str]
    telling: Mapping[int, Set[str]]


class Secret:
    """An API key: its repr, its str and its pickle say nothing of it.

    Args:
        value: what must not be shown.
        origin: where it comes from, for a person.
        also: parts of it that must not be shown either, such as a password in it.

    Attributes:
        origin: the same; where the value itself stood in it, it is blotted out.
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
        """Return the string itself, for the one who sends it."""
        return self._value

    def redact(self, text: str) -> str:
        """Return a text with every occurrence of the secret blotted out.

        Also one in another case, escaped, in base64 or hexadecimal, with other characters than
        letters and digits in between, and a part of `_TELLING` letters and digits or more that
        has a digit in it. A secret of fewer is only found whole and as it is.
        """
        for part in self._parts:
            text = part.redact(text)
        if self._pieces is not None:
            return _blotted(text, [self._pieces])
        if not self._value:
            return text
        return re.sub(re.escape(self._value), _BLOT, text, flags=re.IGNORECASE)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written down")


_held: weakref.WeakSet[Secret] = weakref.WeakSet()


def redact(text: str) -> str:
    """Return a text without any key that this process holds, as `Secret.redact` does it.

    Keys of fewer than `_TELLING` letters and digits stay: they may be part of any word.
    """
    with _lock:
        pieces = [secret._pieces for secret in _held if secret._pieces is not None]
    return _blotted(text, pieces) if pieces else text


def _pieces_of(value: str) -> _Pieces | None:
    """Return what gives a key away; None for a key of too few letters and digits."""
    letters = _letters(value)
    if len(letters) < _TELLING:
        return None
    raw = value.encode("utf-8", "surrogatepass")
    encoded: set[str] = set()
    for shift in range(3):
        # The first and the last characters depend on what stands before and behind the key.
        first, last = -(-shift * 8 // 6), (shift + len(raw)) * 8 // 6
        code = base64.b64encode(b"\0" * shift + raw).decode()[first:last]
        encoded.update(_cut(code, _TELLING * 4 // 3 + 1))
    # A part without a digit may be a word, such as that for which somebody's own server asks.
    parts = {part for part in _cut(value, _TELLING) if not part.isalpha()}
    telling = [letters, *parts, *encoded, *_cut(raw.hex(), _TELLING * 2)]
    return _Pieces(
        {part[:_TELLING] for part in telling},
        {
            length: {part for part in telling if len(part) == length}
            for length in {len(part) for part in telling}
        },
    )


def _cut(text: str, length: int) -> Iterator[str]:
    letters = _letters(text)
    return (letters[start : start + length] for start in range(len(letters) - length + 1))


def _letters(text: str) -> str:
    if text.isascii():
        return text.encode().translate(None, _OTHERS).decode().lower()
    return "".join(letter for letter, _ in _each_letter(text))


def _each_letter(text: str) -> Iterator[tuple[str, int]]:
    """Yield the letters and digits of ASCII in lower case, with the places where they stand."""
    for place, character in enumerate(text):
        if character.isascii():
            if character.isalnum():
                yield character.lower(), place
        else:
            # Such as those of full width.
            for letter in unicodedata.normalize("NFKC", character):
                if letter.isascii() and letter.isalnum():
                    yield letter.lower(), place


def _blotted(text: str, keys: Sequence[_Pieces]) -> str:
    """Return a text without what gives one of some keys away."""
    hidden = bytearray(len(text))
    # Of each character of the decoded text where in the given one it begins; and the end.
    decoded, places = text, list(range(len(text) + 1))
    for _ in range(_DEPTH):
        _hide(decoded, places, keys, hidden)
        following = _decoded(decoded, places)
        if following is None:
            break
        decoded, places = following
    if not any(hidden):
        return text
    parts: list[str] = []
    for character, is_hidden in zip(text, hidden, strict=True):
        if not is_hidden:
            parts.append(character)
        elif not parts or parts[-1] is not _BLOT:
            parts.append(_BLOT)
    return "".join(parts)


def _hide(text: str, places: Sequence[int], keys: Sequence[_Pieces], hidden: bytearray) -> None:
    """Mark the characters of a text in which a key shows.

    Args:
        text: perhaps decoded.
        places: of each of its characters where it begins in the text that is marked; and the end.
        keys: the pieces of each key.
        hidden: the marks.
    """
    # Nearly every text is without: one look at it has to do.
    parts = set(_cut(text, _TELLING))
    keys = [key for key in keys if not parts.isdisjoint(key.hints)]
    if not keys:
        return
    found = [place for _, place in _each_letter(text)]
    for key in keys:
        for length, pieces in key.telling.items():
            for start, part in enumerate(_cut(text, length)):
                if part in pieces:
                    begin, end = places[found[start]], places[found[start + length - 1] + 1]
                    hidden[begin:end] = b"\1" * (end - begin)


def _decoded(text: str, places: Sequence[int]) -> tuple[str, list[int]] | None:
    """Return a text with its escapes resolved, and its places; None where it has none."""
    parts: list[str] = []
    where: list[int] = []
    last = 0
    for match in _ESCAPE.finditer(text):
        parts.append(text[last : match.start()])
        where += places[last : match.start()]
        number = next(filter(None, match.groups()), None)
        try:
            character = html.unescape(match[0]) if number is None else chr(int(number, 16))
        except (OverflowError, ValueError):
            character = match[0]
        parts.append(character)
        where += [places[match.start()]] * len(character)
        last = match.end()
    if last == 0:
        return None
    return "".join([*parts, text[last:]]), [*where, *places[last:]]
