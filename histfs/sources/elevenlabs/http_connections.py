"""Connections: the deadline of a request, enforced at its socket, and what is used or sent again.

A timeout of http.client starts anew with each packet, so a response that arrives byte by byte takes
as long as the server likes. Here each read from the socket, of the status line, of headers or of
the body, with TLS or without, waits no longer than the request's `Deadline` allows. Buffers, chunks
and compression are above this level and can't hide that a response makes no progress.

A connection that was kept while the machine slept, or while a router forgot it, looks open: a
request on it gets no answer, or a reset. So one that has been idle for longer than the request
allows is replaced by a fresh one. A GET whose kept connection breaks before its answer is sent once
more at once, on a fresh connection.

A DELETE is idempotent and could be repeated, too (RFC 9110, section 9.2.2; RFC 9112, section
9.3.1), but a break leaves open whether the server got it, and histfs promises one request. So it is
sent only on a connection that was used a moment ago, or a fresh one, and never repeated.

`BoundedRetry` is the policy by which urllib3 sends a failed request again within its deadline.

Threads: a `Deadline` belongs to the thread that makes the request. Connections find it in a context
variable, because urllib3 gives no other way to pass it. A connection belongs to the thread that
took it from the pool, which has its own lock. urllib3 makes a new `BoundedRetry` for each attempt.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import socket
import time
from contextvars import ContextVar
from types import TracebackType
from typing import Any

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    InvalidHeader,
    MaxRetryError,
    NewConnectionError,
    ResponseError,
)
from urllib3.util.retry import Retry

from histfs.core.supervision import INTERVAL, is_supervised, report
from histfs.sources import receive_window

#: Seconds for which an idle connection is trusted. Servers keep one for 5 (Apache) to 75 (nginx).
MAX_IDLE = 15.0
#: The same for a DELETE.
MAX_IDLE_DELETE = 1.0
#: Options of each connection. What the other side's kernel does not acknowledge within 5 seconds
#: breaks the connection: the network is gone, however long the server may take for its answer.
#: Only Linux has that option.
SOCKET_OPTIONS = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
if hasattr(socket, "TCP_USER_TIMEOUT"):
    SOCKET_OPTIONS.append((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000))
#: A clock that goes on while the machine sleeps. On macOS the monotonic one does: clock_gettime(3).
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

#: A response makes no progress when it brings fewer bytes a second than this, over so many seconds
#: of waiting. Eight downloads that share a line of 32 kbit/s bring 500 each.
MIN_RATE, RATE_WINDOW = 128, 10.0
#: The most seconds for a body that makes progress.
MAX_BODY_SECONDS = 6 * 3600.0

#: The most bytes of one line, and of all lines, of a response: headers, chunk sizes, trailers. A
#: clip of 4 GB in chunks of 256 bytes has fewer.
_MAX_LINE_SIZE, _MAX_LINES_SIZE = 64 * 1024, 1 << 28
#: The most bytes of a response before urllib3 returns it: of its headers, or of the body of a
#: response after which urllib3 retries, which it reads to its end.
_MAX_UNRETURNED_SIZE = 8 << 20


class Deadline:
    """The time that a request may take, its retries included.

    Args:
        total: seconds from now until the response must be complete.
        read_timeout: seconds without a byte after which a read fails.
        max_idle: seconds that a connection may have been idle to be used again.
        retried: whether the request may be sent again if it fails.

    Attributes:
        max_idle, retried: as given.
    """

    def __init__(
        self,
        total: float,
        read_timeout: float,
        max_idle: float = MAX_IDLE,
        *,
        retried: bool = True,
    ) -> None:
        self.max_idle = max_idle
        self.retried = retried
        self._end = time.monotonic() + total
        self._read_timeout = read_timeout
        self._window_waited = 0.0
        self._window_received = 0
        self._unreturned: int | None = 0

    @property
    def end(self) -> float:
        """The end of the time, on the monotonic clock."""
        return self._end

    def remaining(self) -> float:
        """Return the seconds that remain.

        Raises:
            TimeoutError: none remain.
        """
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the time of the request is over")
        return seconds

    def response_started(self) -> None:
        """Start the counts of a new response; urllib3 has dropped the one before, if any."""
        self._window_waited, self._window_received, self._unreturned = 0.0, 0, 0

    def response_returned(self) -> None:
        """Stop the size limit: urllib3 has returned the response to a caller that limits it."""
        self._unreturned = None

    def extend_for_body(self, read_timeout: float) -> None:
        """Let the rest of the response take as long as it makes progress.

        Args:
            read_timeout: seconds without a byte after which a read fails from now on.
        """
        self._read_timeout = read_timeout
        self._end = time.monotonic() + MAX_BODY_SECONDS

    def next_timeout(self, read_began: float) -> float:
        """Return the seconds that a read may wait before it reports or fails.

        Args:
            read_began: when the read began, on the monotonic clock.

        Raises:
            TimeoutError: the deadline is over, or nothing has arrived for too long.
        """
        seconds = read_began + self._read_timeout - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the server sends nothing")
        seconds = min(seconds, self.remaining())
        return min(seconds, INTERVAL) if is_supervised() else seconds

    def count_read(self, size: int, waited: float) -> None:
        """Count the bytes of a read.

        Args:
            size: the number of bytes.
            waited: seconds that the read took.

        Raises:
            TimeoutError: the rate is below `MIN_RATE`.
            ConnectionError: a response that was not returned exceeds its size limit.
        """
        if self._unreturned is not None:
            self._unreturned += size
            if self._unreturned > _MAX_UNRETURNED_SIZE:
                raise ConnectionError("the server sends more than was asked for")
        self._window_waited += waited
        self._window_received += size
        if self._window_waited >= RATE_WINDOW:
            if self._window_received < MIN_RATE * self._window_waited:
                raise TimeoutError("the server sends too slowly")
            self._window_waited, self._window_received = 0.0, 0


_deadline: ContextVar[Deadline] = ContextVar("deadline")


def start(deadline: Deadline) -> Deadline:
    """Set the `Deadline` of the next requests of this context, and return it."""
    _deadline.set(deadline)
    return deadline


def current() -> Deadline:
    """Return the deadline of this context's request."""
    return _deadline.get()


