"""The cache of the path resolver; `test_tree` tests which node a path has."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from histfs.core.deletion import Deletions
from histfs.core.errors import NoSuchPath
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
            MemorySource([record("hello", HELLO)]), self.index, FakeArchive(), self.flights,
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
