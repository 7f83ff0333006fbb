"""The limit of concurrent requests, how refusals change it, and the order of the queue."""

from __future__ import annotations

import threading

import pytest

from histfs.core.errors import Interrupted, RateLimited
from histfs.core.limiter import Limiter, prioritised
from histfs.core.supervision import supervised
from tests.support.clock import Clock
from tests.support.eventually import eventually

TIMEOUT = 10.0


@pytest.fixture
def clock():
    return Clock()


def take(limiter, number, audio=True):
    return [limiter.acquire(audio=audio, timeout=0) for _ in range(number)]


def release_all(limiter, slots, refused=0):
    """Release slots, the last `refused` ones of them after a refusal."""
    for slot in slots[len(slots) - refused :]:
        slot.refused()
    for slot in slots:
        limiter.release(slot, succeeded=not slot.was_refused)


def send_rounds(limiter, allowed, rounds):
    """Send as many requests as the limiter allows to a server that allows `allowed` at once.

    Returns:
        How many requests the server saw, for each round.
    """
    seen = []
    for _ in range(rounds):
        slots = take(limiter, limiter.allowed())
        seen.append(len(slots))
        release_all(limiter, slots, refused=max(0, len(slots) - allowed))
    return seen


@pytest.mark.parametrize("allowed", [1, 2, 3, 5, 7])
def test_the_number_that_the_server_allows_is_learnt_and_kept(clock, allowed):
    limiter = Limiter(8, clock)
    seen = send_rounds(limiter, allowed, 60)
    assert set(seen[20:]) == {allowed}
    assert sum(each > allowed for each in seen) <= 4


def test_a_learnt_limit_is_probed_after_a_minute_and_less_often_after_refusals(clock):
    limiter = Limiter(8, clock)
    send_rounds(limiter, 3, 30)
    probes = []
    for minute in range(1, 20):
        clock.now += 61
        if max(send_rounds(limiter, 3, 10)) > 3:
            probes.append(minute)
    assert probes[:4] == [1, 3, 7, 15]
    assert set(send_rounds(limiter, 3, 5)) == {3}


def test_a_server_that_allows_more_later_gets_more(clock):
    limiter = Limiter(4, clock)
    send_rounds(limiter, 2, 30)
    for _ in range(5):
        clock.now += 61
        send_rounds(limiter, 8, 10)
    assert limiter.allowed() == 4


def test_a_refused_probe_takes_the_limit_back_to_the_level_before(clock):
    limiter = Limiter(8, clock)
    release_all(limiter, take(limiter, 8), refused=6)
    release_all(limiter, take(limiter, 4), refused=2)
    assert send_rounds(limiter, 2, 3) == [2, 2, 2]
    downloads = take(limiter, 2)  # they end later
    release_all(limiter, take(limiter, 1), refused=1)
    assert limiter.allowed() == 2
    release_all(limiter, downloads)


def test_refusals_of_one_burst_count_once(clock):
    limiter = Limiter(8, clock)
    release_all(limiter, take(limiter, 8), refused=6)
    assert limiter.allowed() == 4


def test_a_refusal_at_a_sustained_level_lowers_the_limit_only_for_a_moment(clock):
    limiter = Limiter(8, clock)
    send_rounds(limiter, 4, 40)
    release_all(limiter, take(limiter, 4), refused=1)
    assert limiter.allowed() == 2
    assert send_rounds(limiter, 4, 10)[-1] == 4


def test_the_maximum_that_the_server_states_is_never_exceeded(clock):
    limiter = Limiter(8, clock)
    limiter.state_maximum(2)
    take(limiter, 2)
    for audio in (True, False):
        with pytest.raises(RateLimited):
            limiter.acquire(audio=audio, timeout=0)


def test_a_call_has_one_slot_more_than_downloads_until_the_server_has_refused(clock):
    limiter = Limiter(2, clock)
    slots = take(limiter, 2)
    (listing,) = take(limiter, 1, audio=False)
    with pytest.raises(RateLimited):
        limiter.acquire(audio=False, timeout=0)
    release_all(limiter, [listing], refused=1)
    with pytest.raises(RateLimited):
        limiter.acquire(audio=False, timeout=0)
    release_all(limiter, slots)


def test_background_work_does_not_get_the_spare_slot(clock):
    limiter = Limiter(2, clock)
    take(limiter, 2)
    with prioritised(lambda: False), pytest.raises(RateLimited):
        limiter.acquire(audio=False, timeout=0)


class Queue:
    """Requests that wait for slots in threads of their own, and release them at once."""

    def __init__(self, limiter):
        self.order = []
        self._limiter = limiter
        self._threads = []

    def add(self, name, audio=False, waited_for=True):
        def run():
            with (
                prioritised(lambda: waited_for),
                self._limiter.acquire(audio=audio, timeout=TIMEOUT),
            ):
                self.order.append(name)

        thread = threading.Thread(target=run)
        thread.start()
        self._threads.append(thread)
        eventually(lambda: len(self._limiter._queue) == len(self._threads))

    def join(self):
        for thread in self._threads:
            thread.join(TIMEOUT)


@pytest.fixture
def single():
    """Return a limiter with one slot, and the slot, which is taken."""
    limiter = Limiter(1)
    limiter.state_maximum(1)
    return limiter, limiter.acquire(audio=True, timeout=0)


def test_calls_go_first_then_audio_that_is_waited_for_and_no_request_starves(single):
    limiter, held = single
    queue = Queue(limiter)
    queue.add("scan", waited_for=False)
    queue.add("prefetch", audio=True, waited_for=False)
    queue.add("clip", audio=True)
    for name in ("list 1", "list 2", "list 3"):
        queue.add(name)
    limiter.release(held, succeeded=True)
    queue.join()
    # The fourth slot goes to the oldest request; the held one was the first.
    assert queue.order == ["list 1", "list 2", "scan", "list 3", "clip", "prefetch"]


def test_a_pause_that_the_server_asks_for_is_one_for_all_requests():
    limiter = Limiter(4)
    limiter.hold(0.2)
    with pytest.raises(RateLimited, match="asks for a pause"):
        limiter.acquire(audio=False, timeout=0.1)
    # The pause ends by itself.
    limiter.acquire(audio=False, timeout=TIMEOUT)


def test_a_closed_limiter_wakes_waiting_requests(single):
    limiter, _ = single
    ended = []

    def wait():
        try:
            limiter.acquire(audio=False, timeout=TIMEOUT)
        except Interrupted:
            ended.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    eventually(lambda: limiter._queue)
    limiter.close()
    thread.join(1)
    assert ended == [True]
    with pytest.raises(Interrupted):
        limiter.pause(TIMEOUT)


def test_a_request_that_waits_can_be_ended_by_its_supervisor(monkeypatch):
    monkeypatch.setattr("histfs.core.limiter.INTERVAL", 0.01)
    limiter = Limiter(1)
    reports = []

    def supervisor(received):
        reports.append(received)
        if len(reports) == 3:
            raise Interrupted("abandoned")

    with (
        limiter.acquire(audio=True, timeout=1),
        supervised(supervisor),
        pytest.raises(Interrupted, match="abandoned"),
    ):
        limiter.acquire(audio=True, timeout=60)
    with limiter.acquire(audio=True, timeout=1):
        pass
