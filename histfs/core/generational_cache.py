"""A dict of what was put in lately.

Two dicts: when the younger one is old enough, or full, it takes the place of the older one, which
is dropped whole. So forgetting costs nothing, however much there is to forget.

Threads: any number at once. A look into a dict is atomic; `_lock` guards the taking of places.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


def _no_clock() -> float:
    return 0.0


class GenerationalCache(Generic[K, V]):
    """Keeps each value for at least some seconds, and less than twice as long.

    Args:
        seconds: for how long.
        clock: seconds, monotonic.
        most: where there are more values the older ones are forgotten before their time; there
            are never more than twice as many.
    """

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        most: float = math.inf,
    ) -> None:
        self._seconds = seconds
        self._clock = clock if seconds < math.inf else _no_clock
        self._most = most
        self._lock = threading.Lock()
        self._dicts: tuple[dict[K, V], dict[K, V]] = ({}, {})
        self._turns = self._clock() + seconds

    def get(self, key: K) -> V | None:
        """Return a value that was put in lately, the last one."""
        # Several times in each stat: no call more than needed.
        if self._clock() >= self._turns:
            self._current()
        young, old = self._dicts
        found = young.get(key)
        return old.get(key) if found is None else found

    def put(self, key: K, value: V) -> None:
        """Keep a value."""
        self._current()[0][key] = value

    def put_all(self, values: Mapping[K, V]) -> None:
        """Keep several values; there may be more of them than `most` then."""
        self._current()[0].update(values)

    def _current(self) -> tuple[dict[K, V], dict[K, V]]:
        if self._is_over():
            with self._lock:
                if self._is_over():
                    forgotten = self._clock() - self._turns >= self._seconds
                    self._dicts = ({}, {} if forgotten else self._dicts[0])
                    self._turns = self._clock() + self._seconds
        return self._dicts

    def _is_over(self) -> bool:
        """Say whether the time of the younger dict is over."""
        return self._clock() >= self._turns or len(self._dicts[0]) >= self._most
