"""Which downloads run, and when."""

from __future__ import annotations

import threading

import pytest

from histfs.audio.download_scheduler import DownloadScheduler
from histfs.core.errors import Interrupted
from tests.support.eventually import eventually

PATIENCE = 10.0


class Job:
    """A download that stands still until it is let go."""

    def __init__(self, begun: list[str], name: str) -> None:
        self.name = name
        self.preempted = self.cancelled = False
        self._begun = begun
        self._go = threading.Event()

    def __repr__(self) -> str:
        return self.name

    def run(self) -> None:
        self._begun.append(self.name)
        assert self._go.wait(PATIENCE)

    def preempt(self) -> None:
        self.preempted = True

    def cancel(self) -> None:
        self.cancelled = True

    def end(self) -> None:
        self._go.set()


@pytest.fixture
def begun():
    return []


@pytest.fixture
def make(begun):
    made, jobs = [], {}

    def make(connections, wanted="", ahead=""):
        schedule = DownloadScheduler(lambda: connections)
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
    schedule.promote(jobs["c"])
    jobs["a"].end()
    eventually(lambda: begun == ["a", "c"])


def test_the_youngest_that_nobody_waits_for_makes_room(make, begun):
    schedule, jobs = make(3, wanted="a", ahead="bc")
    schedule.promote(jobs["c"])
    jobs["d"] = Job(begun, "d")
    schedule.add(jobs["d"], True)
    eventually(lambda: begun[3:] == ["d"])
    assert [job.preempted for job in jobs.values()] == [False, True, False, False]


def test_who_is_waited_for_makes_no_room(make, begun):
    schedule, jobs = make(1, wanted="a")
    jobs["b"] = Job(begun, "b")
    schedule.add(jobs["b"], True)
    assert not jobs["a"].preempted
    assert begun == ["a"]


def test_one_that_its_last_reader_has_left_keeps_no_other_from_starting(make, begun):
    schedule, jobs = make(1, wanted="ab")
    schedule.abandon(jobs["a"])
    eventually(lambda: begun == ["a", "b"])
    assert not jobs["a"].preempted


def test_the_number_at_once_follows_the_limit_as_it_changes(begun):
    limit = [2]
    schedule = DownloadScheduler(lambda: limit[0])
    jobs = {name: Job(begun, name) for name in "abcd"}
    for job in jobs.values():
        schedule.add(job, True)
    eventually(lambda: begun == ["a", "b"])
    limit[0] = 1
    jobs["a"].end()
    jobs["b"].end()
    eventually(lambda: begun[2:] == ["c"])
    limit[0] = 2
    jobs["c"].end()
    jobs["d"].end()
    eventually(lambda: begun[2:] == ["c", "d"])
    schedule.close()


def test_a_closed_schedule_cancels_what_waits_and_takes_nothing(make):
    schedule, jobs = make(1, wanted="ab", ahead="c")
    schedule.close()
    assert [job.cancelled for job in jobs.values()] == [False, True, True]
    with pytest.raises(Interrupted):
        schedule.add(Job([], "d"), True)
