"""When the folder of a source is hidden: not on one answer, and never after it was shown."""

from __future__ import annotations

import pytest

from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.circuit_breaker import CircuitBreaker
from histfs.catalog.span_reader import SpanReader
from histfs.core.errors import BadAnswer, Interrupted, NotOffered, ServerFailed
from histfs.core.server_breaker import ServerBreaker
from histfs.core.single_flight import SingleFlight
from histfs.core.times import ALWAYS
from histfs.core.waiting import Waiter
from histfs.mounting.source_probe import SourceProbe
from tests.support.clock import Clock
from tests.support.memory import Call, MemorySource, record

ABSENT = NotOffered("there are no conversations at this address: HTTP 404")


class World:
    """The contact of a mount, with its source and its catalog."""

    def __init__(self, directory, source):
        self.directory = directory
        self.source = source
        self.clock = Clock()
        self.slept = []
        self.flights = SingleFlight("list", 4)
        self.mount()

    def mount(self):
        self.store = CatalogStore(self.directory / "catalog.sqlite", self.clock)
        breaker = CircuitBreaker(self.clock, ServerBreaker(self.clock))
        reader = SpanReader(self.source, self.store, breaker, self.clock)
        self.probe = SourceProbe(reader, self.flights, self.clock, self.sleep)

    def remount(self):
        self.store.close()
        self.mount()

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.clock.now += seconds

    def shown(self):
        return self.probe.is_available(Waiter(5))

    def answers(self, *errors):
        """Let the next lists fail; None is for one that doesn't. After the last one all work."""
        real, left = MemorySource.list, list(errors)

        def listed(query):
            error = left.pop(0) if left else None
            if error is not None:
                self.source.calls.append(Call("list", query))
                raise error
            return real(self.source, query)

        self.source.list = listed


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path, MemorySource([record("a", 1_714_650_306)]))
    yield world
    world.flights.close()
    world.store.close()


def test_one_answer_that_there_is_no_such_list_hides_nothing(world):
    world.answers(ABSENT)
    assert world.shown()
    assert world.slept == [pytest.approx(2)]


def test_a_server_that_says_so_twice_has_none_and_is_asked_again_later(world):
    world.answers(ABSENT, ABSENT)
    assert not world.shown()
    asked = len(world.source.calls)
    world.clock.now += 29
    assert not world.shown()
    assert len(world.source.calls) == asked
    world.clock.now += 2
    assert world.shown()
    world.answers(*[ABSENT] * 9)
    assert world.shown()


def test_what_is_hidden_stays_so_while_the_server_fails_otherwise(world):
    world.answers(ABSENT, ABSENT, ServerFailed("502"), ABSENT)
    assert not world.shown()
    for _ in range(2):
        world.clock.now += 31
        assert not world.shown()


def test_the_next_mount_does_not_wait_to_hide_what_the_server_never_had(world):
    world.answers(*[ABSENT] * 3)
    assert not world.shown()
    world.remount()
    world.slept.clear()
    assert not world.shown()
    assert world.slept == []


@pytest.mark.parametrize("first", [None, ServerFailed("502")], ids=["listed", "failed"])
def test_what_was_shown_once_is_shown_for_good(world, first):
    world.answers(first, *[ABSENT] * 20)
    assert world.shown()
    assert world.shown()
    world.remount()
    assert world.shown()
    world.store.invalidate(ALWAYS)
    world.remount()
    assert world.shown()


def test_a_list_that_was_had_before_can_not_be_said_to_be_absent(world):
    world.probe.require()
    world.remount()
    world.store.invalidate(ALWAYS)
    world.answers(*[ABSENT] * 3)
    with pytest.raises(BadAnswer, match="had this list before"):
        world.probe.require()
    with pytest.raises(BadAnswer):
        world.probe.check(Waiter(5))
    assert world.shown()


def test_who_is_interrupted_decides_nothing(world):
    with world.source.held("list"):
        with pytest.raises(Interrupted):
            world.probe.is_available(Waiter(5, interrupted=lambda: True))
        assert not world.store.notes.folder_shown
