"""How the API's JSON is parsed: fast where it is what RFC 8259 says, else leniently.

msgspec is fast because it makes no objects of what nobody reads. It refuses what the standard
library takes, and what a server may well send: NaN, half of a surrogate pair, other encodings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Iterator
from typing import Any, TypeVar

import msgspec

_Read = TypeVar("_Read")
#: A string, or what has a meaning outside of strings.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["\[\]{},:]', re.DOTALL)
_CLOSES = {b"[": b"]", b"{": b"}"}


def strictly(decode: Callable[[bytes], _Read], content: bytes) -> _Read | None:
    """Return what a decoder of msgspec's makes of JSON; None when it refuses it.

    Args:
        decode: the decoder, or what uses it.
        content: the JSON, in UTF-8.
    """
    try:
        return decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def leniently(content: bytes) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return what the standard library makes of JSON.

    Args:
        content: the JSON, in UTF-8 (surrogates too), UTF-16 or UTF-32.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(content, parse_int=_whole)


def object_of(content: bytes, needed: Container[str] = ()) -> Any:  # noqa: ANN401
    """Return what JSON is, as `leniently`; too deep members of an object are None.

    Args:
        content: the JSON.
        needed: names of members that may not be missing so.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply and no object, or a needed member is.
    """
    try:
        return leniently(content)
    except RecursionError:
        if not content.lstrip().startswith(b"{"):
            raise
    fields: dict[str, Any] = {}
    for name, value in members_of(content).items():
        try:
            fields[name] = leniently(value)
        except RecursionError:
            if name in needed:
                raise
            fields[name] = None
    return fields


def members_of(content: bytes) -> dict[str, bytes]:
    """Take an object apart: return the JSON of each member, however deeply it is nested.

    Args:
        content: the JSON, in UTF-8.

    Raises:
        ValueError: it is no object.
    """
    content.decode()
    members: dict[str, bytes] = {}
    for start, colon, end in _parts(content, b"{"):
        if colon is None:
            raise ValueError("a member of the object has no name")
        members[str(json.loads(content[start:colon]))] = content[colon + 1 : end].strip()
    return members


def elements_of(content: bytes) -> list[bytes]:
    """Take a list apart: return the JSON of each element, however deeply it is nested.

    Args:
        content: the JSON, in UTF-8.

    Raises:
        ValueError: it is no list.
    """
    content.decode()
    return [content[start:end].strip() for start, _, end in _parts(content, b"[")]


def dump(value: object) -> bytes:
    """Return a value as JSON in UTF-8, without the spaces that JSON doesn't need.

    Args:
        value: what `leniently` returned. A lone surrogate in it, which UTF-8 can't hold, becomes
            the escape that JSON has for it (RFC 8259, section 7).
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def indented(content: bytes) -> bytes:
    """Return JSON as it is, but with line breaks and two spaces for each level, in UTF-8.

    An object that is nested too deeply is returned as it is.

    Args:
        content: the JSON.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply, and no object.
    """
    fine = strictly(_indented, content)
    if fine is not None:
        return fine
    try:
        text = json.dumps(leniently(content), ensure_ascii=False, indent=2)
    except RecursionError:
        if content.lstrip().startswith(b"{") and members_of(content):
            return content.strip()
        raise
    return text.encode("utf-8", "backslashreplace")


def _indented(content: bytes) -> bytes:
    # msgspec takes any bytes for the text of what it skips.
    return msgspec.json.format(content.decode(), indent=2).encode()


def _whole(digits: str) -> int | float:
    """Read a whole number; one with more digits than Python reads is as good as infinite."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _parts(content: bytes, opening: bytes) -> Iterator[tuple[int, int | None, int]]:
    """Yield where each part of an object or a list starts, has its first colon, and ends.

    Raises:
        ValueError: it is neither, or its brackets don't match.
    """
    expected = bytearray()
    start, colon, last = 0, None, 0
    for token in _TOKEN.finditer(content):
        mark, at = token.group(), token.start()
        if not expected and (last or mark != opening or content[:at].strip()):
            raise ValueError("the JSON is of another kind, or has something around it")
        if mark in _CLOSES:
            expected += _CLOSES[mark]
            if len(expected) == 1:
                start = at + 1
        elif mark in b"]}":
            if expected[-1:] != mark:
                raise ValueError("the brackets don't match")
            if len(expected) == 1 and content[start:at].strip():
                yield start, colon, at
            expected.pop()
            last = at + 1
        elif len(expected) == 1 and mark == b":" and colon is None:
            colon = at
        elif len(expected) == 1 and mark == b",":
            yield start, colon, at
            start, colon = at + 1, None
        elif mark == b'"':
            raise ValueError("a string has no end")
    if expected or not last or content[last:].strip():
        raise ValueError("the JSON is cut short, or has something behind it")
