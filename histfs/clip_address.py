"""The address of a player's HTTP server: it is there before the server, which takes long to start.

A program that connects meanwhile is answered once `histfs.mounting.clip_server` serves the address.
This module imports next to nothing, so that a player can be started at once.

Threads: an address doesn't change.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterable
from urllib.parse import quote

_HOST = "127.0.0.1"
#: Connections that may wait until they are accepted.
_WAITING = 64


class ClipAddress:
    """A port of the loopback interface, and a token that is in all paths there.

    Attributes:
        socket: listens.
        token: can't be guessed.
        page: the URL of a page with all clips.
    """

    def __init__(self) -> None:
        self.socket = socket.create_server((_HOST, 0), backlog=_WAITING)
        self.token = secrets.token_urlsafe(16)
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
    return f"{number}/{quote(name, safe='')}"
