"""The cost of a walk through the tree, in list requests."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator

import pytest

from histfs.catalog.catalog import Catalog
from histfs.core.archive import NoArchive
from histfs.core.deletion import Deletions
from histfs.core.errors import HistfsError, ServerFailed
from histfs.core.file_context import FileContext
from histfs.core.files import TextFile
from histfs.core.item import Record
from histfs.core.single_flight import SingleFlight
from histfs.core.times import ALWAYS, Zone
from histfs.core.tree import Tree
from histfs.core.views import ByDate, ByVoice
from histfs.core.waiting import Waiter
from tests.core.fakes import FakeAudio
from tests.support.memory import MemorySource, record
from tests.support.world import World, world_at

DAY = 86_400
#: 2026-02-03T06:00:00Z.
NEWEST = 1_770_098_400
#: Five pages of items; the counts hold for 5,000 items with pages of 1,000, too.
PAGE, ITEMS = 200, 1000


class Mount:
    """A tree on a catalog that is empty at first, as a mount makes it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.deletes = SingleFlight("delete", 1)
        self.remount()

    def remount(self) -> None:
        self.world.remount()
        catalog = Catalog(self.world.store, self.world.refresher, self.world.source.describe)
        zone = Zone("UTC")
        self.tree = Tree(
            index=catalog,
            deletions=Deletions(self.world.source, catalog, NoArchive(), self.deletes),
            views=[ByDate(zone), ByVoice(zone)],
            files=[TextFile(FileContext(self.world.source.traits, catalog, FakeAudio()))],
            zone=zone,
            links=True,
            listings={},
            born=0,
        )
        if not self.world.covers(ALWAYS):
            self.world.contact()

    def ls(self, path: str) -> list[str]:
        return [entry.name for entry in self.tree.listdir(path, Waiter(10))]

    def find(self, path: str = "by-date") -> list[str]:
        """Return the paths of all items below a directory, as find(1) visits them."""
        found = []
        for name, kind, *_ in self.tree.listdir(path, Waiter(10)):
            below = f"{path}/{name}"
            assert self.tree.stat(below, Waiter(10)).kind == kind
            is_item = name.count("_") == 2 or kind == stat.S_IFLNK
            found += [below] if is_item else self.find(below)
        return found

    def cost(self, action: Callable[[], object]) -> int:
        return self.world.requests(action)


def spread(count: int, days: float, newest: int = NEWEST) -> list[Record]:
    """Make items that are spread over some days before the newest one."""
    return [record(f"i{n:06}", newest - int(n * days * DAY / count)) for n in range(count)]


@pytest.fixture
def mount(path) -> Iterator[Callable[[float, int], Mount]]:
    """Mounts so many days of so many items."""
    worlds = []

    def make(days: float, items: int = ITEMS) -> Mount:
        lent = world_at(path, MemorySource(spread(items, days), PAGE))
        worlds.append(lent)
        return Mount(lent.__enter__())

    yield make
    for lent in worlds:
        lent.__exit__(None, None, None)


@pytest.mark.parametrize("days", [3, 30, 120, 400, 1200, 3000])
def test_a_walk_finds_every_item_at_the_cost_of_its_pages(mount, days):
    mounted = mount(days)
    there = {row.item.key for row in mounted.world.source.records()}
    for most in (25, 0):
        found: list[str] = []
        assert mounted.cost(lambda found=found: found.extend(mounted.find())) <= most
        assert {path.rpartition("_")[2] for path in found} == there
        assert len(found) == ITEMS
    mounted.world.later()
    assert mounted.cost(mounted.find) <= 12
    assert mounted.cost(mounted.remount) == 0
    assert mounted.cost(mounted.find) == 0
    mounted.world.later()
    assert mounted.cost(lambda: (mounted.remount(), mounted.find())) <= 12


@pytest.mark.parametrize("days", [120, 1200])
def test_new_items_show_in_their_day_and_voice_for_a_few_requests(mount, days):
    mounted = mount(days)
    mounted.find()
    mounted.find("by-voice")
    mounted.world.source.add(*(record(f"new{n}", NEWEST + n + 1) for n in range(3)))
    mounted.world.later()
    shown: list[str] = []
    assert mounted.cost(lambda: shown.extend(mounted.ls("by-date/2026/02/03"))) <= 2
    assert mounted.cost(lambda: shown.extend(mounted.ls("by-voice/Rachel"))) <= 2
    assert [name[-4:] for name in shown].count("new1") == 2


@pytest.mark.parametrize("day", ["by-date/2025/01/15", "by-date/2023/03/01"])
def test_one_day_of_a_long_history_costs_a_handful(mount, day):
    mounted = mount(1200, 12_000)
    shown: list[str] = []

    def list_it() -> None:
        for depth in range(1, 5):
            mounted.tree.stat("/".join(day.split("/")[:depth]), Waiter(10))
        shown.extend(mounted.ls(day))

    assert mounted.cost(list_it) <= 4
    assert len(shown) == 10
    # Months and years of it are no scan either.
    assert mounted.cost(lambda: mounted.ls("by-date/2025")) <= 4 + 12
    assert mounted.cost(lambda: mounted.ls("by-date")) <= 6
    mounted.world.later()
    assert mounted.cost(list_it) == 1


def test_a_day_that_is_listed_again_shows_what_was_deleted_elsewhere(mount):
    mounted = mount(120)
    mounted.find()
    gone = mounted.ls("by-date/2025/12/24")[3]
    mounted.world.source.discard(gone.rpartition("_")[2])
    mounted.world.later()
    assert gone not in mounted.ls("by-date/2025/12/24")


def test_what_is_not_there_is_asked_for_once_in_a_while(mount):
    mounted = mount(120)
    mounted.find()
    mounted.world.later()

    def look() -> None:
        for path in ("by-date/2031", "by-date/2019/02", "by-date/2025/12/24/x", "by-voice/Nobody"):
            with pytest.raises(HistfsError):
                mounted.tree.stat(path, Waiter(10))

    assert mounted.cost(look) <= 3
    assert mounted.cost(look) == 0


def test_when_every_page_but_the_first_fails_no_directory_shows_a_part(mount):
    mounted = mount(1)
    mounted.world.source.fail("list", ServerFailed("500"))
    for path in ("by-date", "by-date/2026/02/02", "by-voice", "by-voice/Rachel"):
        with pytest.raises(ServerFailed):
            mounted.ls(path)


def test_with_the_server_gone_a_walk_shows_all_that_was_known(mount):
    mounted = mount(120)
    before = [*mounted.find(), *mounted.find("by-voice")]
    mounted.world.later()
    mounted.world.source.fail("list", ServerFailed("500"))
    after: list[str] = []
    cost = mounted.cost(lambda: after.extend([*mounted.find(), *mounted.find("by-voice")]))
    assert after == before
    assert cost == 1