class _SocketReader(io.RawIOBase):
    """The incoming bytes of a socket, read within a deadline.

    Args:
        sock: a socket, with TLS or without.
        file: the file that http.client made of the socket; it keeps the socket open.
        deadline: the deadline of the request.
    """

    def __init__(self, sock: socket.socket, file: io.BufferedReader, deadline: Deadline) -> None:
        self._sock = sock
        self._file = file
        self._deadline = deadline
        self._original_timeout = self._timeout = sock.gettimeout()
        self._window = receive_window.ReceiveWindow(sock)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - anything that can be written to
        """Wait for bytes, and return their number; 0 at the end."""
        began = time.monotonic()
        while True:
            timeout = self._deadline.next_timeout(began)
            if timeout != self._timeout:
                self._sock.settimeout(timeout)
                self._timeout = timeout
            try:
                size = self._sock.recv_into(buffer)
            except TimeoutError:
                report(0)
                continue
            self._deadline.count_read(size, time.monotonic() - began)
            self._window.received(size)
            report(size)
            return size

    def close(self) -> None:
        """Release the socket, with its original timeout."""
        if not self.closed:
            # The socket may be closed already.
            with contextlib.suppress(OSError, ValueError):
                self._sock.settimeout(self._original_timeout)
            self._file.close()
        super().close()


class _BoundedLineReader(io.BufferedReader):
    """A buffered reader that limits the size of lines."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw)
        self._lines_size = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line."""
        unbounded = size is None or size < 0
        line = super().readline(_MAX_LINE_SIZE if unbounded else size)
        self._lines_size += len(line)
        too_long = unbounded and len(line) == _MAX_LINE_SIZE and line[-1:] != b"\n"
        if too_long or self._lines_size > _MAX_LINES_SIZE:
            raise http.client.LineTooLong("answer")
        return line


