"""A TCP proxy whose server goes away, and comes back, while clients know its address."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

_AUDIO = re.compile(rb"GET \S*/history/[^/\s]+/audio")
_REQUEST = re.compile(rb"^(?:GET|HEAD|POST|DELETE) [^?\s]*", re.MULTILINE)


@contextlib.contextmanager
def full_queue(port: int) -> Iterator[None]:
    """Drop the packets of new connections to a free port within the block: its queue is full."""
    address = ("127.0.0.1", port)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield


class FailingLink:
    """A proxy in front of a server.

    Args:
        server: the server's URL.

    Attributes:
        audio_delay: seconds by which the answers to requests for audio are late.
        lost: the requests that came while the server was silent, by method and kind of path.
    """

    def __init__(self, server: str) -> None:
        place = urlsplit(server)
        self._server = (place.hostname, place.port)
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._silent = self._closed = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._port = self._listening.getsockname()[1]
        self.audio_delay = 0.0
        self.lost = Counter[str]()

    @property
    def url(self) -> str:
        """The URL of the server behind the link."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> FailingLink:
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._close()

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Accept connections and requests within the block, and answer none."""
        self._silent = True
        try:
            yield
        finally:
            self._silent = False
            self._hang_up()

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse connections within the block."""
        self._close()
        try:
            yield
        finally:
            self._reopen()

    @contextlib.contextmanager
    def dropping(self) -> Iterator[None]:
        """Drop the packets of new connections within the block, by a full queue of connections."""
        self._close()
        with full_queue(self._port):
            yield
        self._reopen()

    def _reopen(self) -> None:
        listening = self._listening = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def _close(self) -> None:
        _shut(self._listening)
        self._hang_up()

    def _hang_up(self) -> None:
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for each in sockets:
            _shut(each)

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(self._server)
        with self._lock:
            self._sockets += [client, server]
        due = [0.0]
        threading.Thread(target=self._answer, args=(client, server, due), daemon=True).start()
        with contextlib.suppress(OSError):
            while piece := client.recv(65536):
                if self._silent:
                    self.lost.update(_kind(each) for each in _REQUEST.findall(piece))
                    continue
                if _AUDIO.search(piece):
                    due[0] = time.monotonic() + self.audio_delay
                server.sendall(piece)
            _shut(server)

    def _answer(self, client: socket.socket, server: socket.socket, due: list[float]) -> None:
        with contextlib.suppress(OSError):
            while piece := server.recv(65536):
                time.sleep(max(0.0, due[0] - time.monotonic()))
                if not self._silent:
                    client.sendall(piece)
            _shut(client)


def _kind(request: bytes) -> str:
    """Return the method of a request, and the last part of its path if that is no id."""
    method, path = request.decode().split(" ")
    last = path.rpartition("/")[2]
    return f"{method} {last if last in ('audio', 'history') else 'item'}"


def _shut(end: socket.socket) -> None:
    # It wakes the threads that use it.
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
