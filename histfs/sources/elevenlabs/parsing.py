"""How the API's JSON is parsed: fast where it is what RFC 8259 says, else leniently.

msgspec is fast because it makes no objects of what nobody reads. It refuses what the standard
library takes, and what a server may well send: NaN, half of a surrogate pair, other encodings.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

_Read = TypeVar("_Read")


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

    Args:
        content: the JSON.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    fine = strictly(_indented, content)
    if fine is not None:
        return fine
    text = json.dumps(leniently(content), ensure_ascii=False, indent=2)
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
