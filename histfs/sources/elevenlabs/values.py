"""What a field of the API's means, whatever it holds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from histfs.core.times import EARLIEST, LATEST


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


def date_of(value: object) -> int | None:
    """Return a field as a moment that a calendar can show, in seconds; None when it is none."""
    number = number_of(value)
    return None if number is None else int(min(max(number, EARLIEST), LATEST))


def filled(dates: Sequence[int | None]) -> list[int]:
    """Return the dates of a page, each one that is missing being its neighbour's.

    Args:
        dates: in the order of the page, which is that of time.
    """
    last = next((date for date in dates if date is not None), 0)
    return [last := last if date is None else date for date in dates]
