"""Moments, spans of time, and time zones. A moment is an int of seconds since the epoch.

Threads: any number at once; the caches of hours and days guard themselves.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

#: The first and the last moment of an item: Unix time that is a valid `date` in every zone.
EARLIEST = 0
LATEST = 253_402_041_600
#: The year 2000, in seconds since the epoch: no item has an earlier date.
FIRST_POSSIBLE = 946_684_800
#: Seconds by which the clock of a server may be ahead.
CLOCK_TOLERANCE = 86_400
#: Hours whose local time is cached, and days of UTC.
_HOURS, _DAYS = 1024, 1024
_TWO_DIGITS = [f"{number:02}" for number in range(60)]


class Span(NamedTuple):
    """A half-open span of time, in whole seconds since the epoch."""

    start: int
    end: int

    def covers(self, other: Span) -> bool:
        """Say whether ``other`` lies within this span."""
        return self.start <= other.start and other.end <= self.end

    def holds(self, moment: int) -> bool:
        """Say whether a moment lies within this span."""
        return self.start <= moment < self.end

    def widened(self, seconds: int) -> Span:
        """Return this span, extended by some seconds at each end that is not open."""
        start = self.start if self.start <= ALWAYS.start else self.start - seconds
        return Span(start, self.end if self.end >= ALWAYS.end else self.end + seconds)


#: The span of all time; its ends are open.
ALWAYS = Span(-(2**62), 2**62)


class Zone:
    """A time zone: the machine's own, or a named one.

    Args:
        name: an IANA name such as ``Europe/Berlin``; None for the machine's zone.

    Raises:
        ZoneInfoNotFoundError: (a KeyError) this machine doesn't know the zone.
        ValueError: the name is not a valid one.
    """

    def __init__(self, name: str | None = None) -> None:
        self._zone: tzinfo | None = None
        if name:
            # A machine without a database of zones has this one all the same.
            self._zone = timezone.utc if name == "UTC" else ZoneInfo(name)
        self._hours = lru_cache(_HOURS)(self._hour)

    def local(self, moment: int) -> datetime:
        """Return the local date and time of a moment, clipped to `EARLIEST` and `LATEST`."""
        return datetime.fromtimestamp(min(max(moment, EARLIEST), LATEST), self._zone)

    def stamp(self, moment: int) -> str:
        """Return the local time as ``2024-05-02T11-45-06``, which sorts and is safe in a name."""
        hour, rest = divmod(moment, 3600)
        prefix = self._hours(hour)
        if prefix is None:
            return self.local(moment).isoformat()[:19].replace(":", "-")
        return f"{prefix}{_TWO_DIGITS[rest // 60]}-{_TWO_DIGITS[rest % 60]}"

    def moments(self, stamp: str) -> list[int]:
        """Return the moments of a stamp: mostly one, two in the hour when clocks are set back."""
        try:
            local = datetime.fromisoformat(stamp[:10] + "T" + stamp[11:].replace("-", ":"))
            both = {int(local.replace(tzinfo=self._zone, fold=fold).timestamp()) for fold in (0, 1)}
        except (ValueError, OverflowError):
            return []
        return sorted(moment for moment in both if self.stamp(moment) == stamp)

    def year(self, year: int) -> Span:
        """Return the span of a local year."""
        return Span(self._start(year, 1, 1), self._start(year + 1, 1, 1))

    def month(self, year: int, month: int) -> Span:
        """Return the span of a local month."""
        after = (year + 1, 1) if month == 12 else (year, month + 1)
        return Span(self._start(year, month, 1), self._start(*after, 1))

    def day(self, year: int, month: int, day: int) -> Span:
        """Return the span of a local day; ValueError if the calendar has no such day."""
        first = datetime(year, month, day)
        if first.date() == date.max:
            return Span(self._start(year, month, day), ALWAYS.end)
        after = first + timedelta(days=1)
        return Span(self._start(year, month, day), self._start(after.year, after.month, after.day))

    def _hour(self, number: int) -> str | None:
        """Return the common prefix of the stamps of an hour; a listing has many in one hour.

        Args:
            number: of the hour since the epoch.

        Returns:
            None if the stamps have none: local hours begin at another minute, clocks change within
            the hour, or `local` clips it.
        """
        first, last = self.local(number * 3600), self.local(number * 3600 + 3599)
        if first.minute or first.second or (last.minute, last.second) != (59, 59):
            return None
        begins, ends = first.isoformat()[:14], last.isoformat()[:14]
        return begins.replace(":", "-") if begins == ends else None

    def _start(self, year: int, month: int, day: int) -> int:
        if year > 9999:
            return ALWAYS.end
        return int(datetime(year, month, day, tzinfo=self._zone).timestamp())


def utc_day(moment: int) -> str:
    """Return the day of a moment in UTC, such as ``2024-05-02``."""
    return _utc_day(moment // 86_400)


def utc_text(moment: int) -> str:
    """Return a moment as ISO 8601 has it, in UTC, such as ``2024-05-02T11:45:06Z``."""
    day, second = divmod(moment, 86_400)
    minute, second = divmod(second, 60)
    hour, minute = divmod(minute, 60)
    numbers = f"{_TWO_DIGITS[hour]}:{_TWO_DIGITS[minute]}:{_TWO_DIGITS[second]}"
    return f"{_utc_day(day)}T{numbers}Z"


@lru_cache(_DAYS)  # a table has many items of one day
def _utc_day(number: int) -> str:
    return f"{datetime.fromtimestamp(number * 86_400, timezone.utc):%Y-%m-%d}"
