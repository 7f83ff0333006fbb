"""The deadline of a request, enforced at its socket.

A timeout of http.client counts anew with each packet, so an answer that arrives byte by byte takes
as long as the server likes. Here each read from the socket, of the status line, of headers or of
the body, with TLS or without, waits no longer than the request's `Budget` allows. Below buffers,
chunks and compression nothing can hide that an answer makes no progress.

Threads: a `Budget` belongs to the thread that makes the request. Connections find it in a context
variable, because urllib3 gives no other way to pass it.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import socket
import time
from contextvars import ContextVar
from typing import Any

from histfs.core.supervision import INTERVAL, is_supervised, report

#: An answer that brings fewer bytes a second than this, over so many seconds of waiting, makes no
#: progress. Eight downloads that share a line of 32 kbit/s bring 500 each.
LEAST_RATE, WINDOW = 128, 10.0
#: Seconds after which a body that is read for as long as it makes progress ends all the same.
LONGEST = 6 * 3600.0

#: Bytes of one line, and of all lines, that an answer may have: its headers, the sizes of its
#: chunks, its trailers. A clip of 4 GB in chunks of 256 bytes has less than that.
_LINE, _LINES = 64 * 1024, 1 << 28
#: Bytes that may come of an answer before it is handed to whoever asked: its headers, or the body
#: of an answer after which urllib3 asks again, which it reads whole.
_UNCLAIMED = 8 << 20


class Budget:
    """The time that a request may take, its retries included.

    Args:
        total: seconds from now until the answer must have come whole.
        silence: seconds for which no byte may come.
    """

    def __init__(self, total: float, silence: float) -> None:
        self._end = time.monotonic() + total
        self._silence = silence
        self._waited = 0.0
        self._received = 0
        self._unclaimed: int | None = 0

    @property
    def end(self) -> float:
        """When the time is over, on the monotonic clock."""
        return self._end

    def remaining(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: there are none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time of the request is over")
        return left

    def expect_answer(self) -> None:
        """Note that an answer is read from now on; the one before, if any, came to nobody."""
        self._waited, self._received, self._unclaimed = 0.0, 0, 0

    def claim(self) -> None:
        """Note that the answer has come to whoever asked, and bounds what is read of it."""
        self._unclaimed = None

    def relax(self) -> None:
        """Let the rest of the answer take as long as it makes progress."""
        self._end = time.monotonic() + LONGEST

    def patience(self, silent_since: float) -> float:
        """Return the seconds for which the next read may wait.

        Args:
            silent_since: when it began to wait, on the monotonic clock.

        Raises:
            TimeoutError: the time is over, or nothing has come for too long.
        """
        left = silent_since + self._silence - time.monotonic()
        if left <= 0:
            raise TimeoutError("the server sends nothing")
        left = min(left, self.remaining())
        return min(left, INTERVAL) if is_supervised() else left

    def received(self, count: int, waited: float) -> None:
        """Note that a read has brought bytes.

        Args:
            count: how many.
            waited: the seconds that it has waited for them.

        Raises:
            TimeoutError: they are too few for the time that was waited for them.
            ConnectionError: they are too many for what nobody reads.
        """
        if self._unclaimed is not None:
            self._unclaimed += count
            if self._unclaimed > _UNCLAIMED:
                raise ConnectionError("the server sends more than anybody asked for")
        self._waited += waited
        self._received += count
        if self._waited >= WINDOW:
            if self._received < LEAST_RATE * self._waited:
                raise TimeoutError("the server sends next to nothing")
            self._waited, self._received = 0.0, 0


_budget: ContextVar[Budget] = ContextVar("budget")


def begin(total: float, silence: float) -> Budget:
    """Give the requests of this context, from now on, a new budget, and return it."""
    budget = Budget(total, silence)
    _budget.set(budget)
    return budget


def current() -> Budget:
    """Return the budget of this context's request."""
    return _budget.get()


class _Incoming(io.RawIOBase):
    """What comes out of a socket, within a budget.

    Args:
        sock: a socket, with TLS or without.
        owned: the file that http.client made of it, which keeps it open.
        budget: of the request.
    """

    def __init__(self, sock: socket.socket, owned: io.BufferedReader, budget: Budget) -> None:
        self._sock = sock
        self._owned = owned
        self._budget = budget
        self._usual = self._set = sock.gettimeout()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - anything that can be written to
        """Wait for bytes, and return how many have come; 0 at the end."""
        began = time.monotonic()
        while True:
            timeout = self._budget.patience(began)
            if timeout != self._set:
                self._sock.settimeout(timeout)
                self._set = timeout
            try:
                count = self._sock.recv_into(buffer)
            except TimeoutError:
                report(0)
                continue
            self._budget.received(count, time.monotonic() - began)
            report(count)
            return count

    def close(self) -> None:
        """Let go of the socket, which has its usual timeout again."""
        if not self.closed:
            # It may be closed by now.
            with contextlib.suppress(OSError, ValueError):
                self._sock.settimeout(self._usual)
            self._owned.close()
        super().close()


class _Lines(io.BufferedReader):
    """The same, buffered; its lines have bounds."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw)
        self._lines = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line."""
        unbounded = size is None or size < 0
        line = super().readline(_LINE if unbounded else size)
        self._lines += len(line)
        if self._lines > _LINES or (unbounded and len(line) == _LINE and line[-1:] != b"\n"):
            raise http.client.LineTooLong("answer")
        return line


class _Response(http.client.HTTPResponse):
    """An answer that is read within the budget of its request."""

    fp: io.BufferedReader

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *args, **kwargs)
        budget = current()
        budget.expect_answer()
        self.fp = _Lines(_Incoming(sock, self.fp, budget))


class _Timed:
    """A connection whose answers come within the budget of their requests."""

    response_class = _Response

    timeout: float

    def connect(self) -> None:
        """Connect, within the time that the request has left."""
        self.timeout = min(self.timeout, current().remaining())
        super().connect()  # type: ignore[misc]


@functools.cache
def _timed(pool: Any) -> Any:  # noqa: ANN401 - a class of urllib3's
    """Return a class of pools whose connections keep to the budgets of requests."""
    plain = pool.ConnectionCls
    if issubclass(plain, _Timed):
        return pool
    connection = type(f"Timed{plain.__name__}", (_Timed, plain), {})
    return type(f"Timed{pool.__name__}", (pool,), {"ConnectionCls": connection})


def keep_to_budgets(manager: Any) -> None:  # noqa: ANN401 - a PoolManager of urllib3's
    """Let the connections of a pool manager keep to the budgets of their requests.

    Each request needs one (`begin`).
    """
    pools = manager.pool_classes_by_scheme.items()
    manager.pool_classes_by_scheme = {scheme: _timed(pool) for scheme, pool in pools}
