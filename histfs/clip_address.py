"""The address of a player's HTTP server: it is there before the server, which takes long to start.

A program that connects meanwhile is answered once `histfs.clip_server` serves the address.
This module imports next to nothing, so that a player can be started at once.

Threads: an address doesn't change.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable

_HOST = "127.0.0.1"
#: Connections that may wait until they are accepted.
_WAITING = 64
#: Bytes that can't be guessed.
_TOKEN = 16
#: Bytes that stand for themselves in a URL (RFC 3986, 2.3). `urllib` takes too long to import.
_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


class ClipAddress:
    """A port of the loopback interface, and a token that is in all paths there.

    Attributes:
        socket: listens.
        token: can't be guessed.
        page: the URL of a page with all clips.
    """

    def __init__(self) -> None:
        self.socket = socket.create_server((_HOST, 0), backlog=_WAITING)
        self.token = os.urandom(_TOKEN).hex()
        self.page = f"http://{_HOST}:{self.socket.getsockname()[1]}/{self.token}/"

    def urls(self, names: Iterable[str]) -> list[str]:
        """Return the URLs of clips.

        Args:
            names: what players show of the clips, in the order in which they are served.
        """
        return [f"{self.page}{clip_place(number, name)}" for number, name in enumerate(names)]

    def close(self) -> None:
        """Close the port."""
        self.socket.close()


def clip_place(number: int, name: str) -> str:
    """Return the path of a clip below the token; the number tells which one it is."""
    quoted = (chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in os.fsencode(name))
    return f"{number}/{''.join(quoted)}"
