"""Place numbered items in time: a function of the number, with nothing stored per item."""

from __future__ import annotations

import bisect

_SCALE = 1 << 16
# Every 25th item has the time of the previous one.
_TWIN_EVERY, _TWIN = 25, 7
# Odd 64-bit constants with well-mixed bits.
_MIX, _SPREAD = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9


class Timeline:
    """Spread numbered items over a span of time.

    Number 0 is the oldest item. Times never decrease with the number, so a time is found by
    bisection. Items that were added at run time have a stored time.

    Threads: one writer at a time, under the lock of the store that owns it; readers take no lock.
    """

    def __init__(self, count: int, *, newest: int, days: float, seed: int) -> None:
        """Place the initial items.

        Args:
            count: The number of initial items.
            newest: Unix time of the newest of them, in seconds.
            days: The length of the span.
            seed: Moves the items a little without changing their order.
        """
        self._count = count
        self._newest = newest
        self._span = int(days * 86400)
        self._seed = seed * _SPREAD
        self._added: list[int] = []

    def __len__(self) -> int:
        """The number of items, removed ones included."""
        return self._count + len(self._added)

    def time(self, number: int) -> int:
        """Return the Unix time of an item, in seconds."""
        if number >= self._count:
            return self._added[number - self._count]
        if number % _TWIN_EVERY == _TWIN:
            number -= 1
        steps_back = self._count - 1 - number
        if steps_back == 0:
            return self._newest
        jitter = (number * _MIX + self._seed) >> 24 & (_SCALE - 1)
        return self._newest - (steps_back * _SCALE + jitter) * self._span // (self._count * _SCALE)

    def first_at(self, time: int) -> int:
        """Return the lowest number whose time is at or after a Unix time, in O(log n)."""
        return bisect.bisect_left(range(len(self)), time, key=self.time)

    @property
    def newest(self) -> int:
        """The Unix time of the newest item; without items, a second before the span's end."""
        return self.time(len(self) - 1) if len(self) else self._newest - 1

    def append(self, time: int) -> None:
        """Append an item; its Unix time must not be before the newest item's."""
        self._added.append(time)
