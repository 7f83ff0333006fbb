from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from histfs.catalog.refresh import FAILURE_MEMORY, Refresher
from histfs.catalog.store import Store
from histfs.core.errors import (
    BadAnswer,
    DeadlineExceeded,
    HistfsError,
    Interrupted,
    NotComplete,
    ServerFailed,
    Unreachable,
)
from histfs.core.flights import Flights
from histfs.core.item import Record
from histfs.core.source import Page, Query
from histfs.core.times import ALWAYS, Span
from histfs.core.waiting import Waiter
from tests.support.memory import Gate, MemorySource, record

TTL = 30.0


class World:
    """A refresher, what it asks, where it keeps what it learns, and its clock."""

    def __init__(self, store: Store, source: MemorySource) -> None:
        self.store = store
        self.source = source
        self.now = 0.0
        self.flights = Flights("scan", 1)
        self.remount()

    def remount(self) -> None:
        """Forget what is in memory."""
        self.refresher = Refresher(self.source, self.store, self.flights, TTL, lambda: self.now)

    def later(self, seconds: float = TTL + 1) -> None:
        self.now += seconds

    def list(self, span: Span = ALWAYS, timeout: float = 10) -> list[str]:
        """List as a directory does: only when the refresher has agreed."""
        self.refresher.ensure(span, Waiter(timeout))
        return [item.id for item in self.store.between(span)]

    def requests(self, act: Callable[[], object]) -> int:
        before = self.source.count("list")
        act()
        return self.source.count("list") - before


@contextmanager
def world_at(path: Path, source: MemorySource) -> Iterator[World]:
    world = World(Store(path), source)
    try:
        yield world
    finally:
        source.recover()
        # A scan that nobody waits for may still be writing.
        world.flights.fly("end", lambda: None).result(10)
        world.flights.close()
        world.store.close()


@pytest.fixture
def world(path) -> Iterator[World]:
    """Ten items, three on a page."""
    source = MemorySource(numbered(10), page_size=3)
    with world_at(path, source) as made:
        yield made


def numbered(count: int, start: int = 0) -> list[Record]:
    """Make items that are called by their date."""
    return [record(f"{n:03}", n) for n in range(start, start + count)]


def names(*numbers: int) -> list[str]:
    return [f"{n:03}" for n in numbers]


def test_the_whole_history_is_read_page_by_page(world):
    assert world.requests(world.list) == 4
    assert world.list() == names(*range(10))
    assert [len(page.records) for page in world.source.pages] == [3, 3, 3, 1]
    assert world.store.windows().cover(ALWAYS)


def test_what_is_fresh_is_not_asked_for(world):
    world.list()
    world.later(TTL - 1)
    assert world.requests(world.list) == 0


def test_nothing_new_costs_one_request(world):
    world.list()
    world.later()
    assert world.requests(world.list) == 1
    world.remount()
    assert world.requests(world.list) == 1


def test_nothing_new_changes_no_version(world):
    world.list()
    version = world.store.version
    world.later()
    world.list()
    assert world.store.version == version


@pytest.mark.parametrize(("new", "requests"), [(1, 1), (2, 2), (3, 2), (7, 3)])
def test_new_items_cost_their_pages(world, new, requests):
    # Two cost two: the page ends in the second of the newest known item, which may have others.
    world.list()
    world.source.add(*numbered(new, start=10))
    world.later()
    assert world.requests(world.list) == requests
    assert world.list() == names(*range(10 + new))


def test_an_item_that_comes_in_the_second_of_the_newest_one_is_found(world):
    world.list()
    world.source.add(record("first", 9), record("zzz", 9))
    world.later()
    assert world.list() == [*names(*range(10)), "first", "zzz"]


def test_an_item_that_changed_is_replaced(world):
    world.list()
    world.source.add(record("009", 9, "changed"))
    world.later()
    world.list()
    assert world.store.raw("009")["text"] == "changed"


def test_what_was_deleted_elsewhere_goes_from_the_newest_page(world):
    world.list()
    world.source.discard("009")
    world.source.discard("008")
    world.later()
    assert world.list() == names(*range(8))


def test_an_account_that_was_emptied_elsewhere_is_shown_empty(world):
    world.list()
    for n in range(10):
        world.source.discard(f"{n:03}")
    world.later()
    assert world.list() == []


def test_an_empty_account_is_known_and_gets_items(path):
    with world_at(path, MemorySource(page_size=2)) as world:
        assert world.list() == []
        world.source.add(*numbered(5))
        world.later()
        assert world.list() == names(*range(5))


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_scan_that_failed_goes_on_below_what_it_had(world, failing):
    world.source.fail("list", ServerFailed("500"), skip=failing)
    with pytest.raises(ServerFailed):
        world.list()
    world.source.recover()
    world.later()
    world.remount()
    # The newest page again, then only what is missing.
    assert world.requests(world.list) == 1 + 4 - failing
    assert world.list() == names(*range(10))


