"""Which downloads run, and when."""

from __future__ import annotations

import threading
import time

import pytest

from histfs.audio.download_scheduler import DownloadScheduler
from histfs.core.errors import Interrupted
from tests.support.eventually import eventually

TIMEOUT = 10.0


class Job:
    """A download that stands still until it is let go."""

    def __init__(self, begun: list[str], name: str) -> None:
        self.name = name
        self.cancelled = False
        self.awaited = True
        self._stopped = False
        self._begun = begun
        self._go = threading.Event()

    def __repr__(self) -> str:
        return self.name

    def run(self) -> bool:
        self._begun.append(self.name)
        assert self._go.wait(TIMEOUT)
        self._go.clear()
        ended, self._stopped = not self._stopped, False
        return ended

    def stop(self) -> None:
        """Make way for another one, as `DownloadScheduler.may_stop` allows."""
        self._stopped = True
        self._go.set()

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

    def make(connections, wanted="", ahead="", clock=time.monotonic):
        schedule = DownloadScheduler(lambda: connections, clock)
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


def test_what_has_come_needs_no_slot_while_the_disk_keeps_it(make, begun):
    schedule, jobs = make(2, wanted="abcdefg")
    schedule.received(jobs[begun[0]])
    eventually(lambda: len(begun) == 3)
    schedule.received(jobs[begun[1]])
    # No more than two wait for the disk, and two run then.
    eventually(lambda: len(begun) == 3)
    time.sleep(0.05)
    assert len(begun) == 3
    jobs[begun[0]].end()
    eventually(lambda: len(begun) == 4)
    jobs[begun[1]].end()
    time.sleep(0.05)
    assert len(begun) == 4


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


def test_a_download_that_runs_is_left_to_its_end(make, begun):
    schedule, jobs = make(2, ahead="ab")
    jobs["c"] = Job(begun, "c")
    schedule.add(jobs["c"], True)
    assert schedule.blocked() == 1
    time.sleep(0.05)
    assert begun == ["a", "b"]
    jobs["a"].end()
    eventually(lambda: begun[2:] == ["c"])
    assert schedule.blocked() == 0


def test_one_that_stands_still_stops_for_each_demanded_one_and_is_the_next_to_run(make, begun):
    schedule, jobs = make(2, ahead="abxy")
    assert not schedule.may_stop(jobs["a"]), "nothing waits for its slot"
    jobs["c"] = Job(begun, "c")
    schedule.add(jobs["c"], True)
    assert schedule.may_stop(jobs["a"])
    assert not schedule.may_stop(jobs["b"]), "one makes way for one"
    assert begun == ["a", "b"], "it counts until it has ended"
    jobs["a"].awaited = False
    jobs["a"].stop()
    eventually(lambda: begun[2:] == ["c"])
    jobs["c"].end()
    eventually(lambda: begun[3:] == ["a"])


def test_nothing_stops_for_one_that_its_reader_has_left(make, begun):
    schedule, jobs = make(1, ahead="a")
    jobs["b"] = Job(begun, "b")
    jobs["b"].awaited = False
    schedule.add(jobs["b"], True)
    assert not schedule.may_stop(jobs["a"])


@pytest.mark.parametrize(("seconds", "then"), [(1.0, ["c"]), (5.0, [])])
def test_while_downloads_take_long_prefetches_leave_a_slot_to_the_next_reader(
    make, begun, seconds, then
):
    now = [0.0]
    schedule, jobs = make(3, clock=lambda: now[0])
    for name in "abcd":
        jobs[name] = Job(begun, name)
        jobs[name].awaited = False
        schedule.add(jobs[name], name == "d")
    eventually(lambda: sorted(begun) == ["a", "b", "d"])
    now[0] += seconds
    jobs["a"].end()
    time.sleep(0.1)
    assert begun[3:] == then
    jobs["b"].end()
    eventually(lambda: begun[3:] == ["c"])


@pytest.mark.parametrize("by_end", [True, False])
def test_until_the_link_has_shown_its_speed_few_run_that_no_reader_waits_for(make, begun, by_end):
    schedule, jobs = make(8)
    for name in "abcdef":
        jobs[name] = Job(begun, name)
        jobs[name].awaited = False
        schedule.add(jobs[name], on_demand=name == "a")
    eventually(lambda: begun == ["a", "b"])
    time.sleep(0.1)
    assert begun == ["a", "b"], "a skipped clip counts, too"
    if by_end:
        jobs["a"].end()
    else:
        schedule.link._rates.stopping = False
        schedule.link._on_free()
    eventually(lambda: begun == [*"abcdef"])


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
