"""What the kernel receives ahead of a program: little, until the link has shown to be fast."""

from __future__ import annotations

import contextlib
import socket
import sys

import pytest

from histfs.sources import receive_window
from histfs.sources.receive_window import WINDOW, ReceiveWindow
from tests.support.clock import Clock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells what it needs")


@pytest.fixture
def pair():
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = stack.enter_context(socket.create_connection(server.getsockname()))
        sender, _ = server.accept()
        stack.enter_context(sender)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 10)
        sender.settimeout(0.3)
        receive_window.bound(client)
        yield client, sender


def sent_ahead(sender):
    """Return how many bytes can be sent to a program that does not read."""
    sent = 0
    with contextlib.suppress(TimeoutError):
        while True:
            sent += sender.send(bytes(4096))
    return sent


def test_a_program_that_stops_reading_holds_little_of_the_link(pair):
    client, sender = pair
    # It has grown as far as it will.
    for _ in range(500):
        sender.sendall(bytes(4096))
        client.recv(65536)
    assert sent_ahead(sender) < 3 * WINDOW


@pytest.mark.parametrize(
    ("round_trip", "rate", "released"),
    [(0.05, 500_000, False), (0.05, 1_000_000, True), (0.0001, 1_000_000, False),
     (0.0001, 50_000_000, True)],
)  # fmt: skip
def test_it_is_tuned_by_the_kernel_once_the_rate_needs_it(
    pair, monkeypatch, round_trip, rate, released
):
    client, _ = pair
    clock = Clock()
    monkeypatch.setattr(receive_window, "_round_trip", lambda sock: round_trip)
    window = ReceiveWindow(client, clock)
    for _ in range(30):
        clock.now += 0.01
        window.received(rate // 100)
    assert receive_window._is_bound(client) is not released


def test_what_was_received_during_a_pause_is_no_rate(pair, monkeypatch):
    client, _ = pair
    clock = Clock()
    monkeypatch.setattr(receive_window, "_round_trip", lambda sock: 0.05)
    window = ReceiveWindow(client, clock)
    for _ in range(5):
        clock.now += 5
        window.received(WINDOW)
    assert receive_window._is_bound(client)


def test_the_kernel_tells_the_round_trip_time(pair):
    client, sender = pair
    sender.sendall(b"x")
    client.recv(1)
    assert 0 < receive_window._round_trip(client) < 0.1
