from __future__ import annotations

from collections.abc import Iterator

import pytest

from histfs.catalog.catalog import Catalog
from histfs.core.errors import NoSuchPath, Unreachable
from histfs.core.index import Index
from histfs.core.times import ALWAYS, Span
from histfs.core.waiting import Waiter
from tests.support.memory import MemorySource, record
from tests.support.world import World, world_at


@pytest.fixture
def world(path) -> Iterator[World]:
    source = MemorySource([record("a", 1, "one"), record("b", 2, None, voice="adam")])
    with world_at(path, source) as world:
        yield world


@pytest.fixture
def catalog(world) -> Index:
    return Catalog(world.store, world.refresher, world.source.describe)


def keys(listed) -> list[str]:
    return [each.key for each in listed]


def test_nothing_is_complete_until_it_was_asked_for(catalog):
    assert not catalog.complete(Span(0, 5))
    assert not catalog.knows_newest(Span(0, 5))
    catalog.ensure(Span(0, 5), Waiter(5))
    assert catalog.complete(Span(0, 5))
    assert catalog.knows_newest(Span(2, 5))
    assert not catalog.complete(ALWAYS)


def test_the_newest_items_are_known_before_the_whole_is(catalog, world):
    world.source.page_size = 1
    spans = [Span(start, start + 3) for start in range(0, 900, 3)]
    catalog.ensure_newest(spans, Waiter(5))
    assert [catalog.knows_newest(span) for span in spans] == [True] * len(spans)
    assert catalog.newest(spans[0]) == 2
    assert not catalog.complete(spans[0])


def test_what_was_asked_for_is_answered_without_the_source(catalog, world):
    catalog.ensure(ALWAYS, Waiter(5))
    asked = world.source.count("list")
    world.source.fail("list", Unreachable("down"))
    catalog.ensure(Span(0, 2), Waiter(5))
    assert keys(catalog.between(ALWAYS)) == ["a", "b"]
    assert catalog.newest(Span(0, 2)) == 1
    a, b = catalog.find("a", 1), catalog.find("b", 2)
    assert (a.slug, b.date) == ("one", 2)
    assert keys(catalog.having("voice", "adam")) == ["b"]
    assert [value.value for value in catalog.facet_values("voice")] == ["rachel-id", "adam"]
    assert [voice.label for voice in catalog.facets(a)["voice"]] == ["Rachel"]
    assert catalog.details(a).text == "one"
    assert catalog.details(b).text is None
    assert world.source.count("list") == asked


def test_a_deleted_item_is_forgotten(catalog):
    catalog.ensure(ALWAYS, Waiter(5))
    a, version = catalog.find("a", 1), catalog.version
    assert catalog.newest(Span(0, 2)) == 1
    catalog.forget(a)
    assert catalog.version != version
    assert not catalog.unchanged(Span(0, 5), version)
    assert catalog.unchanged(Span(2, 5), version)
    assert catalog.find("a", 1) is None
    assert catalog.newest(Span(0, 2)) is None
    assert keys(catalog.between(ALWAYS)) == ["b"]
    assert catalog.complete(ALWAYS)


def test_an_item_that_is_doubted_stays_and_its_time_is_asked_for_again(catalog, world):
    catalog.ensure(ALWAYS, Waiter(5))
    a, version = catalog.find("a", 1), catalog.version
    catalog.invalidate(a)
    assert not catalog.unchanged(Span(0, 5), version)
    assert catalog.find("a", 1) == a
    assert not catalog.complete(Span(0, 5))
    assert catalog.complete(Span(2, 5))
    world.source.fail("list", Unreachable("no"))
    with pytest.raises(Unreachable):
        catalog.ensure(Span(0, 5), Waiter(5))
    world.source.recover()
    world.source.discard("a")
    world.later()
    catalog.ensure(Span(0, 5), Waiter(5))
    assert catalog.find("a", 1) is None
    version = catalog.version
    catalog.invalidate(a)
    catalog.invalidate(a)
    assert catalog.version == version + 1


def test_the_details_of_deleted_items_can_be_had_for_a_while(catalog, world):
    world.source.add(*(record(f"more{n}", 10 + n, f"text {n}") for n in range(100)))
    catalog.ensure(ALWAYS, Waiter(5))
    items = [catalog.find(listed.key, listed.date) for listed in catalog.between(ALWAYS)]
    before = [catalog.details(item) for item in items]
    for item in items:
        catalog.forget(item)
    assert [catalog.details(item) for item in items] == before


def test_the_details_of_what_was_deleted_elsewhere_are_gone(catalog, world):
    catalog.ensure(ALWAYS, Waiter(5))
    a = catalog.find("a", 1)
    world.store.forget("a", 1)
    catalog.forget(a)
    with pytest.raises(NoSuchPath):
        catalog.details(a)


def test_an_extension_is_known_as_soon_as_it_was_learnt(catalog):
    catalog.ensure(ALWAYS, Waiter(5))
    assert catalog.find("a", 1).extension is None
    catalog.set_extension("a", "opus")
    assert catalog.find("a", 1).extension == "opus"
