"""Moments, spans of time, and the zone in which days begin."""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

#: The moments that an item may have: those of Unix time that are a date in every zone, in seconds.
EARLIEST = 0
LATEST = 253_402_041_600
#: Hours whose local time is remembered.
_HOURS = 1024
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
        """Return this span with some seconds more at each end that is a moment."""
        start = self.start if self.start <= ALWAYS.start else self.start - seconds
        return Span(start, self.end if self.end >= ALWAYS.end else self.end + seconds)


#: The span that holds every moment there is.
ALWAYS = Span(-(2**62), 2**62)


class Zone:
    """A time zone: the machine's own, or a named one.

    Args:
        name: an IANA name such as ``Europe/Berlin``; None for the machine's zone.

    Raises:
        ZoneInfoNotFoundError: (a KeyError) the zone is not known here.
        ValueError: that is not a zone's name.
    """

    def __init__(self, name: str | None = None) -> None:
        self._zone: tzinfo | None = ZoneInfo(name) if name else None
        self._hours = lru_cache(_HOURS)(self._hour)

    def local(self, moment: int) -> datetime:
        """Return the local date and time of a moment, pulled into what a date can show."""
        return datetime.fromtimestamp(min(max(moment, EARLIEST), LATEST), self._zone)

    def stamp(self, moment: int) -> str:
        """Return the local time as ``2024-05-02T11-45-06``, which sorts and is safe in a name."""
        hour, rest = divmod(moment, 3600)
        whole = self._hours(hour)
        if whole is None:
            return self.local(moment).isoformat()[:19].replace(":", "-")
        return f"{whole}{_TWO_DIGITS[rest // 60]}-{_TWO_DIGITS[rest % 60]}"

    def moments(self, stamp: str) -> list[int]:
        """Return the moments that have a stamp: mostly one, two where clocks were set back."""
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
        """Return the span of a local day; ValueError when the calendar has no such day."""
        first = datetime(year, month, day)
        if first.date() == date.max:
            return Span(self._start(year, month, day), ALWAYS.end)
        after = first + timedelta(days=1)
        return Span(self._start(year, month, day), self._start(after.year, after.month, after.day))

    def _hour(self, number: int) -> str | None:
        """Return what the stamps of an hour begin with: a listing has many of one hour.

        Args:
            number: of the hour since the epoch.

        Returns:
            None where the hour is not one of local time: it begins at another minute, or clocks are
            set in it, or no date can show it.
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
