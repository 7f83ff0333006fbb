"""The worker pool: single flight, hanging work and hedging."""

import threading
from concurrent.futures import wait

import pytest

from histfs.core.errors import DeadlineExceeded, Interrupted, Unreachable
from histfs.core.single_flight import SingleFlight
from histfs.core.waiting import Waiter
from tests.support.eventually import eventually

TIMEOUT = 10


@pytest.fixture
def pool():
    pool = SingleFlight("test", 2)
    yield pool
    pool.close()


class Work:
    """Work that blocks until `go` is set."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.go = threading.Event()
        self.runs = 0

    def __call__(self) -> int:
        self.runs += 1
        self.started.set()
        assert self.go.wait(TIMEOUT)
        return self.runs


def test_work_runs_in_a_daemon_thread_of_the_pools_name(pool):
    worker = pool.submit("key", threading.current_thread).result(TIMEOUT)
    assert worker.daemon
    assert worker.name.startswith("test-")


def test_concurrent_requests_of_one_key_share_one_execution(pool):
    work = Work()
    futures = [pool.submit("key", work) for _ in range(20)]
    work.go.set()
    assert {future.result(TIMEOUT) for future in futures} == {1}


def test_work_that_has_ended_runs_again(pool):
    work = Work()
    work.go.set()
    assert [pool.submit("key", work).result(TIMEOUT) for _ in range(3)] == [1, 2, 3]


def test_a_caller_that_gives_up_does_not_affect_the_others(pool):
    work = Work()
    future = pool.submit("key", work)
    with pytest.raises(Interrupted):
        Waiter(TIMEOUT, lambda: True).result(future)
    work.go.set()
    assert pool.submit("key", work) is future or future.done()
    assert future.result(TIMEOUT) == 1


def test_an_error_of_the_work_is_raised_in_all_callers_and_is_not_cached(pool):
    gate = threading.Event()

    def fails() -> None:
        gate.wait(TIMEOUT)
        raise Unreachable("down")

    futures = [pool.submit("key", fails) for _ in range(2)]
    gate.set()
    for future in futures:
        with pytest.raises(Unreachable):
            future.result(TIMEOUT)
    assert pool.submit("key", lambda: "up").result(TIMEOUT) == "up"


def test_work_of_different_keys_runs_concurrently_up_to_the_limit(pool):
    works = [Work() for _ in range(3)]
    futures = [pool.submit(n, work) for n, work in enumerate(works)]
    assert works[0].started.wait(TIMEOUT)
    assert works[1].started.wait(TIMEOUT)
    assert not works[2].started.is_set()
    works[0].go.set()
    assert works[2].started.wait(TIMEOUT)
    for work in works:
        work.go.set()
    assert not wait(futures, TIMEOUT).not_done


def test_a_closed_pool_takes_no_work(pool):
    pool.close()
    with pytest.raises(Interrupted):
        pool.submit("key", lambda: None)


def test_closing_cancels_queued_work_and_lets_running_work_end(pool):
    running = [Work(), Work()]
    under_way = [pool.submit(n, work) for n, work in enumerate(running)]
    for work in running:
        assert work.started.wait(TIMEOUT)
    late = Work()
    waiting = pool.submit("late", late)
    pool.close()
    with pytest.raises(Interrupted):
        Waiter(TIMEOUT).result(waiting)
    for work in running:
        work.go.set()
    assert [future.result(TIMEOUT) for future in under_way] == [1, 1]
    assert late.runs == 0


def test_the_threads_of_a_closed_pool_end():
    pool = SingleFlight("ending", 2)
    workers = [pool.submit(n, threading.current_thread).result(TIMEOUT) for n in range(4)]
    pool.close()
    for worker in workers:
        worker.join(TIMEOUT)
    assert not any(worker.is_alive() for worker in workers)


# Overdue work


@pytest.fixture
def overdue_soon(monkeypatch):
    """Make work overdue after 0.1 seconds."""
    monkeypatch.setattr("histfs.core.single_flight.OVERDUE", 0.1)


@pytest.fixture
def stuck(pool):
    """Start work that blocks until the test ends."""
    works: list[Work] = []

    def start(count: int) -> list[Work]:
        started = [Work() for _ in range(count)]
        works.extend(started)
        for work in started:
            pool.submit(work, work)
        return started

    yield start
    for work in works:
        work.go.set()


def test_overdue_work_does_not_block_other_work(pool, overdue_soon, stuck):
    stuck(6)
    assert pool.submit("key", lambda: "done").result(TIMEOUT) == "done"


def test_threads_are_bounded_however_much_work_is_overdue(pool, overdue_soon, stuck):
    before = threading.active_count()
    works = stuck(100)
    assert all(work.started.wait(TIMEOUT) for work in works[:10])
    assert not works[10].started.wait(0.5)
    assert threading.active_count() - before <= 10
    for work in works:
        work.go.set()
    assert pool.submit("key", lambda: "done").result(TIMEOUT) == "done"
    eventually(lambda: threading.active_count() - before <= 2)


def one_of(answers):
    """Return work that calls the next function of `answers` each time."""

    def work():
        return next(answers)()

    return work


def test_a_caller_that_waits_for_overdue_work_starts_it_once_more(pool, overdue_soon):
    first = Work()
    answers = iter([first, lambda: "second"])
    try:
        result = pool.run_hedged("key", one_of(answers), Waiter(TIMEOUT))
        assert result == "second"
    finally:
        first.go.set()


def test_the_result_of_overdue_work_counts_when_it_comes_first(pool, overdue_soon):
    first, second = Work(), Work()
    answers = iter([first, second])
    threading.Timer(0.4, first.go.set).start()
    try:
        assert pool.run_hedged("key", one_of(answers), Waiter(TIMEOUT)) == 1
    finally:
        second.go.set()


def test_work_is_hedged_once_only(pool, overdue_soon):
    work = Work()
    try:
        for _ in range(3):
            with pytest.raises(DeadlineExceeded):
                pool.run_hedged("key", work, Waiter(0.3))
        assert work.runs == 2
    finally:
        work.go.set()


def test_work_that_was_joined_with_submit_is_never_hedged(pool, overdue_soon):
    work = Work()
    future = pool.submit("delete", work)
    with pytest.raises(DeadlineExceeded):
        Waiter(0.3).result(future)
    assert pool.submit("delete", work) is future
    work.go.set()
    assert future.result(TIMEOUT) == 1
