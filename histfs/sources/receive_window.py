"""Bounds what the kernel receives ahead of a download, as long as the link is slow.

Linux lets a connection receive more and more before the program reads, up to 6 MB. A download that
stops reading, so that another one goes first, would go on taking its share of the link until that
is full: on a link of 4 Mbit/s for seconds. So a new connection begins with a small receive buffer,
and without the kernel's tuning of it (tcp(7), ``tcp_moderate_rcvbuf``). The tuning is switched on
once the rate is near to what the small buffer allows at the round-trip time of the connection, or
the link is fast anyway.

Linux alone tells both; elsewhere nothing is bounded.

Threads: a `ReceiveWindow` belongs to the thread that reads the response.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import time
from collections.abc import Callable

#: Bytes that a connection may receive ahead at the most while it is bounded.
WINDOW = 64 << 10
#: Which of the two buffers of a socket are not tuned; its bit for the receive buffer (Linux 5.14,
#: include/uapi/asm-generic/socket.h and include/uapi/linux/socket.h).
_SO_BUF_LOCK, _RECEIVE = 72, 2
#: The receive buffer in bytes where an older kernel can't tune again; it has a limit of its own.
_LARGE = 4 << 20
#: Where the minimal round-trip time stands in ``struct tcp_info`` (include/uapi/linux/tcp.h), in
#: microseconds.
_MIN_RTT_AT = 148
#: Seconds over which the rate is measured, and those without a read after which it is measured
#: anew: what was received meanwhile comes at once.
_MEASURED, _PAUSE = 0.1, 0.2
#: Bytes a second at which nothing needs to wait for another download.
_FAST = 16e6


def bound(sock: socket.socket) -> None:
    """Bound what a new connection receives ahead.

    Args:
        sock: connected; before that the size would limit the window for ever (RFC 7323).
    """
    if sys.platform == "linux":
        # The kernel doubles what is asked for (socket(7)).
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW // 2)


class ReceiveWindow:
    """Ends the bound of a connection when its link is fast.

    Args:
        sock: the connection, with TLS or without.
        clock: seconds, monotonic.
    """

    def __init__(self, sock: socket.socket, clock: Callable[[], float] = time.monotonic) -> None:
        self._sock = sock if _is_bound(sock) else None
        self._clock = clock
        self._began = self._last = clock()
        self._received = 0

    def received(self, size: int) -> None:
        """Note received bytes."""
        if self._sock is None:
            return
        now = self._clock()
        if now - self._last > _PAUSE:
            self._began, self._received = now, -WINDOW
        self._last = now
        self._received += size
        elapsed = now - self._began
        if elapsed < _MEASURED:
            return
        rate = self._received / elapsed
        if rate > _FAST or rate * _round_trip(self._sock) > WINDOW / 2:
            _release(self._sock)
            self._sock = None
        self._began, self._received = now, 0


def _is_bound(sock: socket.socket) -> bool:
    if sys.platform != "linux":
        return False
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, _SO_BUF_LOCK) & _RECEIVE)
    except OSError:
        try:
            return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 2 * WINDOW
        except OSError:
            return False


def _round_trip(sock: socket.socket) -> float:
    """Return the minimal round-trip time in seconds; a second where the kernel doesn't tell it."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _MIN_RTT_AT + 4)
        (microseconds,) = struct.unpack_from("=I", info, _MIN_RTT_AT)
    except (OSError, struct.error):
        return 1.0
    return float(microseconds) / 1e6


def _release(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_BUF_LOCK, 0)
    except OSError:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LARGE)
