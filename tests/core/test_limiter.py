"""How many requests are under way at once, what a refusal teaches, and who goes first."""

from __future__ import annotations

import threading

import pytest

from histfs.core.errors import Interrupted, RateLimited
from histfs.core.limiter import Attempts, Limiter, prioritised
from histfs.core.supervision import supervised
from tests.support.clock import Clock
from tests.support.patience import eventually

PATIENCE = 10.0


@pytest.fixture
def clock():
    return Clock()


def take(limiter, number, audio=True):
    return [limiter.acquire(audio=audio, patience=0) for _ in range(number)]


def give_back(limiter, slots, refused=0):
    """End requests, the last ones of them with a refusal."""
    for slot in slots[len(slots) - refused :]:
        slot.refused()
    for slot in slots:
        limiter.release(slot, succeeded=not slot.was_refused)


def serve(limiter, allowed, rounds):
    """Send as many requests as may be, to a server that allows so many; return how many it saw."""
    seen = []
    for _ in range(rounds):
        slots = take(limiter, limiter.allowed)
        seen.append(len(slots))
        give_back(limiter, slots, refused=max(0, len(slots) - allowed))
    return seen


@pytest.mark.parametrize("allowed", [1, 2, 3, 5, 7])
def test_the_number_that_the_server_allows_is_learnt_and_kept(clock, allowed):
    limiter = Limiter(8, clock)
    seen = serve(limiter, allowed, 60)
    assert set(seen[20:]) == {allowed}
    assert sum(each > allowed for each in seen) <= 4


def test_a_limit_that_was_learnt_is_tried_again_after_a_minute_and_less_often_then(clock):
    limiter = Limiter(8, clock)
    serve(limiter, 3, 30)
    tries = []
    for minute in range(1, 20):
        clock.now += 61
        if max(serve(limiter, 3, 10)) > 3:
            tries.append(minute)
    assert tries[:4] == [1, 3, 7, 15]
    assert set(serve(limiter, 3, 5)) == {3}


def test_a_server_that_allows_more_later_gets_more(clock):
    limiter = Limiter(4, clock)
    serve(limiter, 2, 30)
    for _ in range(5):
        clock.now += 61
        serve(limiter, 8, 10)
    assert limiter.allowed == 4


def test_a_refused_probe_takes_the_limit_back_to_the_level_before(clock):
    limiter = Limiter(8, clock)
    give_back(limiter, take(limiter, 8), refused=6)
    give_back(limiter, take(limiter, 4), refused=2)
    assert serve(limiter, 2, 3) == [2, 2, 2]
    long = take(limiter, 2)  # such as downloads, from whose end nothing is learnt for a while
    give_back(limiter, take(limiter, 1), refused=1)
    assert limiter.allowed == 2
    give_back(limiter, long)


def test_refusals_of_one_burst_count_once(clock):
    limiter = Limiter(8, clock)
    give_back(limiter, take(limiter, 8), refused=6)
    assert limiter.allowed == 4


def test_a_refusal_at_a_level_that_went_well_for_long_costs_it_only_for_a_moment(clock):
    limiter = Limiter(8, clock)
    serve(limiter, 4, 40)
    give_back(limiter, take(limiter, 4), refused=1)
    assert limiter.allowed == 2
    assert serve(limiter, 4, 10)[-1] == 4


def test_what_the_server_says_it_allows_is_never_passed(clock):
    limiter = Limiter(8, clock)
    limiter.state_maximum(2)
    take(limiter, 2)
    for audio in (True, False):
        with pytest.raises(RateLimited):
            limiter.acquire(audio=audio, patience=0)


def test_a_call_has_one_slot_more_than_downloads_until_the_server_has_refused(clock):
    limiter = Limiter(2, clock)
    slots = take(limiter, 2)
    (listing,) = take(limiter, 1, audio=False)
    with pytest.raises(RateLimited):
        limiter.acquire(audio=False, patience=0)
    give_back(limiter, [listing], refused=1)
    with pytest.raises(RateLimited):
        limiter.acquire(audio=False, patience=0)
    give_back(limiter, slots)


