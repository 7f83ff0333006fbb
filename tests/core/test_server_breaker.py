"""The breaker of a server: what opens it, who may probe, and what closes it."""

from __future__ import annotations

import contextvars
import functools
import threading
import time
from contextlib import ExitStack, suppress

import pytest

from histfs.core import server_breaker
from histfs.core.errors import (
    BadAnswer,
    DeadlineExceeded,
    KeyRefused,
    Missing,
    NotReady,
    PluginFailed,
    RateLimited,
    Rejected,
    ServerFailed,
    TimedOut,
    Unreachable,
)
from histfs.core.server_breaker import (
    PAUSES,
    PROBE_TIME,
    PROBE_TIMEOUTS,
    SILENCE,
    Asks,
    ServerBreaker,
    probe_timeout,
)
from histfs.core.supervision import report, supervised
from tests.support.clock import Clock

ALL = list(Asks)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return ServerBreaker(clock)


def fail(breaker, error=None, asks=Asks.LIST):
    error = error or Unreachable("down")
    with suppress(type(error)), breaker.request(asks):
        raise error


def is_sent(breaker, asks=Asks.ITEM, error=None):
    """Say whether a request is sent; it fails with an error, if there is one."""
    sent = False
    with suppress(Unreachable):
        breaker.check(asks)
        with breaker.request(asks):
            sent = True
            if error:
                raise error
    return sent


