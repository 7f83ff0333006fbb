"""The early trial: whether downloads bring more together than one alone."""

from __future__ import annotations

import threading

import pytest

from histfs.audio import link_trial
from histfs.audio.link_share import LinkShare
from histfs.audio.link_trial import EarlyTrial
from tests.support.clock import Clock

#: Bytes a second of one alone, and seconds between two pieces.
RATE, STEP = 500_000, 0.05


class Run:
    """Feeds a trial with downloads of given rates."""

    def __init__(self) -> None:
        self.trial = EarlyTrial()
        self.now = 0.0
        self.ran = 0.0

    def go(self, seconds, rate, flowing, *, stopped=False, fair=True):
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            self.ran += STEP * self.trial.is_running
            size = round(rate * STEP)
            self.trial.note(self.now, size, flowing, stopped=stopped, fair=fair)


@pytest.mark.parametrize("flowing", [2, 3, 8])
def test_answers_that_are_limited_each_are_found_within_a_second_of_several(flowing):
    run = Run()
    run.go(1.0, RATE, 1)
    run.go(link_trial._SETTLING + link_trial._MEASURED + 3 * STEP, flowing * RATE, flowing)
    assert run.trial.brings_more
    assert run.trial.is_over
    assert not run.trial.is_running


@pytest.mark.parametrize(("gain", "seconds"), [(0.9, 0.65), (1.25, link_trial._BUDGET + STEP)])
def test_on_a_shared_link_trials_find_nothing_and_end_at_once_where_that_is_clear(gain, seconds):
    run = Run()
    run.go(1.0, RATE, 1)
    for _ in range(60):
        run.go(0.5, gain * RATE, 3, stopped=not run.trial.is_running)
    assert not run.trial.brings_more
    assert run.trial.is_over
    assert 0 < run.ran <= seconds


def test_what_the_kernel_had_received_of_stopped_ones_counts_for_nothing():
    run = Run()
    run.go(1.0, RATE, 1)
    run.go(STEP, RATE, 1, stopped=True)
    assert run.trial.is_running
    run.go(link_trial._SETTLING, 5 * RATE, 3)
    run.go(link_trial._MEASURED + 2 * STEP, 1.25 * RATE, 3)
    assert not run.trial.is_running
    assert not run.trial.brings_more


def test_there_is_no_trial_before_one_alone_is_known_nor_where_a_reader_has_left_one():
    run = Run()
    run.go(3.0, 3 * RATE, 3)
    run.go(1.0, RATE, 1)
    run.go(3.0, 3 * RATE, 3, fair=False)
    assert run.ran == 0
    assert not run.trial.is_over


def drive(clock, rate_of, seconds, share, flows):
    """Let downloads come, each in a thread of its own that may have to stop; return who stopped."""
    stopped = set()
    running: dict[object, threading.Thread] = {}
    for _ in range(round(seconds / STEP)):
        clock.now += STEP
        for flow in flows:
            thread = running.get(flow)
            if thread is not None and thread.is_alive():
                thread.join(0.02)
            if thread is not None and thread.is_alive():
                stopped.add(flow)
                continue
            size = round(rate_of(len(flows)) * STEP)
            thread = running[flow] = threading.Thread(target=flow.received, args=(size,))
            thread.start()
            thread.join(0.02)
    clock.now += 100
    share.waiters_changed()
    for thread in running.values():
        thread.join(10)
    return stopped


def test_a_backup_from_a_server_that_limits_each_answer_soon_stops_none():
    clock, freed = Clock(), []
    share = LinkShare(lambda: 0, clock, lambda: freed.append(clock.now))
    with share.flow(lambda: True) as first:
        drive_alone(clock, first)
    with share.flow(lambda: True) as wanted, share.flow(lambda: False) as ahead:
        began = clock.now
        assert not drive(clock, lambda _: RATE, 1.6, share, [wanted, ahead])
    assert freed
    assert freed[0] - began < 1.5
    assert not share.is_shared


def test_a_reader_that_skips_gets_the_link_without_a_trial():
    clock, waits = Clock(), [True]
    share = LinkShare(lambda: 0, clock, lambda: pytest.fail("it shares the link"))
    with share.flow(lambda: waits[0]) as left:
        drive_alone(clock, left)
        waits[0] = False
        clock.now += 0.3
        with share.flow(lambda: True) as wanted:
            assert drive(clock, lambda _: RATE, 0.5, share, [wanted, left]) == {left}


def drive_alone(clock, flow):
    for _ in range(20):
        clock.now += STEP
        assert not flow.received(round(RATE * STEP))
