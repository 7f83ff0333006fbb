"""What a field of the API's means, whatever it holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from histfs.core.item import UNKNOWN_NEW, UNKNOWN_OLD

#: The year 2000: no item is older.
FIRST = 946_684_800
#: Seconds by which an item may come from the future: clocks and zones differ.
_CLOCK_ERROR = 86_400.0


def string_of(value: object) -> str:
    """Return a field as text; empty when there is none."""
    if isinstance(value, str):
        return value
    return "" if value is None else str(value)


def number_of(value: object) -> float | None:
    """Return a field as a finite number; None when it is none."""
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
        shown: the dates; for each impossible one its neighbour's, see `Record.dated`.
        possible: for each whether it is the item's own.
    """

    shown: list[int]
    possible: list[bool]


def dates_of(values: Sequence[object], now: float) -> Dates:
    """Read the dates of a page.

    Milliseconds, 0, the year 2100 and the like are no dates that an item can have.

    Args:
        values: the fields, in the order of the page.
        now: the server's time as well as it is known, in seconds since the epoch.
    """
    numbers = [number_of(value) for value in values]
    latest = now + _CLOCK_ERROR
    possible = [number is not None and FIRST <= number <= latest for number in numbers]
    dates = [
        int(number) if good and number is not None else None
        for number, good in zip(numbers, possible, strict=True)
    ]
    last = next((date for date in dates if date is not None), None)
    shown = []
    for number, date in zip(numbers, dates, strict=True):
        last = last if date is None else date
        if last is not None:
            shown.append(last)
        else:
            shown.append(UNKNOWN_NEW if (number or 0) > latest else UNKNOWN_OLD)
    return Dates(shown, possible)
