"""When a request is sent again.

Threads: urllib3 makes a new object for each attempt; there is no shared state.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import urllib3
from urllib3.exceptions import InvalidHeader, MaxRetryError, ResponseError
from urllib3.util.retry import Retry

from histfs.sources.elevenlabs import http_connections


class BoundedRetry(Retry):
    """A retry policy of urllib3's that never sleeps past the deadline of the request.

    A request that probes whether the server answers is not retried.

    A ``Retry-After`` is honoured when it ends before the deadline; otherwise the response is
    returned as it is. A 429 is not retried here: it concerns all requests of the account
    (`Limiter`).
    """

    RETRY_AFTER_STATUS_CODES = frozenset({413, 503})

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: Any = None,  # noqa: ANN401 - urllib3's own signature
        _stacktrace: TracebackType | None = None,
    ) -> BoundedRetry:
        """Return the policy after a failure, or raise it where there is no further attempt."""
        next_retry = super().increment(method, url, response, error, _pool, _stacktrace)
        pause = next_retry.get_retry_after(response) if response is not None else None
        if pause is None:
            pause = next_retry.get_backoff_time()
        deadline = http_connections.current()
        if not deadline.retried or time.monotonic() + pause >= deadline.end:
            reason = error or ResponseError("no time is left for another try")
            raise MaxRetryError(_pool, url or "", reason)
        return next_retry

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        """Return the seconds that the server asks to wait; None when the header is invalid."""
        try:
            return super().get_retry_after(response)
        except InvalidHeader:
            return None
