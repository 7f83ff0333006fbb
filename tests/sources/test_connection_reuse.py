"""Kept connections: one that may be dead is not used, and a break of one costs no time."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

import pytest

from histfs.core.errors import Unreachable
from histfs.core.secret import Secret
from histfs.sources.elevenlabs import http_connections
from histfs.sources.elevenlabs.http_client import HttpClient
from histfs.sources.elevenlabs.http_connections import MAX_IDLE, MAX_IDLE_DELETE
from tests.sources.conftest import KEY

BODY = b'{"history_item_id": "a", "date_unix": 1700000000, "status": "ok"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
    BODY
)
RESET = struct.pack("ii", 1, 0)


class FadingServer:
    """A server whose connections answer some requests, and then none.

    Args:
        answered: requests that a connection answers.
        breaks: ``reset`` or ``close`` a connection at the request after that, or ``swallow`` it.

    Attributes:
        url: where it listens.
        requests: the methods that came, one list a connection.
    """

    def __init__(self, answered: int, breaks: str) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._answered = answered
        self._breaks = breaks
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[list[str]] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Close all connections, and wait for the threads."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            self.requests.append([])
            thread = threading.Thread(
                target=self._serve, args=(connection, self.requests[-1]), daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, requests: list[str]) -> None:
        with connection, contextlib.suppress(OSError):
            while request := connection.recv(65536):
                requests.append(request.partition(b" ")[0].decode())
                if len(requests) <= self._answered:
                    connection.sendall(ANSWER + BODY)
                elif self._breaks == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    return
                elif self._breaks == "close":
                    return


@pytest.fixture
def start():
    with contextlib.ExitStack() as stack:

        def serve(answered, breaks="reset"):
            server = FadingServer(answered, breaks)
            stack.callback(server.close)
            return server

        yield serve


@pytest.fixture
def idle(monkeypatch):
    """A function that lets connections be idle for some seconds."""
    passed = 0.0
    real = http_connections.now

    def sleep(seconds):
        nonlocal passed
        passed += seconds

    monkeypatch.setattr(http_connections, "now", lambda: real() + passed)
    return sleep


@pytest.mark.parametrize("breaks", ["reset", "close"])
def test_a_get_whose_kept_connection_breaks_is_sent_once_more_on_a_fresh_one(start, breaks):
    server = start(1, breaks)
    http = HttpClient(server.url, Secret(KEY), 10.0, connections=2, retries=0)
    for _ in range(4):
        assert http.json("GET", "/v1/history/a", bytes) == BODY
    http.close()
    assert server.requests == [["GET", "GET"], ["GET", "GET"], ["GET", "GET"], ["GET"]]


@pytest.mark.parametrize("breaks", ["reset", "close"])
def test_a_delete_is_sent_once_also_when_its_connection_breaks(start, make_history, breaks):
    server = start(1, breaks)
    history = make_history(server.url)
    history.get("a")
    with pytest.raises(Unreachable):
        history.delete("a")
    assert server.requests == [["GET", "DELETE"]]


def test_connections_that_were_used_a_moment_ago_are_used_again(start, make_history, idle):
    server = start(9)
    history = make_history(server.url)
    history.get("a")
    idle(MAX_IDLE - 1)
    history.get("a")
    history.delete("a")
    idle(MAX_IDLE_DELETE / 2)
    history.delete("a")
    assert server.requests == [["GET", "GET", "DELETE", "DELETE"]]


def test_a_connection_that_was_idle_for_long_is_not_used_again(start, make_history, idle):
    server = start(1, "swallow")
    history = make_history(server.url)
    history.get("a")
    idle(MAX_IDLE + 1)
    began = time.monotonic()
    history.get("a")
    assert time.monotonic() - began < 1
    assert server.requests == [["GET"], ["GET"]]


def test_a_delete_trusts_no_connection_that_was_idle(start, make_history, idle):
    server = start(1, "swallow")
    history = make_history(server.url)
    history.get("a")
    idle(MAX_IDLE_DELETE + 0.1)
    history.delete("a")
    assert server.requests == [["GET"], ["DELETE"]]


def test_a_sleep_of_the_machine_counts_as_idle():
    # CLOCK_MONOTONIC stands still while the machine sleeps.
    assert abs(http_connections.now() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1
