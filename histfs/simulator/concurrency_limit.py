"""How many requests the simulated API answers at once; one more is refused."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping

from histfs.simulator.api_errors import ApiError, detail_body


class Concurrency:
    """Counts the requests that are being answered, and refuses too many. Thread-safe.

    Attributes:
        most: How many may be answered at once; None is any number. It may be changed at any time.
        headers: Whether each answer says how many there are and may be.
    """

    def __init__(self, most: int | None, headers: bool = False) -> None:
        self._lock = threading.Lock()
        self._in_flight = 0
        self._refused = 0
        self.most = most
        self.headers = headers

    @property
    def most(self) -> int | None:
        """How many may be answered at once."""
        return self._most

    @most.setter
    def most(self, most: int | None) -> None:
        if most is not None and most < 1:
            raise ValueError("at least one request at a time must be allowed")
        self._most = most

    @property
    def refused(self) -> int:
        """How many requests were refused."""
        with self._lock:
            return self._refused

    @contextlib.contextmanager
    def admitted(self) -> Iterator[Mapping[str, str]]:
        """Count a request within the block, and lend the headers that its answer gets.

        Raises:
            ApiError: there are too many; this one is not counted.
        """
        with self._lock:
            most = self._most
            if most is not None and self._in_flight >= most:
                self._refused += 1
                raise self._too_many(most)
            self._in_flight += 1
            headers = self._told(most)
        try:
            yield headers
        finally:
            with self._lock:
                self._in_flight -= 1

    def _told(self, most: int | None) -> Mapping[str, str]:
        if most is None or not self.headers:
            return {}
        return {
            "current-concurrent-requests": str(self._in_flight),
            "maximum-concurrent-requests": str(most),
        }

    def _too_many(self, most: int) -> ApiError:
        message = (
            "Too many concurrent requests. Your current subscription is associated with a maximum"
            f" of {most} concurrent requests (running in parallel)."
        )
        code, status = "concurrent_limit_exceeded", "too_many_concurrent_requests"
        body = detail_body(429, code, message, legacy_status=status)
        return ApiError(429, body, self._told(most))
