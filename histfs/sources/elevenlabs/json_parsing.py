"""Parses the API's JSON, its fields and its objects, whatever type a field has.

JSON is parsed with msgspec, and leniently what msgspec refuses. msgspec is fast because it makes no
objects of the fields that are not read. It refuses what a server may send and the standard library
accepts: NaN, half of a surrogate pair, other encodings.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from histfs.core.errors import BadAnswer
from histfs.core.item import UNKNOWN_NEW, UNKNOWN_OLD, Record
from histfs.core.times import CLOCK_TOLERANCE, FIRST_POSSIBLE

_Parsed = TypeVar("_Parsed")
#: A string, or one structural character.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["\[\]{},:]', re.DOTALL)
_CLOSING = {b"[": b"]", b"{": b"}"}


def try_strict(decode: Callable[[bytes], _Parsed], content: bytes) -> _Parsed | None:
    """Return the result of a msgspec decoder; None when it refuses the content.

    Args:
        decode: the decoder, or a function that uses it.
        content: the JSON, in UTF-8.
    """
    try:
        return decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def parse_lenient(content: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Parse JSON with the standard library.

    Args:
        content: the JSON, in UTF-8 (surrogates too), UTF-16 or UTF-32.

    Raises:
        ValueError: the content is not JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(content, parse_int=_parse_int)


def parse_object(content: bytes, needed: Container[str] = ()) -> Any:  # noqa: ANN401
    """Parse an object as `parse_lenient`; members that are nested too deeply become None.

    Args:
        content: the JSON.
        needed: names of members that must not become None so.

    Raises:
        ValueError: the content is not JSON.
        RecursionError: a needed member, or JSON that is not an object, is nested too deeply.
    """
    try:
        return parse_lenient(content)
    except RecursionError:
        if not content.lstrip().startswith(b"{"):
            raise
    fields: dict[str, Any] = {}
    for name, value in split_object(content).items():
        try:
            fields[name] = parse_lenient(value)
        except RecursionError:
            if name in needed:
                raise
            fields[name] = None
    return fields


def split_object(content: bytes) -> dict[str, bytes]:
    """Return the JSON of each member of an object, however deeply it is nested.

    Args:
        content: the JSON, in UTF-8.

    Raises:
        ValueError: the content is not an object.
    """
    content.decode()
    members: dict[str, bytes] = {}
    for start, colon, end in _split(content, b"{"):
        if colon is None:
            raise ValueError("a member of the object has no name")
        members[str(json.loads(content[start:colon]))] = content[colon + 1 : end].strip()
    return members


def split_array(content: bytes) -> list[bytes]:
    """Return the JSON of each element of an array, however deeply it is nested.

    Args:
        content: the JSON, in UTF-8.

    Raises:
        ValueError: the content is not an array.
    """
    content.decode()
    return [content[start:end].strip() for start, _, end in _split(content, b"[")]


def serialize(value: object) -> bytes:
    """Return a value as compact JSON in UTF-8.

    Args:
        value: a result of `parse_lenient`. A lone surrogate in it, which UTF-8 can't encode, is
            escaped (RFC 8259, section 7).
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def indent(content: bytes) -> bytes:
    """Return JSON with line breaks and two spaces for each level, in UTF-8.

    An object that is nested too deeply is returned unchanged.

    Args:
        content: the JSON.

    Raises:
        ValueError: the content is not JSON.
        RecursionError: it is nested too deeply and not an object.
    """
    indented = try_strict(_indent_strict, content)
    if indented is not None:
        return indented
    try:
        text = json.dumps(parse_lenient(content), ensure_ascii=False, indent=2)
    except RecursionError:
        if content.lstrip().startswith(b"{") and split_object(content):
            return content.strip()
        raise
    return text.encode("utf-8", "backslashreplace")


def _indent_strict(content: bytes) -> bytes:
    # msgspec accepts any bytes in a string that it skips.
    return msgspec.json.format(content.decode(), indent=2).encode()