def test_work_that_nobody_waits_for_does_not_get_the_slot_of_a_call(clock):
    limiter = Limiter(2, clock)
    take(limiter, 2)
    with prioritised(lambda: False), pytest.raises(RateLimited):
        limiter.acquire(audio=False, patience=0)


class Queue:
    """Requests that wait for slots in threads of their own, which give them back at once."""

    def __init__(self, limiter):
        self.order = []
        self._limiter = limiter
        self._threads = []

    def add(self, name, audio=False, waited_for=True):
        def run():
            with (
                prioritised(lambda: waited_for),
                self._limiter.acquire(audio=audio, patience=PATIENCE),
            ):
                self.order.append(name)

        thread = threading.Thread(target=run)
        thread.start()
        self._threads.append(thread)
        eventually(lambda: len(self._limiter._waiting) == len(self._threads))

    def join(self):
        for thread in self._threads:
            thread.join(PATIENCE)


@pytest.fixture
def single():
    """A limiter with one slot, which is taken; and the slot."""
    limiter = Limiter(1)
    limiter.state_maximum(1)
    return limiter, limiter.acquire(audio=True, patience=0)


def test_calls_go_first_then_audio_that_is_waited_for_and_nothing_starves(single):
    limiter, held = single
    queue = Queue(limiter)
    queue.add("scan", waited_for=False)
    queue.add("ahead", audio=True, waited_for=False)
    queue.add("clip", audio=True)
    for name in ("list 1", "list 2", "list 3"):
        queue.add(name)
    limiter.release(held, succeeded=True)
    queue.join()
    # The fourth slot goes to the oldest; the one that was held was the first.
    assert queue.order == ["list 1", "list 2", "scan", "list 3", "clip", "ahead"]


def test_a_pause_that_the_server_asks_for_is_one_for_all_requests():
    limiter = Limiter(4)
    limiter.hold(0.2)
    with pytest.raises(RateLimited, match="asks for a pause"):
        limiter.acquire(audio=False, patience=0.1)
    # It goes on by itself.
    limiter.acquire(audio=False, patience=PATIENCE)


def test_a_closed_limiter_wakes_those_that_wait(single):
    limiter, _ = single
    ended = []

    def wait():
        try:
            limiter.acquire(audio=False, patience=PATIENCE)
        except Interrupted:
            ended.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    eventually(lambda: limiter._waiting)
    limiter.close()
    thread.join(1)
    assert ended == [True]
    with pytest.raises(Interrupted):
        limiter.pause(PATIENCE)


def test_a_refused_request_is_tried_again_for_half_of_its_patience(clock, monkeypatch):
    limiter = Limiter(2, clock)
    paused = []

    def pause(seconds):
        paused.append(seconds)
        clock.now += seconds

    monkeypatch.setattr(limiter, "pause", pause)
    attempts = Attempts(limiter, audio=False, patience=20, clock=clock)
    with pytest.raises(RateLimited, match="no"):
        while True:
            attempts.pause(RateLimited("no"))
    assert 3 < sum(paused) < 10
    assert len(paused) < 12
    with pytest.raises(RateLimited, match="an hour"):
        Attempts(limiter, audio=False, patience=20, clock=clock).pause(RateLimited("an hour", 3600))
    # That one is not waited for, so no other request is held back.
    take(limiter, 1)


def test_a_request_that_waits_can_be_ended_by_its_supervisor(monkeypatch):
    monkeypatch.setattr("histfs.core.limiter.INTERVAL", 0.01)
    limiter = Limiter(1)
    reports = []

    def supervisor(received):
        reports.append(received)
        if len(reports) == 3:
            raise Interrupted("nobody waits any more")

    with (
        limiter.acquire(audio=True, patience=1),
        supervised(supervisor),
        pytest.raises(Interrupted, match="nobody"),
    ):
        limiter.acquire(audio=True, patience=60)
    with limiter.acquire(audio=True, patience=1):
        pass
