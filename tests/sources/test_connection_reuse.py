"""Kept connections: one that may be dead is not used, and a break of one costs no time."""

from __future__ import annotations

import contextlib
import time

import pytest

from histfs.core.errors import Unreachable
from histfs.core.secret import Secret
from histfs.core.server_breaker import Asks, ServerBreaker
from histfs.sources.elevenlabs import http_connections
from histfs.sources.elevenlabs.http_client import HttpClient
from histfs.sources.elevenlabs.http_connections import MAX_IDLE, MAX_IDLE_DELETE
from tests.sources.conftest import KEY
from tests.support.raw_http import Peer, RawServer, answer

BODY = b'{"history_item_id": "a", "date_unix": 1700000000, "status": "ok"}'


class Fading:
    """A server whose connections answer some requests, and then none.

    Args:
        answered: requests that a connection answers.
        breaks: ``reset`` or ``close`` a connection at the request after that, or ``swallow`` it.

    Attributes:
        url: where it listens.
        requests: the methods that came, one list a connection.
    """

    url = ""

    def __init__(self, answered: int, breaks: str) -> None:
        self._answered = answered
        self._breaks = breaks
        self._by_connection: dict[Peer, list[str]] = {}

    @property
    def requests(self) -> list[list[str]]:
        return list(self._by_connection.values())

    def __call__(self, peer: Peer, request: bytes) -> None:
        requests = self._by_connection.setdefault(peer, [])
        requests.append(request.partition(b" ")[0].decode())
        if len(requests) <= self._answered:
            peer.send(answer(BODY))
        elif self._breaks != "swallow":
            peer.close(reset=self._breaks == "reset")


@pytest.fixture
def start():
    with contextlib.ExitStack() as stack:

        def serve(answered, breaks="reset"):
            fading = Fading(answered, breaks)
            fading.url = stack.enter_context(RawServer(fading)).url
            return fading

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


def test_a_probe_of_the_server_trusts_no_kept_connection(start, make_history):
    server = start(1, "swallow")
    history = make_history(server.url)
    history.get("a")
    breaker = ServerBreaker(lambda: 0.0)
    with contextlib.suppress(Unreachable), breaker.request(Asks.ITEM):
        raise Unreachable("down")
    with breaker.request(Asks.ITEM):
        history.get("a")
    assert server.requests == [["GET"], ["GET"]]


def test_a_sleep_of_the_machine_counts_as_idle():
    # CLOCK_MONOTONIC stands still while the machine sleeps.
    assert abs(http_connections.now() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1
