"""Servers that keep no strict order, and impossible dates: all items are shown once, and stay."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histfs.catalog.catalog import Catalog
from histfs.core.errors import Missing, ServerFailed
from histfs.core.source import Query
from histfs.core.times import ALWAYS, Span, Zone
from histfs.core.views import ByDate
from histfs.core.waiting import Waiter
from tests.support.odd_server import Entry, OddServer
from tests.support.world import World, world_at

#: Noon of a day, and the seconds by which lists are out of order in these tests.
NOON = 990_014_400
DISORDER = 60
#: What no filter by time takes.
NULL = -(10**30)
#: None, 0, before the epoch, a day of 1970, milliseconds, the year 2100.
IMPOSSIBLE = [NULL, 0, -1, 86_400, NOON * 1000, 4_102_444_800]

#: Items of four days, many of them near to each other, also around midnight.
times = st.one_of(
    st.integers(0, 400), st.integers(43_200 - 100, 43_200 + 100), st.integers(0, 4 * 86_400)
).map(lambda seconds: NOON - seconds)
shifts = st.integers(-DISORDER // 2, DISORDER // 2)
page_sizes = st.integers(2, 7)
#: What a server sorts by, and what its filter takes for an item's time.
orders = st.sampled_from([("time", "time"), ("time", "date"), ("date", "date")])


@st.composite
def histories(draw) -> list[Entry]:
    """Entries whose dates differ from their times by half of the disorder, some by anything."""
    made = draw(st.lists(st.tuples(times, shifts), max_size=25))
    odd = draw(st.lists(st.sampled_from(IMPOSSIBLE), max_size=min(3, len(made))))
    dates = [time + shift for time, shift in made]
    places = draw(st.permutations(range(len(made))))
    for place, date in zip(places, odd, strict=False):
        dates[place] = date
    return [
        Entry(f"i{n:02}", time, date)
        for n, ((time, _), date) in enumerate(zip(made, dates, strict=True))
    ]


def walk(world: World) -> dict[str, list[str]]:
    """List by-date as `find` does; return the items by their days."""
    index = Catalog(world.store, world.refresher, world.source.describe)
    view, found = ByDate(Zone("UTC")), {}

    def look(at: tuple[str, ...]) -> None:
        view.prepare(at, index, Waiter(10))
        assert view.listable(at, index)
        if len(at) == view.depth:
            found["/".join(at)] = [listed.key for listed in view.items(at, index)]
        else:
            for name in view.subdirectories(at, index):
                look((*at, name))

    look(())
    return found


def once(entries: Sequence[Entry]) -> list[str]:
    return sorted(entry.id for entry in entries)


def shown_dates(world: World) -> dict[str, int]:
    return {listed.key: listed.date for listed in world.store.between(ALWAYS)}


def server(entries, size, order, filter_by) -> OddServer:
    return OddServer(entries, size, disorder=DISORDER, order=order, filter_by=filter_by)


@settings(max_examples=40, deadline=None)
@given(histories(), page_sizes, orders, st.booleans())
def test_a_walk_and_a_scan_show_every_item_once(entries, size, order, walk_first):
    with tempfile.TemporaryDirectory() as directory:
        source = server(entries, size, *order)
        with world_at(Path(directory) / "c.sqlite", source) as world:
            world.contact()
            if walk_first:
                walked = walk(world)
                assert sorted(key for keys in walked.values() for key in keys) == once(entries)
                assert all(walked.values())
            assert sorted(world.list()) == once(entries)
            dates = shown_dates(world)
            assert sorted(dates) == once(entries)
            for entry in entries:
                if entry.date not in IMPOSSIBLE:
                    assert dates[entry.id] == entry.date
            # From run to run, whichever listing is asked for again.
            world.remount()
            world.later()
            walk(world)
            world.list()
            assert shown_dates(world) == dates


@settings(max_examples=40, deadline=None)
@given(histories(), st.data(), page_sizes, orders)
def test_what_comes_and_goes_elsewhere_shows_in_a_history_that_was_synchronised(
    entries, data, size, order
):
    with tempfile.TemporaryDirectory() as directory:
        source = server(entries, size, *order)
        with world_at(Path(directory) / "c.sqlite", source) as world:
            world.contact()
            assert sorted(world.list()) == once(entries)
            newest = max((entry.time for entry in entries), default=NOON)
            new = data.draw(st.lists(st.tuples(st.integers(0, 90), shifts), max_size=5))
            for number, (later, shift) in enumerate(new):
                time = newest + later
                source.entries.append(Entry(f"n{number}", time, time + shift))
            gone = st.lists(st.sampled_from(entries), unique=True) if entries else st.just([])
            for entry in data.draw(gone):
                source.entries.remove(entry)
            world.later(700)
            walked = walk(world)
            there = {entry.id for entry in source.entries}
            assert {key for keys in walked.values() for key in keys} == there
            assert sorted(world.list()) == sorted(there)


@pytest.mark.parametrize("order", ["time", "date"])
@pytest.mark.parametrize("filter_by", ["time", "date"])
def test_new_items_out_of_order_show_at_the_next_refresh(path, order, filter_by):
    entries = [Entry(f"i{n:02}", NOON - 100 * n, NOON - 100 * n) for n in range(12)]
    source = server(entries, 5, order, filter_by)
    with world_at(path, source) as world:
        world.list()
        source.entries += [Entry("a", NOON + 10, NOON + 8), Entry("b", NOON + 11, NOON - 2)]
        world.later()
        assert world.requests(world.list) == 1
        assert {"a", "b"} <= set(world.known())


def test_a_list_in_no_order_at_all_is_read_to_its_end(path):
    entries = [Entry(f"i{n:02}", n * 7 % 20, NOON - 1000 * n) for n in range(20)]
    source = server([replace(e, time=NOON + e.time) for e in entries], 5, "time", "date")
    with world_at(path, source) as world:
        world.contact()
        assert not world.covers(Span(NOON, NOON + 1))
        assert sorted(world.list()) == once(entries)
        assert world.covers(ALWAYS)
        day = Span(NOON - 5500, NOON - 500)
        world.later()
        assert world.list(day) == [f"i{n:02}" for n in (5, 4, 3, 2, 1)]


def test_a_failure_while_an_unordered_list_is_read_shows_none_of_it(path):
    entries = [Entry(f"i{n:02}", NOON + n * 7 % 20, NOON - 1000 * n) for n in range(20)]
    source = server(entries, 5, "time", "date")
    with world_at(path, source) as world:
        source.fail("list", ServerFailed("500"), skip=3)
        with pytest.raises(ServerFailed):
            world.list()
        assert not world.covers(Span(NOON, NOON + 1))


@pytest.mark.parametrize("date", [NULL, 0, NOON * 1000])
def test_a_day_that_is_listed_first_has_its_items_without_a_possible_date(path, date):
    entries = [Entry(f"i{n:02}", NOON - 3600 * n, NOON - 3600 * n) for n in range(60)]
    entries[40] = replace(entries[40], date=date)
    with world_at(path, server(entries, 5, "time", "date")) as world:
        assert "i40" in world.list(Span(NOON - 3600 * 45, NOON - 3600 * 35))


@pytest.mark.parametrize("date", [0, NOON * 1000])
def test_a_long_history_is_asked_for_dates_that_no_item_can_have(path, date):
    entries = [Entry(f"i{n:04}", NOON - 60 * n, NOON - 60 * n) for n in range(300)]
    entries[290] = replace(entries[290], date=date)
    with world_at(path, server(entries, 5, "time", "date")) as world:
        world.list(Span(NOON - 3600, NOON - 1800))
        assert "i0290" in world.known()


def test_an_item_without_a_possible_date_that_is_deleted_elsewhere_goes(path):
    entries = [Entry(f"i{n:02}", NOON - 100 * n, NOON - 100 * n) for n in range(12)]
    entries[7] = replace(entries[7], date=0)
    source = server(entries, 5, "time", "date")
    with world_at(path, source) as world:
        world.list()
        shown = shown_dates(world)["i07"]
        del source.entries[7]
        world.later(601)
        day = Span(shown, shown + 1)
        assert "i07" not in world.list(day)
        assert source.count("get") == 2


def test_one_answer_makes_no_item_without_a_possible_date_forgotten(path):
    entries = [Entry(f"i{n:02}", NOON - 100 * n, NOON - 100 * n) for n in range(12)]
    entries[7] = replace(entries[7], date=NULL)
    source = server(entries, 5, "time", "date")
    with world_at(path, source) as world:
        world.list()
        shown = shown_dates(world)["i07"]
        world.later(601)
        source.fail("get", Missing("404"))
        world.reader.pause = lambda _: source.recover()
        assert "i07" in world.list(Span(shown, shown + 1))


def test_an_item_whose_date_is_found_out_later_moves_there(path):
    entries = [Entry(f"i{n:02}", NOON - 100 * n, NOON - 100 * n) for n in range(4)]
    source = server([*entries, Entry("x", NOON - 150, 0)], 5, "time", "date")
    with world_at(path, source) as world:
        world.list()
        source.entries[-1] = Entry("x", NOON - 150, NOON - 150)
        world.later()
        assert world.list().count("x") == 1
        assert shown_dates(world)["x"] == NOON - 150


def test_an_item_that_an_earlier_version_showed_at_its_impossible_date_is_shown_once(path):
    source = server([Entry("x", NOON, NOON * 1000), Entry("y", NOON, NOON)], 5, "time", "date")
    with world_at(path, source) as world:
        (odd, _) = source.list(Query()).records
        at_its_date = replace(odd, dated=True, item=replace(odd.item, date=253_402_041_600))
        world.store.add([at_its_date])
        assert sorted(world.list()) == ["x", "y"]
        assert shown_dates(world) == {"x": NOON, "y": NOON}
