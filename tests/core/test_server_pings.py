"""Pings of a breaker: a server that is gone is told from one that needs long for an answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from histfs.core.errors import KeyRefused, TimedOut, Unreachable
from histfs.core.server_breaker import (
    PAUSES,
    PING_TIMEOUT,
    PING_WAIT,
    PROBE_TIME,
    SUSPICIOUS,
    Asks,
    ServerBreaker,
    probe_timeout,
)
from histfs.core.supervision import report
from tests.support.clock import Clock
from tests.support.eventually import eventually


class Pings:
    """Pings that end when the test says so."""

    def __init__(self) -> None:
        self.timeouts: list[float | None] = []
        self._ended: list[threading.Event] = []
        self._outcome: Exception | None = None

    def __call__(self) -> None:
        ended = threading.Event()
        self.timeouts.append(probe_timeout())
        self._ended.append(ended)
        assert ended.wait(20)
        if self._outcome is not None:
            raise self._outcome

    def end(self, breaker: ServerBreaker, outcome: Exception | None = None) -> None:
        """End all that are under way, and wait until the breaker knows."""
        self._outcome = outcome
        eventually(lambda: self._ended)
        for each in self._ended:
            each.set()
        self._ended.clear()
        for thread in threading.enumerate():
            if thread.name == "ping":
                thread.join(20)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pings():
    return Pings()


@pytest.fixture
def breaker(clock, pings):
    breaker = ServerBreaker(clock)
    breaker.ping = pings
    return breaker


@contextmanager
def waiting(breaker: ServerBreaker, asks: Asks = Asks.ITEM) -> Iterator[None]:
    """Have a request without an answer within the block; it may fail."""
    with suppress(TimedOut), breaker.request(asks):
        yield
        raise TimedOut("over")


def begun(pings: Pings, number: int) -> None:
    eventually(lambda: len(pings.timeouts) == number)


def fails_at_once(breaker: ServerBreaker) -> bool:
    """Say whether a request fails without being sent, and without waiting."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(breaker._changed, "wait_for", lambda _, timeout: timeout and pytest.fail())
        with suppress(Unreachable):
            breaker.check(Asks.ITEM)
            return False
        return True


def test_a_silent_server_is_found_out_by_a_ping_and_what_waits_fails(breaker, clock, pings):
    with waiting(breaker):
        clock.now += SUSPICIOUS - 0.1
        report(0)
        assert pings.timeouts == []
        clock.now += 0.1
        report(0)
        report(0)
        begun(pings, 1)
        assert pings.timeouts == [PING_TIMEOUT]
        assert breaker.failure() is None, "others are sent until the ping has failed"
        clock.now += PING_TIMEOUT
        pings.end(breaker, TimedOut("silent"))
        with pytest.raises(TimedOut):
            report(0)
    assert fails_at_once(breaker)


def test_a_server_that_needs_long_for_one_answer_is_waited_for_and_asked_rarely(
    breaker, clock, pings
):
    with breaker.request(Asks.ITEM):
        for _ in range(20):
            clock.now += 1
            before = len(pings.timeouts)
            report(0)
            if len(pings.timeouts) > before:
                pings.end(breaker, KeyRefused("an answer all the same"))
    assert len(pings.timeouts) == 2
    assert breaker.failure() is None


def test_what_took_long_before_is_suspicious_later(breaker, clock, pings):
    for _ in range(2):
        with breaker.request(Asks.LIST):
            clock.now += 2.5
            report(1)
    with waiting(breaker):
        clock.now += 4.9
        report(0)
        assert pings.timeouts == []
        clock.now += 0.1
        report(0)
        begun(pings, 1)
        assert pings.timeouts == [5.0]
        pings.end(breaker)


def test_neither_a_search_nor_a_deletion_fails_by_a_ping(breaker, clock, pings):
    with waiting(breaker, Asks.SEARCH):
        clock.now += 30
        report(0)
        assert pings.timeouts == []
    with waiting(breaker, Asks.DELETION):
        clock.now += SUSPICIOUS
        report(0)
        pings.end(breaker, TimedOut("silent"))
        report(0)


def test_a_deletion_is_sent_beside_a_ping_unless_one_has_failed(breaker, clock, pings):
    with suppress(Unreachable), breaker.request(Asks.LIST):
        raise Unreachable("down")
    clock.now += PAUSES[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(breaker._changed, "wait_for", lambda *_: None)
        with pytest.raises(Unreachable):
            breaker.check(Asks.ITEM)
    begun(pings, 1)
    clock.now += PING_WAIT
    for is_sent in (True, False):
        sent = False
        with suppress(Unreachable):
            breaker.check(Asks.DELETION)
            with breaker.request(Asks.DELETION):
                sent = True
                raise Unreachable("down")
        assert sent == is_sent
    pings.end(breaker)


def test_who_waits_for_a_ping_does_so_for_a_moment_and_no_other_request_is_sent(
    breaker, clock, pings
):
    with suppress(Unreachable), breaker.request(Asks.LIST):
        raise Unreachable("down")
    assert fails_at_once(breaker)
    clock.now += PAUSES[0]
    waits = []
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Unreachable):
        patch.setattr(breaker._changed, "wait_for", lambda _, timeout: waits.append(timeout))
        breaker.check(Asks.ITEM)
    assert waits == [PING_WAIT]
    clock.now += PING_WAIT
    assert fails_at_once(breaker), "it is under way still"
    assert len(pings.timeouts) == 1
    pings.end(breaker)
    breaker.check(Asks.ITEM)


def test_a_server_that_is_back_is_found_though_older_pings_hang(breaker, clock, pings):
    with suppress(Unreachable), breaker.request(Asks.LIST):
        raise Unreachable("down")
    clock.now += PAUSES[0]
    began = clock.now
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(breaker._changed, "wait_for", lambda *_: None)
        for _ in range(40):
            with suppress(Unreachable):
                breaker.check(Asks.ITEM)
            clock.now += 0.25
    begun(pings, 1 + int((clock.now - began) // (PROBE_TIME + PAUSES[0])))
    pings.end(breaker)
    breaker.check(Asks.ITEM)


def test_a_clip_that_fails_alone_fails_no_other_one(breaker, clock, pings):
    with waiting(breaker):
        pass
    answer = threading.Timer(0.1, lambda: pings.end(breaker))
    answer.start()
    breaker.check(Asks.ITEM)
    answer.join(10)
    assert len(pings.timeouts) == 1