class _Response(http.client.HTTPResponse):
    """A response that is read within the deadline of its request."""

    fp: io.BufferedReader

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *args, **kwargs)
        deadline = current()
        deadline.response_started()
        self.fp = _BoundedLineReader(_SocketReader(sock, self.fp, deadline))


class _DeadlineConnection:
    """A mixin: a connection that keeps to the deadlines of its requests.

    Attributes:
        idle_since: when it was put back into its pool; None for a fresh one.
    """

    response_class = _Response

    timeout: float
    sock: socket.socket
    idle_since: float | None = None

    def connect(self) -> None:
        """Connect within the time that remains for the request."""
        self.idle_since = None
        self.timeout = min(self.timeout, current().remaining())
        super().connect()  # type: ignore[misc]
        receive_window.bound(self.sock)


def now() -> float:
    """Return seconds since the start of the machine, those in which it slept included."""
    return time.clock_gettime(_CLOCK)


class _Pool:
    """A mixin for connection pools of urllib3, before the pool class.

    Connections keep to deadlines, and are used again only while they can be trusted.
    """

    def _get_conn(self, timeout: float | None = None) -> Any:  # noqa: ANN401 - urllib3's
        connection = super()._get_conn(timeout)  # type: ignore[misc]
        idle_since = connection.idle_since
        if idle_since is not None and now() - idle_since > current().max_idle:
            connection.close()
        return connection

    def _put_conn(self, connection: Any) -> None:  # noqa: ANN401
        if connection is not None:
            connection.idle_since = now()
        super()._put_conn(connection)  # type: ignore[misc]

    def _make_request(
        self,
        connection: Any,  # noqa: ANN401
        method: str,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        send = super()._make_request  # type: ignore[misc]
        is_reused = connection.idle_since is not None
        # `close` forgets it.
        is_tunnelled = connection._tunnel_host is not None
        try:
            return send(connection, method, *args, **kwargs)
        except ConnectionError:
            if not is_reused or method != "GET":
                raise
        connection.close()
        if is_tunnelled:
            self._prepare_proxy(connection)  # type: ignore[attr-defined]
        return send(connection, method, *args, **kwargs)


@functools.cache
def _pool_class(pool: Any) -> Any:  # noqa: ANN401 - a class of urllib3's
    """Return a subclass of a pool class, whose connections keep to deadlines."""
    plain = pool.ConnectionCls
    if issubclass(plain, _DeadlineConnection):
        return pool
    connection = type(f"Deadline{plain.__name__}", (_DeadlineConnection, plain), {})
    bases = (_Pool, pool)
    return type(f"Deadline{pool.__name__}", bases, {"ConnectionCls": connection})


def enforce_deadlines(manager: Any) -> None:  # noqa: ANN401 - a PoolManager of urllib3's
    """Let the connections of a pool manager keep to deadlines; each request needs `start`."""
    pools = manager.pool_classes_by_scheme.items()
    manager.pool_classes_by_scheme = {scheme: _pool_class(pool) for scheme, pool in pools}


def _is_connect_timeout(error: Exception | None) -> bool:
    """Say whether no connection could be made in time; one that is refused fails sooner."""
    return isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError)


class BoundedRetry(Retry):
    """A retry policy of urllib3's that never sleeps past the deadline of the request.

    A request that probes whether the server answers is not retried, nor is one for which no
    connection could be made in time: the kernel has tried several times.

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
        deadline = current()
        report(0)
        is_last = not deadline.retried or _is_connect_timeout(error)
        if is_last or time.monotonic() + pause >= deadline.end:
            reason = error or ResponseError("no time is left for another try")
            raise MaxRetryError(_pool, url or "", reason)
        return next_retry

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        """Return the seconds that the server asks to wait; None when the header is invalid."""
        try:
            return super().get_retry_after(response)
        except InvalidHeader:
            return None
