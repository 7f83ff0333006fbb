"""Which kept connections are used again.

A connection that was kept while the machine slept, or while a router forgot it, looks open: a
request on it gets no answer, or a reset. So one that has been idle for longer than the request
allows is replaced by a fresh one. A GET whose kept connection breaks before its answer is sent once
more at once, on a fresh connection.

A DELETE is idempotent and could be repeated, too (RFC 9110, section 9.2.2; RFC 9112, section
9.3.1), but a break leaves open whether the server got it, and histfs promises one request. So it is
sent only on a connection that was used a moment ago, or a fresh one, and never repeated.

Threads: a connection belongs to the thread that took it from the pool, which has its own lock.
"""

from __future__ import annotations

import socket
import time
from typing import Any

#: Seconds for which an idle connection is trusted. Servers keep one for 5 (Apache) to 75 (nginx).
MAX_IDLE = 15.0
#: The same for a DELETE.
MAX_IDLE_DELETE = 1.0
#: Options of each connection. What the other side's kernel does not acknowledge within 5 seconds
#: breaks the connection: the network is gone, however long the server may take for its answer.
SOCKET_OPTIONS = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000),
]


def now() -> float:
    """Return seconds since the start of the machine, those in which it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ReusingPool:
    """A mixin for connection pools of urllib3, before the pool class.

    Its connections have an attribute `idle_since`: when they were put back; None for a fresh one.
    """

    def max_idle(self) -> float:
        """Return the seconds that a connection may have been idle for the request at hand."""
        raise NotImplementedError

    def _get_conn(self, timeout: float | None = None) -> Any:  # noqa: ANN401 - urllib3's
        connection = super()._get_conn(timeout)  # type: ignore[misc]
        idle_since = connection.idle_since
        if idle_since is not None and now() - idle_since > self.max_idle():
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