@pytest.mark.parametrize("asks", ALL)
@pytest.mark.parametrize(
    ("error", "opens"),
    [
        (Unreachable("x"), set(ALL)),
        (TimedOut("x"), set(ALL) - {Asks.SEARCH}),
        (ServerFailed("x"), set()),
        (BadAnswer("x"), set()),
        (KeyRefused("x"), set()),
        (Missing("x"), set()),
        (Rejected("x"), set()),
        (RateLimited("x"), set()),
        (PluginFailed("x"), set()),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_only_a_server_that_does_not_answer_opens_it(breaker, clock, asks, error, opens):
    fail(breaker, error, asks)
    clock.now += PAUSES[0]
    with breaker.request(Asks.ITEM):
        assert (probe_timeout() is not None) == (asks in opens)


@pytest.mark.parametrize(
    "answer",
    [None, ServerFailed("x"), Missing("x"), KeyRefused("x"), NotReady("x"), BadAnswer("x")],
)
def test_any_answer_closes_it_for_all(breaker, clock, answer):
    fail(breaker)
    clock.now += PAUSES[0]
    with suppress(type(answer) if answer else ValueError), breaker.request(Asks.ITEM):
        if answer:
            raise answer
    assert breaker.failure() is None
    assert all(is_sent(breaker, asks) for asks in ALL)
    with breaker.request(Asks.ITEM):
        assert probe_timeout() is None, "it is no probe any more"


@pytest.mark.parametrize("neither", [PluginFailed("x"), DeadlineExceeded("x"), KeyboardInterrupt()])
def test_what_is_no_answer_leaves_the_next_one_to_probe(breaker, clock, neither):
    fail(breaker)
    clock.now += PAUSES[0]
    with suppress(type(neither)), breaker.request(Asks.ITEM):
        raise neither
    with breaker.request(Asks.ITEM):
        assert probe_timeout() is not None


def test_requests_fail_with_the_reason_until_the_pause_is_over_and_pauses_grow(breaker, clock):
    fail(breaker, Unreachable("refused"))
    for pause in (*PAUSES, PAUSES[-1]):
        clock.now += pause - 0.1
        with pytest.raises(Unreachable, match="refused"):
            breaker.check(Asks.ITEM)
        with pytest.raises(Unreachable, match="refused"), breaker.request(Asks.ITEM):
            pass
        clock.now += 0.1
        assert is_sent(breaker, error=Unreachable("refused"))
    assert PAUSES[-1] + PROBE_TIME <= 6, "a server that is back is found within seconds"


@pytest.mark.parametrize("asks", [Asks.ITEM, Asks.DELETION])
def test_an_item_that_fails_alone_stops_no_other_one(breaker, asks):
    fail(breaker, TimedOut("stalls"), asks)
    assert is_sent(breaker)
    assert breaker.failure() is None


def test_a_second_failure_after_a_clip_stops_all(breaker):
    fail(breaker, TimedOut("stalls"), Asks.ITEM)
    fail(breaker, TimedOut("stalls"), Asks.ITEM)
    assert not any(is_sent(breaker, asks) for asks in ALL if asks is not Asks.DELETION)


def test_there_is_one_probe_at_a_time_and_it_times_out_soon(breaker, clock):
    fail(breaker)
    clock.now += PAUSES[0]
    with suppress(TimedOut), breaker.request(Asks.ITEM):
        assert probe_timeout() == PROBE_TIMEOUTS[0]
        for asks in ALL:
            with pytest.raises(Unreachable), breaker.request(asks):
                pass
        assert breaker.failure() is not None
        raise TimedOut("silent")
    clock.now += PAUSES[1]
    with breaker.request(Asks.ITEM):
        assert probe_timeout() == PROBE_TIMEOUTS[1], "a slow server gets to answer"
    assert probe_timeout() is None


def test_a_probe_that_is_overdue_keeps_none_from_probing_and_may_still_answer(breaker, clock):
    fail(breaker)
    clock.now += PAUSES[0]
    with breaker.request(Asks.ITEM):
        clock.now += PROBE_TIME
        assert is_sent(breaker, error=Unreachable("still down"))
        assert breaker.failure() is not None
    assert breaker.failure() is None


def in_a_context_of_its_own(test):
    """Run a test whose requests end in another order than they began in."""

    @functools.wraps(test)
    def run(*arguments, **named):
        contextvars.copy_context().run(test, *arguments, **named)

    return run


@in_a_context_of_its_own
def test_in_the_pause_after_a_probe_none_waits_for_a_younger_one(breaker, clock, monkeypatch):
    fail(breaker, TimedOut("silent"), Asks.ITEM)
    with ExitStack() as older:
        older.enter_context(breaker.request(Asks.ITEM))
        clock.now += PROBE_TIME
        with breaker.request(Asks.ITEM):
            clock.now += 0.1
            with suppress(TimedOut), older:
                raise TimedOut("silent")
            with monkeypatch.context() as patch, pytest.raises(TimedOut):
                patch.setattr(breaker._changed, "wait_for", lambda *_: pytest.fail("it waits"))
                breaker.check(Asks.ITEM)
            clock.now += PAUSES[1] + 0.1
            assert breaker.failure() is not None, "then the younger one is waited for"
    assert breaker.failure() is None


def test_after_an_overdue_probe_of_an_outage_comes_a_pause(breaker, clock):
    fail(breaker)
    clock.now += PAUSES[0]
    fail(breaker)
    clock.now += PAUSES[1]
    with breaker.request(Asks.ITEM):
        clock.now += PROBE_TIME
        assert not is_sent(breaker)
        assert is_sent(breaker, Asks.DELETION), "its answer ends the outage"
    fail(breaker)
    clock.now += PAUSES[0]
    fail(breaker)
    clock.now += PAUSES[1]
    with breaker.request(Asks.ITEM):
        clock.now += PROBE_TIME + PAUSES[1]
        assert is_sent(breaker), "a server that is back is found"


def test_who_comes_during_a_probe_waits_for_its_outcome(breaker, clock):
    fail(breaker)
    clock.now += PAUSES[0]
    outcomes = []

    def come():
        try:
            breaker.check(Asks.ITEM)
        except Unreachable as error:
            outcomes.append(str(error))
        else:
            outcomes.append("sent")

    for error in (Unreachable("still down"), None):
        threads = [threading.Thread(target=come) for _ in range(3)]
        with suppress(Unreachable), breaker.request(Asks.ITEM):
            for thread in threads:
                thread.start()
            assert not outcomes
            if error:
                raise error
        for thread in threads:
            thread.join(10)
        assert outcomes == (["still down"] * 3 if error else ["sent"] * 3)
        outcomes.clear()
        clock.now += PAUSES[1]


def test_a_failure_of_a_request_from_before_the_last_answer_says_nothing(breaker, clock):
    with suppress(TimedOut), breaker.request(Asks.LIST):
        clock.now += 1
        assert is_sent(breaker)
        clock.now += 8
        raise TimedOut("that one alone")
    assert breaker.failure() is None


def test_requests_from_before_an_outage_do_not_prolong_it(breaker, clock):
    with suppress(Unreachable), breaker.request(Asks.LIST):
        fail(breaker)
        clock.now += PAUSES[0]
        raise Unreachable("an old one")
    assert is_sent(breaker)


def test_a_request_without_an_answer_for_long_counts_before_it_fails(breaker, clock):
    with breaker.request(Asks.LIST):
        clock.now += SILENCE - 0.1
        assert breaker.failure() is None
        clock.now += 0.1
        with pytest.raises(TimedOut), breaker.request(Asks.ITEM):
            assert probe_timeout() is not None
            assert isinstance(breaker.failure(), TimedOut)
            raise TimedOut("this one, too")
        assert not is_sent(breaker)
    assert breaker.failure() is None


def test_a_search_may_take_long(breaker, clock):
    with breaker.request(Asks.SEARCH):
        clock.now += 2 * SILENCE
        assert breaker.failure() is None


def test_bytes_that_come_are_an_answer_and_a_body_that_stalls_is_none(breaker, clock):
    with breaker.request(Asks.ITEM) as pending:
        pass
    clock.now += 60
    with suppress(Unreachable), breaker.request(Asks.LIST):
        clock.now += SILENCE
        breaker.note(pending, None)
        assert breaker.failure() is None
    fail(breaker)
    breaker.note(pending, None)
    assert breaker.failure() is None
    clock.now += 10
    breaker.note(pending, TimedOut("it stalls"))
    with breaker.request(Asks.ITEM):
        assert probe_timeout() is not None


def test_an_answer_that_drips_is_slow_alone(breaker, clock):
    supervised_bytes = []
    with suppress(TimedOut), supervised(supervised_bytes.append), breaker.request(Asks.LIST):
        for _ in range(30):
            clock.now += 1
            report(1)
            assert breaker.failure() is None
        raise TimedOut("too slow")
    assert breaker.failure() is None
    assert supervised_bytes == [1] * 30, "the supervisor hears of them, too"
    with suppress(TimedOut), breaker.request(Asks.LIST):
        report(1)
        clock.now += SILENCE - 1
        report(0)
        raise TimedOut("it stalls")
    assert breaker.failure() is not None


def test_a_deletion_probes_at_once_unless_one_has_failed(breaker, clock):
    fail(breaker)
    assert not is_sent(breaker, Asks.ITEM)
    assert is_sent(breaker, Asks.DELETION, Unreachable("down"))
    assert not is_sent(breaker, Asks.DELETION)
    clock.now += PAUSES[1]
    assert is_sent(breaker, Asks.DELETION)
    assert breaker.failure() is None


def test_a_deletion_is_sent_beside_a_probe_that_is_overdue(monkeypatch):
    monkeypatch.setattr(server_breaker, "PROBE_TIME", 0.1)
    breaker = ServerBreaker(time.monotonic)
    fail(breaker, asks=Asks.ITEM)
    with breaker.request(Asks.ITEM):
        assert not is_sent(breaker)
    fail(breaker, asks=Asks.ITEM)
    with breaker.request(Asks.ITEM):
        assert is_sent(breaker, Asks.DELETION)
