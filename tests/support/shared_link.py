"""A TCP proxy whose connections share a rate, and which counts what each clip receives."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

#: Bytes that are passed on at once, and the most that wait in the kernel until they are sent.
_PIECE, _BUFFER = 4096, 8192
_CLIP = re.compile(rb"GET \S*/history/([^/\s]+)/audio")


class SharedLink:
    """A proxy in front of a server.

    Args:
        server: the server's URL.
        rate: bytes a second of all answers together.

    Attributes:
        received: bytes that clients have got of each clip, by its id.
        requests: of each clip, by its id.
        before: what `received` was when a clip was first asked for, by its id.
    """

    def __init__(self, server: str, rate: float) -> None:
        place = urlsplit(server)
        self._server = (place.hostname, place.port)
        self._rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0
        self._stopping = threading.Event()
        self._sockets: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        self.received = Counter[str]()
        self.requests = Counter[str]()
        self.before: dict[str, Counter[str]] = {}

    @property
    def url(self) -> str:
        """The URL of the server behind the link."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> SharedLink:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for each in [self._listening, *self._sockets]:
            # It wakes the threads.
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                asked: list[str] = []
                for pass_on in (self._ask, self._answer):
                    arguments = (pass_on, client, server, asked)
                    threading.Thread(target=_until_closed, args=arguments, daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, asked: list[str]) -> None:
        for piece in _pieces(client, server):
            for found in _CLIP.findall(piece):
                clip = found.decode()
                asked.append(clip)
                with self._lock:
                    self.requests[clip] += 1
                    self.before.setdefault(clip, self.received.copy())
            server.sendall(piece)

    def _answer(self, client: socket.socket, server: socket.socket, asked: list[str]) -> None:
        for piece in _pieces(server, client):
            with self._lock:
                now = time.monotonic()
                self._free_at = max(self._free_at, now) + len(piece) / self._rate
                pause = self._free_at - now
            if self._stopping.wait(pause):
                return
            client.sendall(piece)
            if asked:
                with self._lock:
                    self.received[asked[-1]] += len(piece)


def _pieces(source: socket.socket, sink: socket.socket) -> Iterator[bytes]:
    """Yield what comes from one end; the other one is told of its end."""
    while piece := source.recv(_PIECE):
        yield piece
    sink.shutdown(socket.SHUT_WR)


def _until_closed(pass_on: Callable[..., None], *arguments: object) -> None:
    with contextlib.suppress(OSError):
        pass_on(*arguments)
