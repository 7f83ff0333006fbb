from __future__ import annotations

from contextlib import suppress

import pytest

from histfs.catalog.circuit_breaker import FAILURE_MEMORY, WAIT_BUDGET, CircuitBreaker, RequestKind
from histfs.core.errors import (
    BadAnswer,
    InvalidRequest,
    KeyRefused,
    Missing,
    MissingPermission,
    NotOffered,
    PluginFailed,
    RateLimited,
    Rejected,
    ServerFailed,
    TimedOut,
    Unreachable,
)
from histfs.core.server_breaker import Asks, ServerBreaker
from histfs.core.times import Span
from tests.support.clock import Clock
from tests.support.memory import MemorySource
from tests.support.world import names, numbered, world_at


@pytest.fixture
def server(clock: Clock) -> ServerBreaker:
    return ServerBreaker(clock)


@pytest.fixture
def breaker(clock: Clock, server: ServerBreaker) -> CircuitBreaker:
    return CircuitBreaker(clock, server)


def fail(breaker: CircuitBreaker, error: Exception) -> None:
    with suppress(type(error)), breaker.request():
        raise error


def test_news_are_waited_for_until_what_is_asked_for_is_overdue(breaker, clock):
    assert breaker.wait_budget() == WAIT_BUDGET
    with breaker.request():
        assert breaker.wait_budget() == WAIT_BUDGET
        clock.now += 2
        assert breaker.wait_budget() == WAIT_BUDGET - 2
        clock.now += WAIT_BUDGET
        assert breaker.wait_budget() == 0
    assert breaker.wait_budget() == WAIT_BUDGET


def test_what_is_overdue_longest_counts_but_not_in_the_background(breaker, clock):
    with breaker.request(background=True):
        clock.now += 2
        with breaker.request():
            clock.now += 1
            with breaker.request():
                clock.now += 1
                assert breaker.wait_budget() == WAIT_BUDGET - 2
    assert breaker.wait_budget() == WAIT_BUDGET


@pytest.mark.parametrize(
    ("error", "remembered"), [(RateLimited("x"), True), (ServerFailed("x"), False)]
)
def test_what_fails_in_the_background_fails_others_when_it_would_anyhow(breaker, error, remembered):
    with pytest.raises(type(error)), breaker.request(background=True):
        raise error
    assert (breaker.failure() is not None) == remembered


def test_a_failure_is_told_to_who_asked_and_remembered_for_a_while(breaker, clock):
    assert breaker.failure() is None
    error = ServerFailed("down")
    with pytest.raises(ServerFailed), breaker.request():
        raise error
    assert breaker.failure() is error
    clock.now += FAILURE_MEMORY - 0.1
    assert breaker.failure() is error
    clock.now += 0.2
    assert breaker.failure() is None


def test_the_last_failure_is_the_one_that_is_told(breaker):
    fail(breaker, ServerFailed("down"))
    error = KeyRefused("gone")
    fail(breaker, error)
    assert breaker.failure() is error


def test_a_success_ends_a_failure(breaker):
    fail(breaker, ServerFailed("down"))
    with breaker.request():
        assert breaker.failure() is not None
    assert breaker.failure() is None


def test_what_failed_is_not_being_asked_for_any_more(breaker, clock):
    fail(breaker, Unreachable("down"))
    clock.now += 2 * WAIT_BUDGET
    assert breaker.wait_budget() == WAIT_BUDGET
    assert breaker.idle_time() == 2 * WAIT_BUDGET


def test_an_interrupt_is_no_failure(breaker):
    with pytest.raises(KeyboardInterrupt), breaker.request():
        raise KeyboardInterrupt
    assert breaker.failure() is None
    assert breaker.wait_budget() == WAIT_BUDGET


def test_it_is_busy_while_somebody_waits_and_quiet_after_that(breaker, clock):
    clock.now += 3
    assert not breaker.is_busy()
    assert breaker.idle_time() == 3
    with breaker.request():
        clock.now += 5
        with breaker.request(background=True):
            assert breaker.is_busy()
        assert breaker.is_busy()
    assert not breaker.is_busy()
    assert breaker.idle_time() == 0
    clock.now += 2
    assert breaker.idle_time() == 2


def test_who_asks_in_the_background_disturbs_nobody(breaker, clock):
    clock.now += 3
    with breaker.request(background=True):
        clock.now += 1
        assert not breaker.is_busy()
        assert breaker.idle_time() == 4
    assert breaker.idle_time() == 4


def test_a_clock_that_is_set_back_makes_nobody_wait_longer(breaker, clock):
    fail(breaker, ServerFailed("down"))
    with breaker.request(background=True):
        clock.now -= 3600
        assert breaker.failure() is None
        assert breaker.wait_budget() == WAIT_BUDGET
        assert breaker.idle_time() == 0


