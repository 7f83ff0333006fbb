from __future__ import annotations

from contextlib import suppress

import pytest

from histfs.catalog.circuit_breaker import FAILURE_MEMORY, PATIENCE, CircuitBreaker, RequestKind
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
from histfs.core.times import Span
from tests.support.clock import Clock
from tests.support.memory import MemorySource
from tests.support.world import names, numbered, world_at


@pytest.fixture
def health(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(clock)


def fail(health: CircuitBreaker, error: Exception) -> None:
    with suppress(type(error)), health.asking():
        raise error


def test_news_are_waited_for_until_what_is_asked_for_is_overdue(health, clock):
    assert health.patience() == PATIENCE
    with health.asking():
        assert health.patience() == PATIENCE
        clock.now += 2
        assert health.patience() == PATIENCE - 2
        clock.now += PATIENCE
        assert health.patience() == 0
    assert health.patience() == PATIENCE


def test_what_is_overdue_longest_counts_but_not_in_the_background(health, clock):
    with health.asking(background=True):
        clock.now += 2
        with health.asking():
            clock.now += 1
            with health.asking():
                clock.now += 1
                assert health.patience() == PATIENCE - 2
    assert health.patience() == PATIENCE


@pytest.mark.parametrize(
    ("error", "remembered"), [(Unreachable("x"), True), (ServerFailed("x"), False)]
)
def test_what_fails_in_the_background_fails_others_when_it_would_anyhow(health, error, remembered):
    with pytest.raises(type(error)), health.asking(background=True):
        raise error
    assert (health.failure() is not None) == remembered


def test_a_failure_is_told_to_who_asked_and_remembered_for_a_while(health, clock):
    assert health.failure() is None
    error = Unreachable("down")
    with pytest.raises(Unreachable), health.asking():
        raise error
    assert health.failure() is error
    clock.now += FAILURE_MEMORY - 0.1
    assert health.failure() is error
    clock.now += 0.2
    assert health.failure() is None


def test_the_last_failure_is_the_one_that_is_told(health):
    fail(health, Unreachable("down"))
    error = KeyRefused("gone")
    fail(health, error)
    assert health.failure() is error


def test_a_success_ends_a_failure(health):
    fail(health, Unreachable("down"))
    with health.asking():
        assert health.failure() is not None
    assert health.failure() is None


def test_what_failed_is_not_being_asked_for_any_more(health, clock):
    fail(health, Unreachable("down"))
    clock.now += 2 * PATIENCE
    assert health.patience() == PATIENCE
    assert health.quiet() == 2 * PATIENCE


def test_an_interrupt_is_no_failure(health):
    with pytest.raises(KeyboardInterrupt), health.asking():
        raise KeyboardInterrupt
    assert health.failure() is None
    assert health.patience() == PATIENCE


def test_it_is_busy_while_somebody_waits_and_quiet_after_that(health, clock):
    clock.now += 3
    assert not health.busy()
    assert health.quiet() == 3
    with health.asking():
        clock.now += 5
        with health.asking(background=True):
            assert health.busy()
        assert health.busy()
    assert not health.busy()
    assert health.quiet() == 0
    clock.now += 2
    assert health.quiet() == 2


def test_who_asks_in_the_background_disturbs_nobody(health, clock):
    clock.now += 3
    with health.asking(background=True):
        clock.now += 1
        assert not health.busy()
        assert health.quiet() == 4
    assert health.quiet() == 4


def test_a_clock_that_is_set_back_makes_nobody_wait_longer(health, clock):
    fail(health, Unreachable("down"))
    with health.asking(background=True):
        clock.now -= 3600
        assert health.failure() is None
        assert health.patience() == PATIENCE
        assert health.quiet() == 0


# What a failure concerns

NOTHING: set[RequestKind] = set()
LISTINGS, SEARCHES, BOTH = {RequestKind.LISTING}, {RequestKind.SEARCH}, set(RequestKind)


@pytest.mark.parametrize(
    ("error", "of_a_listing", "of_a_background_page", "of_a_search"),
    [
        (Unreachable("x"), BOTH, BOTH, BOTH),
        (RateLimited("x"), BOTH, BOTH, BOTH),
        (TimedOut("x"), BOTH, BOTH, SEARCHES),
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
        health = CircuitBreaker(clock)
        with suppress(type(error)), health.asking(**how):
            raise error
        return {kind for kind in RequestKind if health.failure(kind) is not None}

    assert told() == of_a_listing
    assert told(background=True) == of_a_background_page
    assert told(kind=RequestKind.SEARCH) == of_a_search


@pytest.mark.parametrize("kind", list(RequestKind))
def test_an_answer_that_refuses_one_question_is_remembered_for_that_one(health, clock, kind):
    def ask(question):
        with health.asking(kind=kind, question=question):
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


def test_a_listing_that_comes_shows_that_the_server_is_there_for_searches_too(health):
    with suppress(Unreachable), health.asking(kind=RequestKind.SEARCH):
        raise Unreachable("down")
    with health.asking():
        pass
    assert health.failure(RequestKind.SEARCH) is None


def test_a_search_that_comes_does_not_make_up_for_listings_that_are_no_answer(health):
    fail(health, BadAnswer("<html>"))
    with health.asking(kind=RequestKind.SEARCH):
        pass
    assert isinstance(health.failure(), BadAnswer)


def test_a_search_that_takes_long_makes_no_listing_do_without_news(health, clock):
    with health.asking(kind=RequestKind.SEARCH):
        clock.now += 2 * PATIENCE
        assert health.patience() == PATIENCE
        assert health.patience(RequestKind.SEARCH) == 0
    with health.asking():
        clock.now += 2 * PATIENCE
        assert health.patience(RequestKind.SEARCH) == 0


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
