"""The user at the other end of a TCP connection on this machine."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

#: The kernel's tables of TCP connections over IPv4 and IPv6, proc_net_tcp(5).
_TABLES = {socket.AF_INET: Path("/proc/net/tcp"), socket.AF_INET6: Path("/proc/net/tcp6")}
_LOCAL, _REMOTE, _UID, _INODE = 1, 2, 7, 9


def peer_uid(connection: socket.socket) -> int | None:
    """Return the user id of the peer of a loopback connection.

    None if it can't be told, and for a peer that has closed the connection.

    Args:
        connection: over IPv4 or IPv6, to a process of this machine.
    """
    family = connection.family
    ours, theirs = (
        _written(family, *address[:2])
        for address in (connection.getsockname(), connection.getpeername())
    )
    try:
        lines = _TABLES[family].read_text("ascii").splitlines()[1:]
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        # The kernel has user 0 for a connection that its process has closed.
        is_open = fields[_INODE] != "0"
        if (fields[_LOCAL], fields[_REMOTE]) == (theirs, ours) and is_open:
            return int(fields[_UID])
    return None


def _written(family: int, host: str, port: int) -> str:
    """Return an address as the table has it: words in hexadecimal, in the machine's byte order."""
    packed = socket.inet_pton(family, host)
    words = (packed[start : start + 4] for start in range(0, len(packed), 4))
    return f"{''.join(f'{int.from_bytes(word, sys.byteorder):08X}' for word in words)}:{port:04X}"