def test_a_scan_that_failed_goes_on_below_what_it_had_with_new_items_above(world):
    world.source.fail("list", ServerFailed("500"), skip=2)
    with pytest.raises(ServerFailed):
        world.list()
    world.source.recover()
    world.source.add(*numbered(4, start=10))
    world.later()
    assert world.list() == names(*range(14))


def test_what_a_failed_scan_has_read_is_listed_and_the_rest_is_not(world):
    world.source.fail("list", ServerFailed("500"), skip=2)
    with pytest.raises(ServerFailed):
        world.list()
    assert world.list(Span(5, 10)) == names(5, 6, 7, 8, 9)
    for span in (Span(4, 10), Span(0, 1), ALWAYS):
        with pytest.raises(HistfsError):
            world.list(span)


@pytest.mark.parametrize("page_size", range(1, 7))
def test_items_of_one_second_are_all_found_wherever_a_page_ends(path, page_size):
    records = [record(f"{date}{n}", date) for date in range(4) for n in "abc"]
    with world_at(path, MemorySource(records, page_size)) as world:
        assert sorted(world.list()) == sorted(row.item.id for row in records)
        world.later()
        assert len(world.list()) == 12
        world.source.add(*(record(f"3{n}", 3) for n in "defgh"))
        world.later()
        assert len(world.list()) == 17


def test_more_than_a_page_of_items_in_one_second_are_all_found(path):
    records = [record(f"x{n:02}", 5) for n in range(11)]
    with world_at(path, MemorySource([*records, record("old", 1)], page_size=3)) as world:
        assert len(world.list()) == 12
        world.source.discard("x10")
        world.later()
        assert "x10" not in world.list()


def test_items_that_come_and_go_between_two_pages_cost_no_other_item(world):
    with world.source.held("list", skip=1) as gate:
        with pytest.raises(NotComplete):
            world.list(timeout=0.01)
        gate.wait_until_reached()
        world.source.discard("007")
        world.source.discard("005")
        world.source.add(record("010", 10))
    world.list()
    world.later()
    # 007 was on the first page, and is too old now to be looked at again.
    assert set(world.list()) - {"007"} == set(names(0, 1, 2, 3, 4, 6, 8, 9, 10))


class Scripted(MemorySource):
    """Gives the pages that it was told to."""

    def __init__(self, *script: Page) -> None:
        super().__init__()
        self._script = iter(script)

    def list(self, query: Query) -> Page:
        super().list(query)
        return next(self._script)


def rows(*dates: int) -> list[Record]:
    return [record(f"{date:03}", date) for date in dates]


@pytest.mark.parametrize(
    "script",
    [
        [Page(rows(9, 8), "c"), Page(rows(7, 6), "c"), Page(rows(5), None)],
        [Page(rows(9), "a"), Page(rows(8), "b"), Page(rows(7), "a"), Page(rows(6), None)],
        [Page([], "a"), Page([], "a"), Page([], None)],
        [Page(rows(8, 9), None)],
        [Page(rows(9, 8), "c"), Page(rows(9), None)],
        [Page(rows(5, 4), "c"), Page(rows(7, 6), "d"), Page(rows(3), None)],
    ],
    ids=["same cursor twice", "cursors in a circle", "no way on", "oldest first",
         "page from above", "pages in the wrong order"],
)  # fmt: skip
def test_pages_that_can_not_be_trusted_are_refused(path, script):
    with world_at(path, Scripted(*script)) as world, pytest.raises(BadAnswer):
        world.list()


def test_an_empty_page_in_between_is_gone_past(path):
    script = [Page(rows(9, 8), "a"), Page([], "b"), Page(rows(8, 7), None)]
    with world_at(path, Scripted(*script)) as world:
        assert world.list() == names(7, 8, 9)


def test_what_is_not_known_fails_with_the_source(world):
    world.source.fail("list", Unreachable("down"))
    with pytest.raises(Unreachable):
        world.list()


def test_what_is_known_is_served_when_the_source_fails(world):
    world.list()
    world.later()
    world.source.fail("list", Unreachable("down"))
    assert world.list() == names(*range(10))
    assert world.list(Span(3, 5)) == names(3, 4)


@pytest.mark.parametrize("failing", [1, 2])
def test_a_gap_below_new_items_is_not_served_as_if_it_was_known(world, failing):
    world.list()
    world.source.add(*numbered(9, start=10))
    world.later()
    world.source.fail("list", ServerFailed("500"), skip=failing)
    with pytest.raises(ServerFailed):
        world.list()
    assert world.list(Span(0, 9)) == names(*range(9))