# Which requests a failure affects

NOTHING: set[RequestKind] = set()
LISTINGS, SEARCHES, BOTH = {RequestKind.LISTING}, {RequestKind.SEARCH}, set(RequestKind)


@pytest.mark.parametrize(
    ("error", "of_a_listing", "of_a_background_page", "of_a_search"),
    [
        (Unreachable("x"), NOTHING, NOTHING, NOTHING),
        (RateLimited("x"), BOTH, BOTH, BOTH),
        (TimedOut("x"), NOTHING, NOTHING, SEARCHES),
        (KeyRefused("x"), BOTH, BOTH, SEARCHES),
        (MissingPermission("x"), BOTH, BOTH, SEARCHES),
        (ServerFailed("x"), BOTH, NOTHING, SEARCHES),
        (BadAnswer("x"), LISTINGS, NOTHING, NOTHING),
        (PluginFailed("x"), LISTINGS, NOTHING, NOTHING),
        (Rejected("x"), NOTHING, NOTHING, NOTHING),
        (InvalidRequest("x"), NOTHING, NOTHING, NOTHING),
        (NotOffered("x"), NOTHING, NOTHING, NOTHING),
        (Missing("x"), NOTHING, NOTHING, NOTHING),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_failure_concerns_what_the_table_says(
    clock, error, of_a_listing, of_a_background_page, of_a_search
):
    def told(**how):
        breaker = CircuitBreaker(clock, ServerBreaker(clock))
        with suppress(type(error)), breaker.request(**how):
            raise error
        return {kind for kind in RequestKind if breaker.failure(kind) is not None}

    assert told() == of_a_listing
    assert told(background=True) == of_a_background_page
    assert told(kind=RequestKind.SEARCH) == of_a_search


@pytest.mark.parametrize("kind", list(RequestKind))
def test_an_answer_that_refuses_one_question_is_remembered_for_that_one(breaker, clock, kind):
    def ask(question):
        with breaker.request(kind=kind, key=question):
            asked.append(question)
            if question == "bad":
                raise Rejected("400")

    asked = []
    for _ in range(3):
        with pytest.raises(Rejected):
            ask("bad")
        ask("good")
        ask(None)
    assert asked == ["bad", "good", None, "good", None, "good", None]
    clock.now += FAILURE_MEMORY
    with pytest.raises(Rejected):
        ask("bad")
    assert asked[-1] == "bad"


def test_a_server_that_can_not_be_reached_fails_lists_and_searches(breaker, server):
    error = Unreachable("down")
    with suppress(Unreachable), server.request(Asks.LIST):
        raise error
    assert [breaker.failure(kind) for kind in RequestKind] == [error] * 2
    with server.request(Asks.DELETION):
        pass
    assert [breaker.failure(kind) for kind in RequestKind] == [None] * 2


def test_a_failure_of_the_server_is_kept_by_the_server_s_breaker_alone(breaker):
    for key in (None, "span"):
        with suppress(Unreachable), breaker.request(key=key):
            raise Unreachable("down")
    sent = []
    with breaker.request(key="span"):
        sent.append(True)
    assert sent and breaker.failure() is None


def test_a_listing_that_comes_shows_that_the_server_is_there_for_searches_too(breaker):
    with suppress(TimedOut), breaker.request(kind=RequestKind.SEARCH):
        raise TimedOut("slow")
    with breaker.request():
        pass
    assert breaker.failure(RequestKind.SEARCH) is None


def test_a_search_that_comes_does_not_make_up_for_listings_that_are_no_answer(breaker):
    fail(breaker, BadAnswer("<html>"))
    with breaker.request(kind=RequestKind.SEARCH):
        pass
    assert isinstance(breaker.failure(), BadAnswer)


def test_a_search_that_takes_long_makes_no_listing_do_without_news(breaker, clock):
    with breaker.request(kind=RequestKind.SEARCH):
        clock.now += 2 * WAIT_BUDGET
        assert breaker.wait_budget() == WAIT_BUDGET
        assert breaker.wait_budget(RequestKind.SEARCH) == 0
    with breaker.request():
        clock.now += 2 * WAIT_BUDGET
        assert breaker.wait_budget(RequestKind.SEARCH) == 0


def test_a_span_that_is_refused_refuses_no_other_one(path):
    class Picky(MemorySource):
        def list(self, query):
            page = super().list(query)
            if query.span.holds(5):
                raise InvalidRequest("400")
            return page

    with world_at(path, Picky(numbered(range(10)), page_size=3)) as world:
        for _ in range(2):
            with pytest.raises(InvalidRequest):
                world.list(Span(5, 6))
        assert world.list(Span(7, 9)) == names(7, 8)
        assert world.source.count("list") == 2, "it was asked again at once"
