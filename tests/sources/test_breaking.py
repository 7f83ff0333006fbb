"""A source whose server is gone: all of its requests fail at once, and one of them probes."""

from __future__ import annotations

import threading

import pytest

from histfs.core.errors import Missing, TimedOut, Unreachable
from histfs.core.limiter import Limiter
from histfs.core.server_breaker import PAUSES, ServerBreaker
from histfs.core.source import Query
from histfs.sources.request_policies import FailFastSource, RateLimitedSource, ReportingSource
from tests.support.clock import Clock
from tests.support.memory import MemorySource, record


class Stack:
    """A source in its wrappers, and the source in memory that they wrap."""

    def __init__(self, clock, breaker, limiter):
        self.inner = MemorySource([record("a", 5)])
        limited = RateLimitedSource(ReportingSource(self.inner, breaker), limiter, 5.0)
        self.source = FailFastSource(limited, breaker)

    def calls(self):
        """Return one call of each kind."""
        return {
            "list": lambda: self.source.list(Query()),
            "search": lambda: self.source.list(Query(words="a")),
            "get": lambda: self.source.get("a"),
            "audio": self.read,
            "delete": lambda: self.source.delete("a"),
        }

    def read(self):
        with self.source.audio("a") as stream:
            return b"".join(stream.chunks())


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stacks(clock):
    """Two sources of one server."""
    breaker, limiter = ServerBreaker(clock), Limiter(1)
    yield [Stack(clock, breaker, limiter) for _ in range(2)]
    limiter.close()


def test_what_fails_one_source_fails_all_kinds_of_requests_of_both_unsent(stacks):
    first, second = stacks
    first.inner.fail("list", Unreachable("down"))
    first.inner.fail("delete", Unreachable("down"))
    for kind in ("list", "delete"):
        with pytest.raises(Unreachable):
            first.calls()[kind]()
    for call in second.calls().values():
        with pytest.raises(Unreachable, match="down"):
            call()
    assert second.inner.calls == []


def test_one_answer_lets_all_requests_through(stacks, clock):
    first, second = stacks
    first.inner.fail("list", Unreachable("down"))
    with pytest.raises(Unreachable):
        first.source.list(Query())
    clock.now += PAUSES[0]
    with pytest.raises(Missing):
        second.source.get("no such item")
    assert first.read()
    first.source.delete("a")


def test_a_request_that_would_fail_waits_for_no_slot(stacks, clock):
    first, second = stacks
    with first.source.audio("a"):  # the only slot
        second.inner.fail("list", Unreachable("down"))
        failed = threading.Event()

        def list_it():
            with pytest.raises(Unreachable):
                second.source.list(Query())
            failed.set()

        # As a request from before, which has its slot.
        with pytest.raises(Unreachable):
            ReportingSource(second.inner, first.source._breaker).list(Query())
        thread = threading.Thread(target=list_it)
        thread.start()
        assert failed.wait(2)
        thread.join(10)


def test_a_body_that_stalls_is_told(stacks, clock, monkeypatch):
    first, second = stacks

    class Stalling:
        length = None
        throttled = False

        def chunks(self):
            yield b"ID3"
            clock.now += 5
            raise TimedOut("it stalls")

    class Opened:
        def __enter__(self):
            return Stalling()

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(first.inner, "audio", lambda item_id: Opened())
    with pytest.raises(TimedOut):
        first.read()
    # The failure may concern that clip alone: the next request shows whether it does.
    first.inner.fail("get", TimedOut("silent"))
    with pytest.raises(TimedOut):
        first.source.get("a")
    with pytest.raises(TimedOut):
        second.source.get("a")
    assert second.inner.calls == []
