"""The user at the other end of a TCP connection on this machine."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

#: The kernel's table of TCP connections over IPv4, proc_net_tcp(5).
_TABLE = Path("/proc/net/tcp")
_LOCAL, _REMOTE, _UID = 1, 2, 7


def peer_uid(connection: socket.socket) -> int | None:
    """Return the user id of the peer of a loopback connection; None if it can't be told.

    Args:
        connection: over IPv4, to a process of this machine.
    """
    ours, theirs = (_written(a) for a in (connection.getsockname(), connection.getpeername()))
    try:
        lines = _TABLE.read_text("ascii").splitlines()[1:]
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        if (fields[_LOCAL], fields[_REMOTE]) == (theirs, ours):
            return int(fields[_UID])
    return None


def _written(address: tuple[str, int]) -> str:
    """Return an address as the table has it: in hexadecimal, in the machine's byte order."""
    host, port = address
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"
