"""What was asked of the simulator, for tests to look at."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from histfs.simulator.key_access import KeyState

LOG_LENGTH = 1000


@dataclass(frozen=True)
class RequestRecord:
    """One request and its answer.

    Attributes:
        method: The method.
        target: The path with the query; keys in it are concealed.
        endpoint: What it is counted under, such as "GET /v1/history/{id}/audio".
        status: The status of the answer, or None when none was begun.
        key: Whether there was a key and whether it was known.
        header_names: The names of the request's headers, in lower case.
        user_agent: The header User-Agent.
        accept_encoding: The header Accept-Encoding.
    """

    method: str
    target: str
    endpoint: str
    status: int | None
    key: KeyState
    header_names: tuple[str, ...]
    user_agent: str | None
    accept_encoding: str | None


class RequestCounts:
    """Counts requests per endpoint. Thread-safe.

    A request counts when it has been read. It is logged when its answer begins, and is in flight
    until just before the last byte of the answer is sent, so a client that has an answer can rely
    on both.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight = 0
        self._clear()

    def _clear(self) -> None:
        self._per_endpoint: Counter[str] = Counter()
        self._log: deque[RequestRecord] = deque(maxlen=LOG_LENGTH)
        self._max_in_flight = self._in_flight

    def __getitem__(self, endpoint: str) -> int:
        """The number of requests to an endpoint, 0 for one that nobody asked."""
        with self._lock:
            return self._per_endpoint[endpoint]

    @property
    def total(self) -> int:
        """The number of all requests."""
        with self._lock:
            return self._per_endpoint.total()

    @property
    def max_in_flight(self) -> int:
        """The most requests that were being answered at once."""
        with self._lock:
            return self._max_in_flight

    @property
    def log(self) -> list[RequestRecord]:
        """The last requests, oldest first."""
        with self._lock:
            return list(self._log)

    def per_endpoint(self) -> Mapping[str, int]:
        """Gives the number of requests of each endpoint that was asked."""
        with self._lock:
            return dict(self._per_endpoint)

    def reset(self) -> None:
        """Forgets all; what is in flight stays so."""
        with self._lock:
            self._clear()

    def begin(self, endpoint: str) -> None:
        """Counts a request that has come in."""
        with self._lock:
            self._per_endpoint[endpoint] += 1
            self._in_flight += 1
            self._max_in_flight = max(self._max_in_flight, self._in_flight)

    def record(self, record: RequestRecord) -> None:
        """Logs a request whose answer begins."""
        with self._lock:
            self._log.append(record)

    def end(self) -> None:
        """Notes that a request is no longer in flight."""
        with self._lock:
            self._in_flight -= 1
