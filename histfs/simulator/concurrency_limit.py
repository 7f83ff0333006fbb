"""Limit the number of requests that the simulated API answers at once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping

from histfs.simulator.api_errors import ApiError, detail_body


class Concurrency:
    """Count the requests in flight, and refuse those above the limit.

    Threads: any thread may call any method; one lock guards both counters.

    Args:
        limit: The maximum number of requests in flight; None is unlimited.
        headers: Whether each answer states the number in flight and the limit.

    Raises:
        ValueError: The limit is less than 1.
    """

    def __init__(self, limit: int | None, headers: bool) -> None:
        if limit is not None and limit < 1:
            raise ValueError("at least one request at a time must be allowed")
        self._lock = threading.Lock()
        self._in_flight = 0
        self._refused = 0
        self._limit = limit
        self._headers = headers

    @property
    def refused(self) -> int:
        """The number of refused requests."""
        with self._lock:
            return self._refused

    @contextlib.contextmanager
    def admitted(self) -> Iterator[Mapping[str, str]]:
        """Count a request as in flight within the block; yield the headers for its answer.

        Raises:
            ApiError: 429, the limit is reached; this request is not counted.
        """
        with self._lock:
            limit = self._limit
            if limit is not None and self._in_flight >= limit:
                self._refused += 1
                raise self._too_many(limit)
            self._in_flight += 1
            headers = self._limit_headers()
        try:
            yield headers
        finally:
            with self._lock:
                self._in_flight -= 1

    def _limit_headers(self) -> Mapping[str, str]:
        if self._limit is None or not self._headers:
            return {}
        return {
            "current-concurrent-requests": str(self._in_flight),
            "maximum-concurrent-requests": str(self._limit),
        }

    def _too_many(self, limit: int) -> ApiError:
        message = (
            "Too many concurrent requests. Your current subscription is associated with a maximum"
            f" of {limit} concurrent requests (running in parallel)."
        )
        code, status = "concurrent_limit_exceeded", "too_many_concurrent_requests"
        body = detail_body(429, code, message, legacy_status=status)
        return ApiError(429, body, self._limit_headers())
