"""What the server said a moment ago it doesn't have is not asked for again at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from histfs.audio import negative_cache
from histfs.audio.negative_cache import SECONDS, NegativeCache
from histfs.core.errors import (
    BadAnswer,
    HistfsError,
    Missing,
    NoAttachment,
    NoAudio,
    NotReady,
    ServerFailed,
    Unreachable,
)
from histfs.core.waiting import Waiter
from tests.support.clock import Clock
from tests.support.eventually import eventually


def fails(world, item) -> HistfsError:
    with pytest.raises(HistfsError) as raised:
        world.read(item)
    eventually(lambda: not world.store.fetching)
    return raised.value


@pytest.fixture
def clock(world) -> Clock:
    clock = Clock()
    world.store._refusals = NegativeCache(clock)
    return clock


@pytest.mark.parametrize("error", [Missing("404"), NoAudio("none"), NotReady("soon")])
def test_a_missing_clip_costs_one_request_however_often_it_is_opened(world, clock, error):
    item = world.item()
    world.source.fail("audio", error)
    told = [fails(world, item) for _ in range(50)]
    assert {repr(each) for each in told} == {repr(error)}
    assert world.fetched == 1
    assert world.source.count("get") <= 1
    clock.now += SECONDS + 1
    world.source.recover()
    assert world.read(item)
    assert world.fetched == 2


@pytest.mark.parametrize("error", [Unreachable("no"), ServerFailed("500"), BadAnswer("HTML")])
def test_what_may_be_gone_with_the_next_request_is_asked_for_again(world, clock, error):
    item = world.item()
    world.source.fail("audio", error)
    fails(world, item)
    before = world.fetched
    world.source.recover()
    assert world.read(item)
    assert world.fetched > before


def test_a_changed_item_and_others_are_asked_for(world, clock):
    item = world.item()
    world.source.fail("audio", Missing("404"))
    fails(world, item)
    world.source.recover()
    assert world.read(world.item("b"))
    assert world.read(replace(item, revision=item.revision + 1))


def test_before_an_item_is_deleted_its_clip_is_asked_for_in_any_case(world, clock):
    item = world.item()
    world.source.fail("audio", Missing("404"))
    fails(world, item)
    world.source.recover()
    world.store.ensure_verified(item, Waiter(5))
    assert world.kept() == {"a"}
    assert world.read(item)


def test_nothing_that_is_missing_is_fetched_ahead(make_world):
    world = make_world(ahead=2)
    items = [world.item(f"item{n}", date=n) for n in range(3)]
    world.source.fail("audio", Missing("404"))
    for item in items:
        fails(world, item)
    before = world.fetched
    for item in items * 3:
        fails(world, item)
    assert world.fetched == before


def test_the_memory_of_missing_clips_has_a_bound(monkeypatch, world):
    monkeypatch.setattr(negative_cache, "_ENTRIES", 5)
    item = world.item()
    memory = NegativeCache(Clock())
    for n in range(50):
        memory.note(replace(item, key=f"item{n}"), NoAttachment("gone"))
    assert len(memory._refused) == 5
    assert memory.include(replace(item, key="item49"))