def _parse_int(digits: str) -> int | float:
    """Return an int; a float, perhaps infinite, where Python limits the digits of an int."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _split(content: bytes, opening: bytes) -> Iterator[tuple[int, int | None, int]]:
    """Yield the offsets of the start, the first colon and the end of each part.

    Args:
        content: the JSON of an object or an array.
        opening: its opening bracket.

    Raises:
        ValueError: the content is of another kind, or its brackets don't match.
    """
    closing = bytearray()
    start, colon, end = 0, None, 0
    for token in _TOKEN.finditer(content):
        char, offset = token.group(), token.start()
        if not closing and (end or char != opening or content[:offset].strip()):
            raise ValueError("the JSON is of another kind, or has something around it")
        if char in _CLOSING:
            closing += _CLOSING[char]
            if len(closing) == 1:
                start = offset + 1
        elif char in b"]}":
            if closing[-1:] != char:
                raise ValueError("the brackets don't match")
            if len(closing) == 1 and content[start:offset].strip():
                yield start, colon, offset
            closing.pop()
            end = offset + 1
        elif len(closing) == 1 and char == b":" and colon is None:
            colon = offset
        elif len(closing) == 1 and char == b",":
            yield start, colon, offset
            start, colon = offset + 1, None
        elif char == b'"':
            raise ValueError("a string has no end")
    if closing or not end or content[end:].strip():
        raise ValueError("the JSON is cut short, or has something behind it")


# Fields


def string_of(value: object) -> str:
    """Return a field as text; empty for null."""
    if isinstance(value, str):
        return value
    return "" if value is None else str(value)


def number_of(value: object) -> float | None:
    """Return a field as a finite number; None when it isn't one."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


class Dates(NamedTuple):
    """The dates of a page.

    Attributes:
        dates: in seconds since the epoch; for an invalid one its neighbour's (`Record.dated`).
        is_valid: for each date, whether it is the item's own.
    """

    dates: list[int]
    is_valid: list[bool]


def dates_of(values: Sequence[object], now: float) -> Dates:
    """Convert the dates of a page; milliseconds, 0, the year 2100 and the like are invalid.

    Args:
        values: the fields, in the order of the page.
        now: the server's time, as far as it is known, in seconds since the epoch.
    """
    numbers = [number_of(value) for value in values]
    latest = now + CLOCK_TOLERANCE
    valid = [
        int(number) if number is not None and FIRST_POSSIBLE <= number <= latest else None
        for number in numbers
    ]
    neighbour = next((date for date in valid if date is not None), None)
    dates = []
    for number, date in zip(numbers, valid, strict=True):
        neighbour = neighbour if date is None else date
        if neighbour is not None:
            dates.append(neighbour)
        else:
            dates.append(UNKNOWN_NEW if (number or 0) > latest else UNKNOWN_OLD)
    return Dates(dates, [date is not None for date in valid])


# Objects


@dataclass(frozen=True)
class RecordParser(Generic[_Parsed]):
    """Parses objects of one kind, in JSON, into records.

    The methods take the server's time, as far as it is known, in seconds since the epoch.

    Attributes:
        name: of the kind, in messages.
        plural: of several objects.
        parse: parses the fields of an object; ValueError and RecursionError if it can't.
        id_of: returns the id; empty where there is none.
        date_of: returns the field with the date.
        make: makes a record from an object, its fields, its date, and whether that is its own.
    """

    name: str
    plural: str
    parse: Callable[[bytes], _Parsed]
    id_of: Callable[[_Parsed], str]
    date_of: Callable[[_Parsed], object]
    make: Callable[[bytes, _Parsed, int, bool], Record]

    def records_of(self, objects: Iterable[bytes], now: float) -> list[Record]:
        """Parse the objects of a page, in its order; one without a valid date gets its neighbour's.

        Raises:
            BadAnswer: an object has no id: a list without it would look complete.
            ValueError, RecursionError: an object can't be parsed.
        """
        parsed = [(raw, self.parse(raw)) for raw in objects]
        without_id = sum(not self.id_of(fields) for _, fields in parsed)
        if without_id:
            raise BadAnswer(
                f"the server lists {self.plural} without an id ({without_id} on a page)"
            )
        dates = dates_of([self.date_of(fields) for _, fields in parsed], now)
        return [
            self.make(raw, fields, date, dated)
            for (raw, fields), date, dated in zip(parsed, *dates, strict=True)
        ]

    def record_of(self, raw: bytes, now: float) -> Record:
        """Parse one object.

        Raises:
            BadAnswer: it is not an object, or has no id.
            ValueError, RecursionError: it can't be parsed.
        """
        fields = self.parse(raw)
        if not self.id_of(fields):
            raise BadAnswer(f"the answer is not a {self.name}")
        ((date,), (dated,)) = dates_of([self.date_of(fields)], now)
        return self.make(raw, fields, date, dated)
