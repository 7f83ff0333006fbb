"""Values of the API's fields, converted from any JSON type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from histfs.core.item import UNKNOWN_NEW, UNKNOWN_OLD
from histfs.core.times import CLOCK_TOLERANCE, FIRST_POSSIBLE


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
