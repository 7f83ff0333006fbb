"""A server whose answers are written byte by byte, as no HTTP library would write them."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from types import TracebackType

#: Takes the connection and the request's first line and headers; what it returns is ignored, and
#: the connection is closed after it.
Handler = Callable[["Peer", bytes], None]


class Peer:
    """One connection, to the client.

    Args:
        connection: the socket.
        stopping: set when the server stops.
    """

    def __init__(self, connection: socket.socket, stopping: threading.Event) -> None:
        self._connection = connection
        self._stopping = stopping

    def send(self, data: bytes) -> None:
        """Send bytes at once."""
        self._connection.sendall(data)

    def drip(self, data: bytes, pause: float, size: int = 1) -> None:
        """Send bytes a few at a time, again and again until the client or the server goes.

        Args:
            data: what is sent, from the start once more after its end.
            pause: seconds after each of them.
            size: bytes that are sent at once.
        """
        while True:
            for start in range(0, len(data), size):
                self._connection.sendall(data[start : start + size])
                if self._stopping.wait(pause):
                    return

    def wait(self) -> None:
        """Send nothing until the server stops."""
        self._stopping.wait()

    def flood(self, data: bytes) -> None:
        """Send the same bytes until the client or the server goes."""
        while not self._stopping.is_set():
            self._connection.sendall(data)


class RawServer:
    """Listens on the loopback; each connection, with one request or several, has its thread.

    Args:
        handler: answers requests.
        context: for TLS; None for none.
    """

    def __init__(self, handler: Handler, context: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._context = context
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.requests: list[bytes] = []
        self.accepted = 0

    @property
    def url(self) -> str:
        """The base URL."""
        scheme = "https" if self._context else "http"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> RawServer:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections, threads = list(self._connections), list(self._threads)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)

    def connected(self) -> int:
        """Return the number of connections that are open."""
        with self._lock:
            return len(self._connections)

    def wait_for_requests(self, count: int, patience: float = 20.0) -> None:
        """Wait until so many requests have come."""
        deadline = time.monotonic() + patience
        while len(self.requests) < count:
            assert time.monotonic() < deadline, f"{len(self.requests)} requests, not {count}"
            time.sleep(0.02)

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name="raw-server", daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._connections.append(connection)
                self.accepted += 1
            self._start(lambda connection=connection: self._serve(connection))

    def _serve(self, accepted: socket.socket) -> None:
        connection = accepted
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(accepted, server_side=True)
            while (request := _request(connection)) is not None:
                self.requests.append(request)
                self._handler(Peer(connection, self._stopping), request)
                if self._stopping.is_set():
                    return
        except OSError:
            pass  # the client has gone
        finally:
            with self._lock:
                self._connections.remove(accepted)
            connection.close()


def _request(connection: socket.socket) -> bytes | None:
    """Return the next request, which has no body; None when the client has gone."""
    asked = b""
    while b"\r\n\r\n" not in asked:
        piece = connection.recv(65536)
        if not piece:
            return None
        asked += piece
    return asked


def answer(body: bytes, *headers: str, status: str = "200 OK", kind: str = "json") -> bytes:
    """Return an answer with a length.

    Args:
        body: as it is sent.
        headers: more of them.
        status: the status line's end.
        kind: ``json`` or ``audio``.
    """
    return head(f"Content-Length: {len(body)}", *headers, status=status, kind=kind) + body


def head(*headers: str, status: str = "200 OK", kind: str = "json") -> bytes:
    """Return the beginning of an answer, before its body."""
    content_type = {"json": "application/json", "audio": "audio/mpeg"}[kind]
    lines = (f"HTTP/1.1 {status}", f"Content-Type: {content_type}", *headers, "", "")
    return "\r\n".join(lines).encode()
