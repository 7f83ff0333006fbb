"""Which downloads run, and when."""

from __future__ import annotations

import threading

import pytest

from histfs.audio.schedule import Schedule
from histfs.core.errors import Interrupted
from tests.support.clock import Clock
from tests.support.patience import eventually

PATIENCE = 10.0


class Job:
    """A download that stands still until it is let go."""

    def __init__(self, begun: list[str], name: str) -> None:
        self.name = name
        self.throttled = False
        self.stopped = self.cancelled = False
        self._begun = begun
        self._go = threading.Event()

    def __repr__(self) -> str:
        return self.name

    def run(self) -> None:
        self._begun.append(self.name)
        assert self._go.wait(PATIENCE)

    def stop(self) -> None:
        self.stopped = True

    def cancel(self) -> None:
        self.cancelled = True

    def end(self, throttled: bool = False) -> None:
        self.throttled = throttled
        self._go.set()


@pytest.fixture
def begun():
    return []


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(begun, clock):
    made, jobs = [], {}

    def make(connections, wanted="", ahead=""):
        schedule = Schedule(connections, clock)
        made.append(schedule)
        for name in wanted + ahead:
            jobs[name] = Job(begun, name)
            schedule.add(jobs[name], name in wanted)
        eventually(lambda: len(begun) == min(connections, len(jobs)))
        return schedule, jobs

    yield make
    for schedule in made:
        schedule.close()
    for job in jobs.values():
        job.end()


def test_no_more_run_at_once_than_there_are_connections(make, begun):
    _, jobs = make(2, wanted="abc")
    assert sorted(begun) == ["a", "b"]
    jobs["a"].end()
    eventually(lambda: begun[2:] == ["c"])


def test_what_somebody_waits_for_goes_before_what_is_fetched_ahead(make, begun):
    schedule, jobs = make(1, wanted="a", ahead="bc")
    jobs["d"] = Job(begun, "d")
    schedule.add(jobs["d"], True)
    for name in "adb":
        jobs[name].end()
    eventually(lambda: begun == ["a", "d", "b", "c"])


def test_who_comes_to_wait_for_what_is_queued_moves_it_to_the_front(make, begun):
    schedule, jobs = make(1, wanted="a", ahead="bc")
    schedule.want(jobs["c"])
    jobs["a"].end()
    eventually(lambda: begun == ["a", "c"])


def test_the_youngest_that_nobody_waits_for_makes_room(make, begun):
    schedule, jobs = make(3, wanted="a", ahead="bc")
    schedule.want(jobs["c"])
    jobs["d"] = Job(begun, "d")
    schedule.add(jobs["d"], True)
    eventually(lambda: begun[3:] == ["d"])
    assert [job.stopped for job in jobs.values()] == [False, True, False, False]


def test_who_is_waited_for_makes_no_room(make, begun):
    schedule, jobs = make(1, wanted="a")
    jobs["b"] = Job(begun, "b")
    schedule.add(jobs["b"], True)
    assert not jobs["a"].stopped
    assert begun == ["a"]


def test_one_that_its_last_reader_has_left_keeps_no_other_from_starting(make, begun):
    schedule, jobs = make(1, wanted="ab")
    schedule.leave(jobs["a"])
    eventually(lambda: begun == ["a", "b"])
    assert not jobs["a"].stopped


def test_a_server_that_is_asked_too_much_is_asked_half_as_much(make, clock):
    schedule, jobs = make(8, wanted="abcd")
    clock.now += 1
    for name in "abc":
        jobs[name].end(throttled=True)
    eventually(lambda: schedule.allowed == 4)
    clock.now += 1
    jobs["d"].end(throttled=True)
    eventually(lambda: schedule.allowed == 2)


def test_success_lets_the_number_grow_back_and_no_further(make, begun, clock):
    schedule, jobs = make(4, wanted="a")
    clock.now += 1
    jobs["a"].end(throttled=True)
    eventually(lambda: schedule.allowed == 2)
    grown = []
    for number in range(30):
        job = Job(begun, f"{number}")
        job.end()
        schedule.add(job, True)
        eventually(lambda number=number: len(begun) == number + 2)
        grown.append(schedule.allowed)
    assert grown == sorted(grown)
    assert (grown[0], grown[-1]) == (2, 4)


def test_one_at_least_may_run(make, clock):
    schedule, jobs = make(1, wanted="a")
    clock.now += 1
    jobs["a"].end(throttled=True)
    jobs["b"] = Job([], "b")
    jobs["b"].end()
    schedule.add(jobs["b"], True)
    eventually(lambda: schedule.allowed == 1)


def test_a_closed_schedule_cancels_what_waits_and_takes_nothing(make):
    schedule, jobs = make(1, wanted="ab", ahead="c")
    schedule.close()
    assert [job.cancelled for job in jobs.values()] == [False, True, True]
    with pytest.raises(Interrupted):
        schedule.add(Job([], "d"), True)
