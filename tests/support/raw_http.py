"""A server for responses that no HTTP library would send: tests write their bytes."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn

#: Of SO_LINGER: closing drops what is unsent, and resets the connection (socket(7)).
_RESET = struct.pack("ii", 1, 0)

#: Answers one request, given the connection and the request line with the headers.
Handler = Callable[["Peer", bytes], None]


class Peer:
    """One connection to a client.

    Args:
        connection: the socket.
        stopping: set when the server stops.
    """

    def __init__(self, connection: socket.socket, stopping: threading.Event) -> None:
        self._connection = connection
        self._stopping = stopping

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._connection.sendall(data)

    def drip(self, data: bytes, pause: float, size: int = 1) -> None:
        """Send bytes slowly and repeatedly until the client or the server closes the connection.

        Args:
            data: the bytes; they are sent again after their end.
            pause: seconds after each send.
            size: bytes in each send.
        """
        while True:
            for start in range(0, len(data), size):
                self._connection.sendall(data[start : start + size])
                if self._stopping.wait(pause):
                    return

    def close(self, *, reset: bool = False) -> NoReturn:
        """Close the connection, with a reset or without, and end its requests."""
        if reset:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        raise ConnectionAbortedError

    def wait(self) -> None:
        """Wait until the server stops."""
        self._stopping.wait()

    def flood(self, data: bytes) -> None:
        """Send the same bytes repeatedly until the client or the server closes the connection."""
        while not self._stopping.is_set():
            self._connection.sendall(data)


class RawServer:
    """A server on the loopback address that accepts several requests per connection.

    Threads: one accepts, each connection has its own; `_lock` guards the lists of both.

    Args:
        handler: answers one request.
        context: the TLS context; None for plain HTTP.
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

    def wait_for_requests(self, count: int, timeout: float = 20.0) -> None:
        """Wait until this number of requests has arrived."""
        deadline = time.monotonic() + timeout
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
            peer = Peer(connection, self._stopping)
            while (request := _request(connection)) is not None:
                self.requests.append(request)
                self._handler(peer, request)
                if self._stopping.is_set():
                    return
        except OSError:
            pass  # the client or the handler closed the connection
        finally:
            with self._lock:
                self._connections.remove(accepted)
            connection.close()


def _request(connection: socket.socket) -> bytes | None:
    """Return the next request, without a body; None after the end of the connection."""
    request = b""
    while b"\r\n\r\n" not in request:
        piece = connection.recv(65536)
        if not piece:
            return None
        request += piece
    return request


def answer(body: bytes, *headers: str, status: str = "200 OK", kind: str = "json") -> bytes:
    """Return a complete response with a Content-Length.

    Args:
        body: the body.
        headers: additional header lines.
        status: the status code and the reason phrase.
        kind: the content type, ``json`` or ``audio``.
    """
    return head(f"Content-Length: {len(body)}", *headers, status=status, kind=kind) + body


def head(*headers: str, status: str = "200 OK", kind: str = "json") -> bytes:
    """Return the status line and the headers of a response."""
    content_type = {"json": "application/json", "audio": "audio/mpeg"}[kind]
    lines = (f"HTTP/1.1 {status}", f"Content-Type: {content_type}", *headers, "", "")
    return "\r\n".join(lines).encode()
