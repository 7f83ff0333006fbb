from __future__ import annotations

from contextlib import suppress

import pytest

from histfs.catalog.health import FAILURE_MEMORY, PATIENCE, Health
from histfs.core.errors import KeyRefused, ServerFailed, Unreachable
from tests.support.clock import Clock


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock)


def fail(health: Health, error: Exception) -> None:
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
