"""A directory with many items is read in parts; it is complete, or reading it fails."""

from __future__ import annotations

import pytest

from histfs.core import large_listing, view_listings
from histfs.core.errors import NotComplete, Unreachable
from histfs.core.large_listing import LargeListing
from histfs.core.times import ALWAYS
from histfs.core.waiting import Waiter
from histfs.testing import MemoryIndex
from tests.support.memory import record

NOON = 1_714_650_300
VOICE = "/by-voice/Rachel"


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(view_listings, "LARGE", 10)
    monkeypatch.setattr(large_listing, "PART", 4)


@pytest.fixture
def world(make_world):
    return make_world(*(record(f"item{n:02}", NOON + n) for n in range(30)))


@pytest.fixture
def opened(world) -> LargeListing:
    opened = world.tree.listdir(VOICE, Waiter(5))
    assert isinstance(opened, LargeListing)
    return opened


def rest(opened: LargeListing, position: int) -> list[str]:
    """Return the ends of the names from a position on."""
    found: list[str] = []
    while part := opened.read(position, Waiter(5)):
        found += [entry.name[-2:] for entry in part]
        position += len(part)
    return found


def numbers(*of: int) -> list[str]:
    return [f"{n:02}" for n in of]


def test_the_entries_are_those_of_a_listing_that_is_cached(world, monkeypatch):
    paths = [VOICE, "/by-date/2024/05/02"]
    large = [list(world.tree.listdir(path, Waiter(5)).entries(lambda: Waiter(5))) for path in paths]
    monkeypatch.setattr(view_listings, "LARGE", 30)
    assert large == [world.tree.listdir(path, Waiter(5)) for path in paths]


def test_only_the_entries_that_were_read_last_are_in_memory(opened):
    position = 0
    while part := opened.read(position, Waiter(5)):
        position += len(part)
        assert len(opened._entries) <= 15
    assert position == 30
    assert len(opened._entries) <= 8


def test_what_did_not_fit_is_read_again(opened):
    first = [entry.name for entry in opened.read(0, Waiter(5))]
    assert opened.read(11, Waiter(5))[0].name.endswith("11")
    assert [entry.name for entry in opened.read(9, Waiter(5))][:2] == first[9:]


def test_what_comes_and_goes_meanwhile_moves_no_other_entry(world, opened):
    before = [entry.name[-2:] for entry in opened.read(0, Waiter(5))]
    world.index.discard("item03")
    world.index.discard("item20")
    world.index.add(record("item77", NOON - 1), record("item88", NOON + 25))
    after = rest(opened, len(before))
    assert before == numbers(*range(11))
    assert set(after) - {"88"} == set(numbers(*range(11, 30))) - {"20"}
    assert len(after) == len(set(after))


def test_an_item_that_was_unknown_while_a_part_was_read_is_waited_for(world, opened):
    lost = world.index.rows["item15"]
    world.index.discard("item15")
    world.index.unknown, world.index.arriving = ALWAYS, [lost]
    assert rest(opened, 0) == numbers(*range(30))


def test_a_part_that_is_not_known_fails_and_a_retry_misses_nothing(world, opened):
    lost = world.index.rows["item15"]
    world.index.discard("item15")
    world.index.unknown, world.index.error = ALWAYS, Unreachable("no network")
    for _ in range(2):
        with pytest.raises(Unreachable):
            rest(opened, 11)
    world.index.arriving, world.index.error = [lost], None
    assert rest(opened, 11) == numbers(*range(11, 30))


def test_a_part_that_changes_while_it_is_read_is_read_again(world, opened):
    lost = world.index.rows["item17"]
    world.index.discard("item17")

    def back() -> None:
        world.index.on_complete = lambda: None
        world.index.add(lost)

    world.index.on_complete = back
    assert rest(opened, 0) == numbers(*range(30))


def test_a_directory_that_changes_with_each_look_at_it_fails(world, opened):
    def change() -> None:
        world.index.add(world.index.rows["item17"])

    world.index.on_read = change
    world.index.add(world.index.rows["item12"])
    with pytest.raises(NotComplete, match="faster"):
        rest(opened, 11)


def test_reading_from_the_start_again_shows_what_is_new(world, opened):
    assert len(rest(opened, 0)) == 30
    world.index.add(record("item55", NOON + 55))
    assert rest(opened, 0)[-1] == "55"


def test_going_back_to_a_place_is_exact_or_an_error(world, opened):
    assert len(rest(opened, 0)) == 30
    assert rest(opened, 7) == numbers(*range(7, 30))
    world.index.discard("item02")
    assert rest(opened, 0)[-1] == "29"
    world.index.discard("item03")
    with pytest.raises(NotComplete):
        rest(opened, 7)


def test_a_view_in_an_order_of_its_own_is_listed_unless_it_changes(world, monkeypatch):
    having = MemoryIndex.having

    def backwards(self, kind, value):
        return iter(sorted(having(self, kind, value), reverse=True))

    monkeypatch.setattr(MemoryIndex, "having", backwards)
    opened = world.tree.listdir(VOICE, Waiter(5))
    assert rest(opened, 0) == numbers(*reversed(range(30)))
    opened = world.tree.listdir(VOICE, Waiter(5))
    world.index.discard("item02")
    with pytest.raises(NotComplete):
        rest(opened, 0)
