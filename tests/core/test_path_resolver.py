"""The cache of the path resolver; `test_tree` tests which node a path has."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from histfs.core import path_resolver
from histfs.core.deletion import TOMBSTONE_TTL, Deletions
from histfs.core.errors import NoSuchPath
from histfs.core.names import item_name
from histfs.core.path_nodes import ItemDirectory
from histfs.core.path_resolver import PathResolver
from histfs.core.single_flight import SingleFlight
from histfs.core.times import Zone
from histfs.core.views import ByDate, ByVoice
from histfs.core.waiting import Waiter
from tests.core.fakes import FakeArchive, TableIndex
from tests.support.clock import Clock
from tests.support.memory import MemorySource, record

HELLO = 1_714_650_306
NAME = "2024-05-02T11-45-06_hello-world_hello"
HOME = f"/by-date/2024/05/02/{NAME}"
LINK = f"/by-voice/Rachel/{NAME}"
#: Longer than the TTL of a directory's node.
A_WHILE = 3


class CountedByDate(ByDate):
    """The view by date, which counts how often items and directories were resolved."""

    resolved = 0

    def holds(self, *asked):
        self.resolved += 1
        return super().holds(*asked)

    def newest(self, *asked):
        self.resolved += 1
        return super().newest(*asked)


@dataclass
class World:
    """A resolver with its index and its deletions in memory."""

    flights: SingleFlight
    index: TableIndex = field(default_factory=lambda: TableIndex([record("hello", HELLO)]))
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        zone = Zone("UTC")
        self.view = CountedByDate(zone)
        self.deletions = Deletions(
            MemorySource(self.index.rows.values()), self.index, FakeArchive(), self.flights,
            self.clock,
        )  # fmt: skip
        self.resolver = PathResolver(
            index=self.index,
            deletions=self.deletions,
            views=[self.view, ByVoice(zone)],
            files=[],
            zone=zone,
            links=True,
            clock=self.clock,
        )

    def item(self, path: str = HOME):
        node = self.resolver.resolve(path, Waiter(5))
        assert isinstance(node, ItemDirectory)
        return node.item


@pytest.fixture
def world():
    flights = SingleFlight("delete", 1)
    yield World(flights)
    flights.close()


def test_an_item_that_has_not_changed_is_resolved_once(world):
    world.item()
    world.index.add(record("far", 5))
    world.clock.now += A_WHILE
    assert world.item() == world.item()
    assert world.view.resolved == 1


def test_a_directory_is_resolved_again_as_it_may_depend_on_more_than_the_index(
    world,
):
    for _ in range(2):
        world.resolver.resolve("/by-date/2024", Waiter(5))
    assert world.view.resolved == 1
    world.clock.now += A_WHILE
    world.resolver.resolve("/by-date/2024", Waiter(5))
    assert world.view.resolved == 2


def test_an_item_that_has_changed_is_resolved_again(world):
    world.item()
    world.index.discard("hello")
    with pytest.raises(NoSuchPath):
        world.item()
    world.index.add(record("hello", HELLO, model="another"))
    assert world.item() == world.index.rows["hello"].item


def test_no_link_leads_to_what_was_deleted_though_the_catalog_could_not_be_written(world):
    item = world.item(LINK)
    world.index.forget = lambda item: None
    world.deletions.delete(item, (), "", [], Waiter(5))
    world.clock.now += A_WHILE
    with pytest.raises(NoSuchPath):
        world.item(LINK)
    assert world.item(HOME) == item


DAY = HELLO - HELLO % 86_400


class CountingIndex(TableIndex):
    """An index that counts how often one item was looked up, and how often many were."""

    finds = reads = 0

    def find(self, *asked):
        self.finds += 1
        return super().find(*asked)

    def items(self, *asked):
        self.reads += 1
        return super().items(*asked)


@pytest.fixture
def day(world):
    """A world with seven items of a day, some of them of the same second, and their paths."""
    dates = [0, 5, 5, 5, 5, 9, 80_000]
    rows = [record(f"item{number}", DAY + date) for number, date in enumerate(dates)]
    world.index = CountingIndex([*rows, record("before", DAY - 1), record("after", DAY + 86_400)])
    world.__post_init__()
    zone = Zone("UTC")
    names = [item_name(row.item.date, row.item.slug, row.item.key, zone) for row in rows]
    world.paths = [f"/by-date/2024/05/02/{name}" for name in names]
    return world


def list_the_day(world):
    world.resolver.expect(world.resolver.resolve("/by-date/2024/05/02", Waiter(5)))


def keys(world, paths):
    return [world.item(path).key for path in paths]


@pytest.mark.parametrize("order", [1, -1])
def test_the_items_of_a_day_that_was_listed_are_looked_up_together(day, order):
    list_the_day(day)
    assert keys(day, day.paths[::order]) == [f"item{number}" for number in range(7)][::order]
    assert (day.index.reads, day.index.finds) == (1, 0)


@pytest.mark.parametrize("together", [1, 2, 3, 7])
def test_those_of_a_large_day_are_looked_up_in_parts(day, monkeypatch, together):
    monkeypatch.setattr(path_resolver, "_TOGETHER", together)
    list_the_day(day)
    assert keys(day, day.paths) == [f"item{number}" for number in range(7)]
    assert day.index.reads <= 8


def test_an_item_of_a_day_that_was_not_listed_is_looked_up_alone(day):
    assert keys(day, day.paths) == [f"item{number}" for number in range(7)]
    assert (day.index.reads, day.index.finds) == (0, 7)


def test_what_is_not_in_a_listed_day_is_not_found(day):
    list_the_day(day)
    other = day.paths[0].replace("item0", "item9")
    for path in (other, day.paths[0].replace("hello-world", "hello")):
        with pytest.raises(NoSuchPath):
            day.item(path)
    assert day.index.reads == 1


def test_of_items_that_were_looked_up_together_each_is_what_it_is_by_now(day):
    list_the_day(day)
    day.item(day.paths[0])
    day.index.add(record("item1", DAY + 5, model="another"))
    day.index.discard("item2")
    assert day.item(day.paths[1]) == day.index.rows["item1"].item
    with pytest.raises(NoSuchPath):
        day.item(day.paths[2])


def test_an_item_with_a_tombstone_is_not_among_them(day):
    item = day.item(day.paths[3])
    day.index.forget = lambda item: None
    day.deletions.delete(item, (), "", [], Waiter(5))
    list_the_day(day)
    day.item(day.paths[0])
    assert day.item(day.paths[3]) == item
    day.clock.now += TOMBSTONE_TTL + 1
    day.index.discard(item.key)
    with pytest.raises(NoSuchPath):
        day.item(day.paths[3])
