"""Downloads that readers wait for read first, while that is no slower for all of them together."""

from __future__ import annotations

import threading

import pytest

from histfs.audio import link_share
from histfs.audio.link_share import LinkShare, _Rates
from tests.support.eventually import eventually


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def receive(flow):
    """Let a download receive in a thread of its own; return the thread and what it says."""
    said = []
    thread = threading.Thread(target=lambda: said.append(flow.received(20_000)), daemon=True)
    thread.start()
    return thread, said


def test_one_that_nobody_waits_for_stops_while_bytes_come_for_a_reader_and_goes_on(clock):
    share, waits = LinkShare(lambda: 0, clock), [True]
    with share.flow(lambda: waits[0]) as wanted, share.flow(lambda: False) as ahead:
        wanted.received(1000)
        assert not ahead.received(1000), "the one that is waited for has only begun"
        clock.now += 0.2
        assert not wanted.received(1000)
        thread, said = receive(ahead)
        eventually(lambda: ahead.stopped)
        waits[0] = False
        clock.now += 0.3
        share.waiters_changed()
        thread.join(10)
        assert said == [True]


def test_a_reader_that_begins_to_wait_for_a_stopped_one_sets_it_going(clock):
    share, waits = LinkShare(lambda: 0, clock), [False]
    with share.flow(lambda: True) as wanted, share.flow(lambda: waits[0]) as ahead:
        wanted.received(1000)
        clock.now += 0.2
        wanted.received(1000)
        thread, said = receive(ahead)
        eventually(lambda: ahead.stopped)
        waits[0] = True
        share.waiters_changed()
        thread.join(10)
        assert said == [True]


@pytest.mark.parametrize("silent", [False, True])
def test_none_stops_for_one_whose_bytes_do_not_come(clock, silent):
    share = LinkShare(lambda: 0, clock)
    with share.flow(lambda: True) as wanted, share.flow(lambda: False) as ahead:
        if silent:
            wanted.received(1000)
            clock.now += 0.2
            wanted.received(1000)
            clock.now += 1.1
        assert not ahead.received(1000)


def test_the_oldest_goes_first_while_a_demanded_one_has_no_slot(clock):
    blocked = [0]
    share = LinkShare(lambda: blocked[0], clock)
    with share.flow(lambda: False) as oldest, share.flow(lambda: False) as other:
        oldest.received(1000)
        clock.now += 0.2
        oldest.received(1000)
        assert not other.received(1000), "nobody waits"
        blocked[0] = 1
        thread, said = receive(other)
        eventually(lambda: other.stopped)
        assert not oldest.received(1000)
        blocked[0] = 0
        share.waiters_changed()
        thread.join(10)
        assert said == [True]


@pytest.mark.parametrize("fast", [False, True])
def test_on_a_slow_link_the_others_stop_from_the_request_for_a_clip_that_a_reader_wants(
    clock, fast
):
    share = LinkShare(lambda: 0, clock)
    with share.flow(lambda: False) as ahead:
        for _ in range(5):
            clock.now += 0.2
            ahead.received(2_000_000 if fast else 20_000)
        with share.flow(lambda: True):
            thread, said = receive(ahead)
            if not fast:
                eventually(lambda: ahead.stopped)
                clock.now += link_share._BEFORE_ANSWER + 0.1
            thread.join(10)
            assert said == [not fast], "not for longer than it may take until the answer begins"


def test_on_a_slow_link_those_that_nobody_waits_for_go_one_after_another(clock):
    share = LinkShare(lambda: 0, clock)
    with share.flow(lambda: False) as oldest, share.flow(lambda: False) as other:
        for _ in range(4):
            assert not oldest.received(20_000)
            assert not other.received(20_000), "they may be short"
            clock.now += 0.3
        thread, said = receive(other)
        eventually(lambda: other.stopped)
        assert not oldest.received(20_000)
        clock.now += link_share._SILENT + 0.1
        thread.join(10)
        assert said == [True], "the oldest one's server has stalled"


def test_one_that_drips_stops_for_none_so_that_it_is_found_to_be_slow(clock):
    share = LinkShare(lambda: 0, clock)
    with share.flow(lambda: False) as oldest, share.flow(lambda: False) as drips:
        for _ in range(40):
            oldest.received(20_000)
            assert not drips.received(100)
            clock.now += 0.3
    began = clock.now
    with share.flow(lambda: False) as drips, share.flow(lambda: False) as other:
        for _ in range(40):
            clock.now += 0.3
            drips.received(100)
            if clock.now - began > link_share._SILENT:
                assert not other.received(20_000), "the older one takes no part of the link"


def test_one_whose_reader_has_just_left_goes_after_one_that_is_waited_for_now(clock):
    share, waits = LinkShare(lambda: 0, clock), [True]
    with share.flow(lambda: waits[0]) as left, share.flow(lambda: True) as wanted:
        for flow in (left, wanted):
            flow.received(20_000)
        clock.now += 0.2
        assert not left.received(20_000)
        waits[0] = False
        thread, said = receive(left)
        eventually(lambda: left.stopped)
        waits[0] = True
        share.waiters_changed()
        thread.join(10)
        assert said == [True]


def test_a_stopped_one_takes_something_before_its_server_loses_patience(clock):
    share = LinkShare(lambda: 0, clock)
    with share.flow(lambda: True) as wanted, share.flow(lambda: False) as ahead:
        wanted.received(1000)
        clock.now += 0.2
        wanted.received(1000)
        thread, said = receive(ahead)
        eventually(lambda: ahead.stopped)
        clock.now += link_share._KEEP_ALIVE
        thread.join(10)
        assert said == [True]


def test_after_a_while_of_stopping_all_go_on_and_more_may_start(clock):
    freed = []
    share = LinkShare(lambda: 0, clock, lambda: freed.append(clock.now))
    with share.flow(lambda: True) as wanted, share.flow(lambda: False) as ahead:
        wanted.received(1000)
        clock.now += 0.2
        wanted.received(1000)
        thread, said = receive(ahead)
        eventually(lambda: ahead.stopped)
        while not freed:
            clock.now += 0.1
            wanted.received(1000)
        thread.join(10)
        assert said == [True]
    assert freed == [pytest.approx(100.2 + link_share._STOPPING_TIME, abs=0.5)]


@pytest.mark.parametrize(("free", "stopping"), [(500_000, True), (4_000_000, False)])
def test_they_stop_where_the_link_is_shared_and_not_where_each_answer_is_slow(free, stopping):
    """With stopping 500 kB/s come in either case."""
    rates, now = _Rates(0.0), 0.0
    while rates.stopping:
        now += 0.1
        rates.note(now, 50_000, stopped=True, several=True)
    assert now == pytest.approx(link_share._STOPPING_TIME, abs=0.5), "then the other way"
    for _ in range(18):
        now += 0.1
        rates.note(now, free // 10, stopped=False, several=True)
    assert rates.stopping is stopping
    rates.note(now + link_share._VALID + 1, 0, stopped=False, several=False)
    assert rates.stopping, "and after a while all is measured anew"
