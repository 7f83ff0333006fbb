"""A dict whose entries expire, with eviction in constant time.

Two generations: when the young dict is old enough, or full, it replaces the old one, which is
dropped as a whole. So eviction costs nothing, however many entries there are.

Threads: any number at once. A look-up in a dict is atomic; `_lock` guards the replacement of the
generations, and no other lock is taken while it is held.
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
    """Keeps each value for at least `ttl` seconds, and less than twice as long.

    Args:
        ttl: the time to live in seconds; infinite for no expiry.
        clock: seconds, monotonic.
        max_entries: entries of a generation. With more of them older ones are evicted early; there
            are never more than twice as many.
    """

    def __init__(
        self,
        ttl: float,
        clock: Callable[[], float] = time.monotonic,
        max_entries: float = math.inf,
    ) -> None:
        self._ttl = ttl
        self._clock = clock if ttl < math.inf else _no_clock
        self._expires = ttl < math.inf
        self._max_entries = max_entries
        self._lock = threading.Lock()
        self._generations: tuple[dict[K, V], dict[K, V]] = ({}, {})
        self._rotates_at = self._clock() + ttl

    def get(self, key: K) -> V | None:
        """Return the latest value of a key; None when there is none or it has expired."""
        # A stat calls this several times: the check is inlined.
        if self._expires and self._clock() >= self._rotates_at:
            self._current()
        young, old = self._generations
        value = young.get(key)
        return old.get(key) if value is None else value

    def put(self, key: K, value: V) -> None:
        """Store a value."""
        self._current()[0][key] = value

    def put_all(self, values: Mapping[K, V]) -> None:
        """Store several values; this may exceed `max_entries`."""
        self._current()[0].update(values)

    def clear(self) -> None:
        """Forget all values."""
        with self._lock:
            self._generations = ({}, {})
            self._rotates_at = self._clock() + self._ttl

    def _current(self) -> tuple[dict[K, V], dict[K, V]]:
        if self._is_rotation_due():
            with self._lock:
                if self._is_rotation_due():
                    expired = self._clock() - self._rotates_at >= self._ttl
                    self._generations = ({}, {} if expired else self._generations[0])
                    self._rotates_at = self._clock() + self._ttl
        return self._generations

    def _is_rotation_due(self) -> bool:
        return self._clock() >= self._rotates_at or len(self._generations[0]) >= self._max_entries