class UntilReached(Waiter):
    """Gives up as soon as a call stands at a gate."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(10)
        self.gate = gate

    def at_most(self, seconds: float) -> Waiter:
        return self

    def result(self, future: object) -> NoReturn:
        self.gate.wait_until_reached()
        raise DeadlineExceeded("enough")


def test_a_gap_is_not_served_when_the_scan_is_slow_either(world):
    world.list()
    world.source.add(*numbered(9, start=10))
    world.later()
    # The first page makes the gap, the second one does not come.
    with world.source.held("list", skip=1) as gate, pytest.raises(NotComplete):
        world.refresher.ensure(ALWAYS, UntilReached(gate))


def test_what_is_known_is_served_when_the_source_is_slow(world):
    world.list()
    world.later()
    with world.source.held("list"):
        assert world.list(timeout=0.01) == names(*range(10))


@pytest.mark.parametrize("pages", [0, 2])
def test_what_is_not_known_in_time_is_not_listed(world, pages):
    with world.source.held("list", skip=pages), pytest.raises(NotComplete):
        world.list(timeout=0.01)


def test_a_scan_goes_on_when_the_one_who_waits_gives_up(world):
    with world.source.held("list", skip=1) as gate:
        with pytest.raises(NotComplete):
            world.list(timeout=0.01)
        gate.wait_until_reached()
    assert world.list() == names(*range(10))
    assert world.source.count("list") == 4


def test_an_interrupt_is_passed_on_even_when_something_is_known(world):
    world.list()
    world.later()
    with world.source.held("list"), pytest.raises(Interrupted):
        world.refresher.ensure(ALWAYS, Waiter(10, lambda: True))


def test_a_failure_is_remembered_for_a_while_and_no_longer(world):
    world.source.fail("list", Unreachable("down"))
    with pytest.raises(Unreachable):
        world.list()
    world.source.recover()
    world.later(FAILURE_MEMORY - 1)
    with pytest.raises(Unreachable):
        world.list()
    assert world.source.count("list") == 1
    world.later(2)
    assert world.list() == names(*range(10))


def test_with_the_network_gone_a_walk_asks_once(world):
    world.list()
    world.later()
    world.source.fail("list", Unreachable("down"))
    assert world.requests(lambda: [world.list(Span(n, n + 1)) for n in range(10)]) == 1


def test_the_first_contact_returns_with_the_newest_page(world):
    with world.source.held("list", skip=1) as gate:
        world.refresher.contact(Waiter(10))
        gate.wait_until_reached()
        assert world.store.windows().cover(Span(8, 10))
        assert not world.store.windows().cover(ALWAYS)
    assert world.list() == names(*range(10))


def test_the_first_contact_fails_with_the_source(world):
    world.source.fail("list", Unreachable("down"))
    with pytest.raises(Unreachable):
        world.refresher.contact(Waiter(10))


def test_a_second_mount_of_the_account_uses_what_the_first_one_has_read(world, open_store):
    world.list()
    other = World(open_store(), world.source)
    assert other.requests(other.list) == 1
    assert other.list() == names(*range(10))
    other.flights.close()


class Add(int):
    """So many new items, each in the second of the one before or a later one."""


class Delete(int):
    """The n-th newest item goes, elsewhere."""


class Fail(int):
    """The next refresh fails after so many pages."""


class Resize(int):
    """The server's page size."""


steps = st.one_of(
    st.builds(Add, st.integers(1, 6)),
    st.builds(Delete, st.integers(0, 12)),
    st.builds(Fail, st.integers(0, 3)),
    st.builds(Resize, st.integers(1, 5)),
    st.just("refresh"),
    st.just("remount"),
)


def apply(step: object, world: World, dates: Iterator[int], made: list[int]) -> None:
    match step:
        case Add():
            for _ in range(step):
                made.append(1)
                world.source.add(record(f"n{len(made):03}", next(dates)))
        case Delete():
            known = world.source.records()
            if step < len(known):
                world.source.discard(known[step].item.id)
        case Fail():
            world.source.fail("list", ServerFailed("500"), skip=step)
        case Resize():
            world.source.page_size = step
        case "remount":
            world.remount()


def excused(missing_there: str, world: World, pages: list[Page]) -> bool:
    """Say whether a scan of these pages could not see that an item had gone: it was below them."""
    date = world.store.find(missing_there).date
    return all(
        page.cursor is not None and (not page.records or date <= page.records[-1].item.date)
        for page in pages
    )


@settings(max_examples=60, deadline=None)
@given(
    history=st.lists(steps, max_size=14),
    gaps=st.lists(st.sampled_from([0, 0, 1, 3]), min_size=100, max_size=100),
)
@example([Resize(2), Add(3), "refresh", Add(6), Fail(1), "refresh", "refresh"], [1] * 100)
def test_what_is_listed_is_what_the_source_has_or_the_call_fails(history, gaps):
    dates = iter(sum(gaps[: n + 1]) for n in range(len(gaps)))
    made: list[int] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        world_at(Path(directory) / "catalog.sqlite", MemorySource(page_size=2)) as world,
    ):
        stale: set[str] | None = None
        for step in [*history, "refresh"]:
            apply(step, world, dates, made)
            if step != "refresh":
                continue
            world.later()
            seen = len(world.source.pages)
            failed = False
            try:
                listed = world.list()
            except ServerFailed:
                failed = True
            pages = world.source.pages[seen:]
            world.source.recover()
            if failed:
                stale = None if pages else stale
                continue
            there = {row.item.id for row in world.source.records()}
            if not pages:
                assert set(listed) == stale
                continue
            stale = set(listed)
            assert len(listed) == len(stale)
            assert there <= stale
            assert all(excused(gone, world, pages) for gone in stale - there)
