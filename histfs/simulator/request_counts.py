"""Count and log the requests to the simulator, for tests and benchmarks."""

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
        target: The path with the query; keys in it are redacted.
        endpoint: The name of its counter, such as "GET /v1/history/{id}/audio".
        status: The status of the answer, or None when no answer was begun.
        key: Whether the request had a key and whether the key is known.
        accept_encoding: The header Accept-Encoding.
    """

    method: str
    target: str
    endpoint: str
    status: int | None
    key: KeyState
    accept_encoding: str | None


class RequestCounts:
    """Count requests per endpoint.

    A request is counted when it has been read. It is logged when its answer begins, and is in
    flight until just before the last byte of the answer is sent: a client that has an answer can
    rely on both.

    Threads: any thread may call any method; one lock guards the counters and the log.
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
        """The number of requests to an endpoint."""
        with self._lock:
            return self._per_endpoint[endpoint]

    @property
    def total(self) -> int:
        """The number of all requests."""
        with self._lock:
            return self._per_endpoint.total()

    @property
    def max_in_flight(self) -> int:
        """The highest number of requests in flight at once."""
        with self._lock:
            return self._max_in_flight

    @property
    def log(self) -> list[RequestRecord]:
        """The last `LOG_LENGTH` requests, oldest first."""
        with self._lock:
            return list(self._log)

    def per_endpoint(self) -> Mapping[str, int]:
        """Return the number of requests by endpoint, without endpoints that had none."""
        with self._lock:
            return dict(self._per_endpoint)

    def reset(self) -> None:
        """Clear the counters and the log; requests in flight stay in flight."""
        with self._lock:
            self._clear()

    def begin(self, endpoint: str) -> None:
        """Count a request that has been read."""
        with self._lock:
            self._per_endpoint[endpoint] += 1
            self._in_flight += 1
            self._max_in_flight = max(self._max_in_flight, self._in_flight)

    def record(self, record: RequestRecord) -> None:
        """Log a request whose answer begins."""
        with self._lock:
            self._log.append(record)

    def end(self) -> None:
        """Count a request as no longer in flight."""
        with self._lock:
            self._in_flight -= 1
