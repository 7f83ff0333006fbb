"""The wait budget of a call: deadline, interrupt flag and the limit of waiting calls."""

import threading
import time
from concurrent.futures import Future

import pytest

from histfs.core.errors import DeadlineExceeded, Interrupted, TooManyWaiting, Unreachable
from histfs.core.waiting import Waiter, WaitLimit


def done(value: object) -> Future:
    future: Future = Future()
    future.set_result(value)
    return future


class Flag:
    """An interrupt flag that is set from the n-th check on."""

    def __init__(self, checks: int = 1) -> None:
        self.left = checks

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def test_a_result_that_is_there_is_returned_even_after_the_deadline():
    assert Waiter(0).result(done("it")) == "it"


def test_an_error_of_the_work_is_raised():
    future: Future = Future()
    future.set_exception(Unreachable("down"))
    with pytest.raises(Unreachable, match="down"):
        Waiter(5).result(future)


def test_a_timeout_of_the_work_itself_is_not_taken_for_the_deadline():
    future: Future = Future()
    future.set_exception(TimeoutError("the work's own"))
    with pytest.raises(TimeoutError, match="the work's own"):
        Waiter(5).result(future)


def test_waiting_for_a_result_ends_with_the_deadline():
    with pytest.raises(DeadlineExceeded):
        Waiter(0.01).result(Future())


def test_waiting_for_a_result_ends_with_the_first_check_of_the_interrupt_flag():
    flag = Flag(checks=1)
    with pytest.raises(Interrupted):
        Waiter(60, flag).result(Future())
    assert flag.left == 0


def test_the_interrupt_flag_is_checked_by_the_waiting_thread():
    checked_by = []

    def flag() -> bool:
        checked_by.append(threading.current_thread())
        return True

    with pytest.raises(Interrupted):
        Waiter(60, flag).result(Future())
    assert checked_by == [threading.current_thread()]


def test_cancelled_work_counts_as_an_interrupt():
    future: Future = Future()
    future.cancel()
    with pytest.raises(Interrupted):
        Waiter(60).result(future)


def test_the_work_goes_on_when_the_caller_gives_up():
    future: Future = Future()
    with pytest.raises(DeadlineExceeded):
        Waiter(0).result(future)
    future.set_result("late")
    assert Waiter(0).result(future) == "late"


def test_waiting_for_a_condition_ends_when_it_is_met():
    condition, met = threading.Condition(), []

    def probe() -> None:
        with condition:
            met.append(True)
            condition.notify_all()

    thread = threading.Thread(target=probe)
    with condition:
        thread.start()
        Waiter(60).until(condition, lambda: bool(met))
    thread.join()
    assert met


def test_a_condition_that_is_met_already_is_not_waited_for():
    condition = threading.Condition()
    with condition:
        Waiter(0, lambda: True).until(condition, lambda: True)


@pytest.mark.parametrize(
    ("timeout", "interrupted", "error"),
    [(0.01, False, DeadlineExceeded), (60, True, Interrupted)],
)
def test_waiting_for_a_condition_ends_with_the_deadline_or_an_interrupt(
    timeout, interrupted, error
):
    condition = threading.Condition()
    with condition, pytest.raises(error):
        Waiter(timeout, lambda: interrupted).until(condition, lambda: False)


class Busy(threading.Condition):
    """A condition that is notified all the time, as by a download that makes progress."""

    def __init__(self, notifications: int) -> None:
        super().__init__()
        self.left = notifications

    def wait(self, timeout: float | None = None) -> bool:
        self.left -= 1
        super().wait(0.001)
        return True


@pytest.mark.parametrize(
    ("timeout", "interrupted", "error"), [(0, False, DeadlineExceeded), (60, True, Interrupted)]
)
def test_notifications_delay_neither_the_deadline_nor_an_interrupt(timeout, interrupted, error):
    condition = Busy(notifications=150)
    with condition, pytest.raises(error):
        Waiter(timeout, lambda: interrupted).until(condition, lambda: condition.left == 0)


def test_a_shorter_budget_ends_sooner_and_keeps_the_interrupt_flag():
    with pytest.raises(DeadlineExceeded):
        Waiter(60).at_most(0.01).result(Future())
    with pytest.raises(Interrupted):
        Waiter(60, Flag()).at_most(50).result(Future())


@pytest.mark.parametrize("permission", [True, False])
def test_a_shorter_budget_keeps_the_permission_to_fetch(permission):
    assert Waiter(60).at_most(5).may_fetch()
    assert Waiter(60, may_fetch=lambda: permission).at_most(5).may_fetch() == permission


def test_a_longer_budget_ends_with_the_call():
    assert Waiter(0).at_most(60).remaining() == 0


def test_the_remaining_time_is_never_negative():
    assert Waiter(-5).remaining() == 0


def test_a_call_that_would_have_to_wait_fails_at_once_when_the_limit_is_reached():
    limit = WaitLimit(1)
    first, second = Waiter(60, limit=limit), Waiter(60, limit=limit)
    condition = threading.Condition()
    with first.waiting():
        with pytest.raises(TooManyWaiting):
            second.result(Future())
        with pytest.raises(TooManyWaiting):
            second.at_most(5).result(Future())
        with condition, pytest.raises(TooManyWaiting):
            second.until(condition, lambda: False)
        # A call that does not wait needs no place.
        assert second.result(done("it")) == "it"
        with condition:
            second.until(condition, lambda: True)
    with second.waiting(), pytest.raises(TooManyWaiting):
        first.result(Future())


def test_a_wait_that_fails_releases_its_place():
    limit = WaitLimit(1)
    for _ in range(2):
        with pytest.raises(DeadlineExceeded):
            Waiter(0, limit=limit).result(Future())


def test_progress_renews_the_deadline_and_the_wait_ends_when_there_is_none():
    condition, checks = threading.Condition(), []
    waiter = Waiter(0.3)

    def progress() -> int:
        checks.append(1)
        return min(len(checks), 10)

    began = time.monotonic()
    with condition, pytest.raises(DeadlineExceeded):
        waiter.until(condition, lambda: False, progress)
    # Nine steps of 0.1 s made progress, and then none for the timeout.
    assert time.monotonic() - began > 0.9


def test_a_wait_that_makes_progress_is_interrupted_all_the_same():
    condition, steps = threading.Condition(), iter(range(1000))
    with condition, pytest.raises(Interrupted):
        Waiter(60, Flag(checks=3)).until(condition, lambda: False, lambda: next(steps))
