import threading
from concurrent.futures import wait

import pytest

from histfs.core.errors import DeadlineExceeded, Interrupted, Unreachable
from histfs.core.single_flight import SingleFlight
from histfs.core.waiting import Waiter
from tests.support.patience import eventually

PATIENCE = 10


@pytest.fixture
def flights():
    pool = SingleFlight("test", 2)
    yield pool
    pool.close()


class Work:
    """A piece of work that stands still until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.times = 0

    def __call__(self) -> int:
        self.times += 1
        self.begun.set()
        assert self.go.wait(PATIENCE)
        return self.times


def test_work_runs_in_a_daemon_thread_of_the_pools_name(flights):
    worker = flights.submit("key", threading.current_thread).result(PATIENCE)
    assert worker.daemon
    assert worker.name.startswith("test-")


def test_many_who_ask_for_the_same_share_one_flight(flights):
    work = Work()
    futures = [flights.submit("key", work) for _ in range(20)]
    work.go.set()
    assert {future.result(PATIENCE) for future in futures} == {1}


def test_what_has_landed_flies_again(flights):
    work = Work()
    work.go.set()
    assert [flights.submit("key", work).result(PATIENCE) for _ in range(3)] == [1, 2, 3]


def test_one_who_gives_up_takes_nothing_from_the_others(flights):
    work = Work()
    future = flights.submit("key", work)
    with pytest.raises(Interrupted):
        Waiter(PATIENCE, lambda: True).result(future)
    work.go.set()
    assert flights.submit("key", work) is future or future.done()
    assert future.result(PATIENCE) == 1


def test_what_the_work_raised_comes_to_all_who_wait_and_is_not_kept(flights):
    gate = threading.Event()

    def fails() -> None:
        gate.wait(PATIENCE)
        raise Unreachable("down")

    futures = [flights.submit("key", fails) for _ in range(2)]
    gate.set()
    for future in futures:
        with pytest.raises(Unreachable):
            future.result(PATIENCE)
    assert flights.submit("key", lambda: "up").result(PATIENCE) == "up"


def test_different_work_flies_side_by_side_up_to_the_limit(flights):
    works = [Work() for _ in range(3)]
    futures = [flights.submit(n, work) for n, work in enumerate(works)]
    assert works[0].begun.wait(PATIENCE)
    assert works[1].begun.wait(PATIENCE)
    assert not works[2].begun.is_set()
    works[0].go.set()
    assert works[2].begun.wait(PATIENCE)
    for work in works:
        work.go.set()
    assert not wait(futures, PATIENCE).not_done


def test_a_closed_pool_takes_no_work(flights):
    flights.close()
    with pytest.raises(Interrupted):
        flights.submit("key", lambda: None)


def test_closing_cancels_what_waits_and_lets_what_runs_end(flights):
    running = [Work(), Work()]
    under_way = [flights.submit(n, work) for n, work in enumerate(running)]
    for work in running:
        assert work.begun.wait(PATIENCE)
    late = Work()
    waiting = flights.submit("late", late)
    flights.close()
    with pytest.raises(Interrupted):
        Waiter(PATIENCE).result(waiting)
    for work in running:
        work.go.set()
    assert [future.result(PATIENCE) for future in under_way] == [1, 1]
    assert late.times == 0


def test_the_threads_of_a_closed_pool_end():
    pool = SingleFlight("ending", 2)
    workers = [pool.submit(n, threading.current_thread).result(PATIENCE) for n in range(4)]
    pool.close()
    for worker in workers:
        worker.join(PATIENCE)
    assert not any(worker.is_alive() for worker in workers)


# Work that is stuck


@pytest.fixture
def impatient(monkeypatch):
    """Let work be overdue soon."""
    monkeypatch.setattr("histfs.core.single_flight.OVERDUE", 0.1)


@pytest.fixture
def stuck(flights):
    """Start pieces of work that are stuck until the test ends."""
    works: list[Work] = []

    def start(count: int) -> list[Work]:
        begun = [Work() for _ in range(count)]
        works.extend(begun)
        for work in begun:
            flights.submit(work, work)
        return begun

    yield start
    for work in works:
        work.go.set()


def test_stuck_work_does_not_keep_other_work_from_running(flights, impatient, stuck):
    stuck(6)
    assert flights.submit("key", lambda: "done").result(PATIENCE) == "done"


def test_threads_are_bounded_however_much_is_stuck(flights, impatient, stuck):
    before = threading.active_count()
    works = stuck(100)
    assert all(work.begun.wait(PATIENCE) for work in works[:10])
    assert not works[10].begun.wait(0.5)
    assert threading.active_count() - before <= 10
    for work in works:
        work.go.set()
    assert flights.submit("key", lambda: "done").result(PATIENCE) == "done"
    eventually(lambda: threading.active_count() - before <= 2)


def one_of(answers):
    """Return work that does the next of several things each time."""

    def work():
        return next(answers)()

    return work


def test_whoever_waits_for_overdue_work_starts_it_once_more(flights, impatient):
    first = Work()
    answers = iter([first, lambda: "second"])
    try:
        result = flights.result("key", one_of(answers), Waiter(PATIENCE))
        assert result == "second"
    finally:
        first.go.set()


def test_overdue_work_that_comes_after_all_counts(flights, impatient):
    first, second = Work(), Work()
    answers = iter([first, second])
    threading.Timer(0.4, first.go.set).start()
    try:
        assert flights.result("key", one_of(answers), Waiter(PATIENCE)) == 1
    finally:
        second.go.set()


def test_work_is_repeated_once_only(flights, impatient):
    work = Work()
    try:
        for _ in range(3):
            with pytest.raises(DeadlineExceeded):
                flights.result("key", work, Waiter(0.3))
        assert work.times == 2
    finally:
        work.go.set()


def test_work_that_was_joined_with_fly_is_never_repeated(flights, impatient):
    work = Work()
    future = flights.submit("delete", work)
    with pytest.raises(DeadlineExceeded):
        Waiter(0.3).result(future)
    assert flights.submit("delete", work) is future
    work.go.set()
    assert future.result(PATIENCE) == 1
