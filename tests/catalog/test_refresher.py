from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest

from histfs.catalog.circuit_breaker import FAILURE_MEMORY, WAIT_BUDGET
from histfs.core.errors import (
    BadAnswer,
    DeadlineExceeded,
    Interrupted,
    KeyRefused,
    NotComplete,
    ServerFailed,
    Unreachable,
)
from histfs.core.server_breaker import PAUSES
from histfs.core.source import Page, Query
from histfs.core.times import ALWAYS, Span
from histfs.core.waiting import Waiter
from tests.support.clock import Clock
from tests.support.memory import Gate, MemorySource, record
from tests.support.world import TTL, World, names, numbered, world_at

#: In the span of ten items, which are its seconds.
DAY = Span(4, 6)


@pytest.fixture
def world(path) -> Iterator[World]:
    """Ten items, three on a page."""
    with world_at(path, MemorySource(numbered(range(10)), page_size=3)) as world:
        yield world


@pytest.fixture
def large(path) -> Iterator[World]:
    """A hundred items, ten on a page."""
    with world_at(path, MemorySource(numbered(range(100)), page_size=10)) as world:
        yield world


def depth(error: BaseException) -> int:
    """Return the number of frames that an exception keeps, with those of what caused it."""
    frames = list(traceback.walk_tb(error.__traceback__))
    before = error.__cause__ or error.__context__
    return len(frames) + (depth(before) if before else 0)


# Unknown spans


def test_a_failure_that_is_told_a_thousand_times_keeps_no_more_than_once(world):
    world.source.fail("list", Unreachable("no network"))
    raised, kept = [], []
    for _ in range(50):
        with pytest.raises(Unreachable) as caught:
            world.list(DAY)
        raised.append(depth(caught.value))
        kept.append(depth(world.reader.breaker.failure()))
    assert max(raised[5:]) <= max(raised[:5])
    assert kept[0] == kept[-1]


def test_a_directory_asks_for_its_own_span_alone(world):
    assert world.requests(lambda: world.list(DAY)) == 1
    assert world.list(DAY) == names(4, 5)
    assert world.source.calls[0].argument == Query(DAY)
    assert not world.covers(Span(3, 5))


def test_what_is_marked_as_stale_is_requested_again_and_nothing_else(large):
    for span in (Span(20, 25), Span(60, 65)):
        large.list(span)
    large.store.mark_stale(Span(0, 40))
    assert large.requests(lambda: large.list(Span(60, 65))) == 0
    assert large.requests(lambda: large.list(Span(20, 25))) == 1
    assert large.list(Span(20, 25)) == names(*range(20, 25))


def test_a_span_of_several_pages_is_read_to_its_end(world):
    assert world.list(Span(1, 9)) == names(*range(1, 9))
    assert [len(page.records) for page in world.source.pages] == [3, 3, 2]


def test_a_span_without_items_is_known_to_have_none(world):
    assert world.list(Span(100, 200)) == []
    assert world.requests(lambda: world.list(Span(120, 130))) == 0


def test_of_a_span_that_is_known_in_part_only_the_rest_is_asked_for(world):
    world.list(Span(5, 8))
    world.list(Span(3, 8))
    assert world.source.calls[-1].argument == Query(Span(3, 5))


def test_the_first_contact_costs_one_page(world):
    assert world.requests(world.contact) == 1
    assert world.covers(Span(8, 10))
    assert not world.covers(ALWAYS)
    assert world.requests(lambda: world.list(Span(8, 10))) == 0


def test_the_first_contact_fails_with_the_source(world):
    world.source.fail("list", Unreachable("down"))
    with pytest.raises(Unreachable):
        world.contact()


def test_the_whole_history_is_read_page_by_page(world):
    assert world.requests(world.list) == 4
    assert world.list() == names(*range(10))
    assert [len(page.records) for page in world.source.pages] == [3, 3, 3, 1]


@pytest.mark.parametrize("page_size", range(1, 7))
def test_items_of_one_second_are_all_found_wherever_a_page_ends(path, page_size):
    records = [record(f"{date}{n}", date) for date in range(4) for n in "abc"]
    with world_at(path, MemorySource(records, page_size)) as world:
        for span in (Span(2, 3), Span(1, 4), ALWAYS):
            there = [r.item.id for r in records if span.start <= r.item.date < span.end]
            assert world.list(span) == there
        world.later()
        world.source.add(*(record(f"3{n}", 3) for n in "defgh"))
        assert len(world.list()) == 17
        assert len(world.list(Span(3, 4))) == 8


def test_a_failure_in_the_middle_of_a_span_shows_none_of_it(world):
    world.source.fail("list", ServerFailed("500"), skip=1)
    with pytest.raises(ServerFailed):
        world.list(Span(0, 9))
    # The pages that came are known all the same.
    assert world.list(Span(7, 9)) == names(7, 8)
    with pytest.raises(ServerFailed):
        world.list(Span(6, 9))


# Stale spans


def test_what_is_fresh_is_not_asked_for(world):
    world.list(DAY)
    world.later(TTL - 1)
    assert world.requests(lambda: world.list(DAY)) == 0


def test_what_is_fresh_is_so_after_a_remount_and_for_another_mount(world, path):
    world.list()
    world.remount()
    assert world.requests(world.list) == 0
    with world_at(path, world.source, clock=world.clock) as other:
        assert world.requests(other.list) == 0
        world.later()
        assert world.requests(lambda: other.list(DAY)) == 1
        assert world.requests(lambda: world.list(DAY)) == 0


def test_a_clock_that_was_set_back_makes_nothing_fresh(world):
    world.list(DAY)
    world.later(-3600)
    assert world.requests(lambda: world.list(DAY)) == 1
    assert world.requests(lambda: world.list(DAY)) == 0


def test_a_stale_span_is_asked_for_with_as_much_as_a_page_holds(large):
    large.list()
    large.later()
    large.list(Span(20, 22))
    assert large.source.calls[-1].argument == Query(Span(20, 30))
    # The fresh part is left out: there is room on the page for older items.
    large.list(Span(16, 18))
    assert large.source.calls[-1].argument == Query(Span(10, 20))


def test_what_is_on_its_way_is_left_out_too(large):
    large.list()
    large.later()
    with large.source.held("list") as gate:
        walkers = [
            threading.Thread(target=large.list, args=(span,))
            for span in (Span(20, 22), Span(22, 24), Span(18, 20))
        ]
        walkers[0].start()
        gate.wait_until_reached()
        for walker in walkers[1:]:
            walker.start()
        while large.source.count("list") < 10 + 2:
            pass
    for walker in walkers:
        walker.join(10)
    assert [call.argument for call in large.source.calls[-2:]] == [
        Query(Span(20, 30)),
        Query(Span(10, 20)),
    ]


@pytest.mark.parametrize("step", [1, 3, 7])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_walk_costs_a_request_for_each_page_of_items(large, step, backwards):
    large.list()
    large.later()
    days = [Span(start, min(start + step, 100)) for start in range(0, 100, step)]
    walked = days[::-1] if backwards else days
    assert large.requests(lambda: [large.list(day) for day in walked]) <= 12
    assert large.requests(lambda: [large.list(day) for day in walked]) == 0


def test_a_first_walk_asks_for_several_days_at_once(large):
    days = [Span(start, start + 2) for start in range(0, 100, 2)]
    assert large.requests(lambda: [large.list(day) for day in days]) <= 100 / 10 * 1.5
    assert large.known() == names(*range(100))


def test_what_was_deleted_and_what_came_elsewhere_shows_when_a_span_is_stale(large):
    large.list()
    large.source.discard("0005")
    large.source.discard("0050")
    large.source.add(record("new", 50))
    large.later()
    assert large.list(Span(50, 52)) == ["new", "0051"]
    assert large.list(Span(4, 7)) == names(4, 6)


def test_a_span_of_more_than_a_page_is_replaced_whole(large):
    large.list()
    for n in (21, 30, 44):
        large.source.discard(f"{n:04}")
    large.later()
    assert large.list(Span(20, 45)) == names(*(n for n in range(20, 45) if n not in (21, 30, 44)))


def test_nothing_new_changes_no_version(world):
    world.list()
    version = world.store.version
    world.later()
    world.list()
    world.list(DAY)
    assert world.store.version == version


# The newest end


def test_nothing_new_costs_one_request(world):
    world.list()
    world.later()
    assert world.requests(world.list) == 1


@pytest.mark.parametrize(("new", "requests"), [(1, 1), (2, 2), (3, 2), (7, 3)])
def test_new_items_cost_their_pages(world, new, requests):
    # Two cost two: the page ends in the second of the newest known item, which may have others.
    world.list()
    world.source.add(*numbered(range(10, 10 + new)))
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
    world.source.add(record("0009", 9, "changed"))
    world.later()
    world.list()
    assert b"changed" in world.store.raw("0009", 9)


def test_a_history_of_a_page_is_asked_for_whole(path):
    with world_at(path, MemorySource(numbered(range(10)), page_size=10)) as world:
        world.list()
        world.source.discard("0003")
        world.later()
        assert world.requests(world.list) == 1
        assert world.list() == names(0, 1, 2, *range(4, 10))


def test_an_account_that_was_emptied_elsewhere_is_shown_empty(world):
    world.list()
    for n in range(10):
        world.source.discard(f"{n:04}")
    world.later()
    assert world.list() == []


def test_an_empty_account_is_known_and_gets_items(path):
    with world_at(path, MemorySource(page_size=2)) as world:
        assert world.list() == []
        world.source.add(*numbered(range(5)))
        world.later()
        assert world.list() == names(*range(5))


@pytest.mark.parametrize("failing", [1, 2])
def test_a_gap_below_new_items_is_not_served_as_if_it_was_known(world, failing):
    world.list()
    world.source.add(*numbered(range(10, 19)))
    world.later()
    world.source.fail("list", ServerFailed("500"), skip=failing)
    for span in (ALWAYS, Span(9, 30)):
        with pytest.raises(ServerFailed):
            world.list(span)
    assert world.list(Span(0, 9)) == names(*range(9))


class UntilReached(Waiter):
    """Gives up as soon as a call stands at a gate."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(10)
        self.gate = gate

    def at_most(self, seconds: float) -> Waiter:
        return self

    def remaining(self) -> float:
        return 0 if self.gate.reached.is_set() else super().remaining()

    def first(self, futures: object) -> NoReturn:
        self.gate.wait_until_reached()
        raise DeadlineExceeded("enough")


def test_a_gap_is_not_served_when_the_source_is_slow_either(world):
    world.list()
    world.source.add(*numbered(range(10, 19)))
    world.later()
    # The first page makes the gap, the second one does not come.
    with world.source.held("list", skip=1) as gate, pytest.raises(NotComplete):
        world.refresher.ensure(ALWAYS, UntilReached(gate))


# Years, months and days: which of them have items


def tens(count: int = 10) -> list[Span]:
    return [Span(start, start + 10) for start in range(0, 10 * count, 10)]


def test_one_unknown_span_costs_a_probe(large):
    assert large.ensure_newest(Span(20, 40)) == [39]
    assert large.source.calls[-1].argument == Query(Span(20, 40), limit=1)
    assert large.requests(lambda: large.ensure_newest(Span(20, 40))) == 0


def test_spans_that_hold_little_are_read_whole(path):
    source = MemorySource(numbered([5, 6, 25, 91]), page_size=10)
    with world_at(path, source) as world:
        assert world.requests(lambda: world.ensure_newest(*tens())) == 1
        assert world.ensure_newest(*tens()) == [6, None, 25, None, None, None, None, None, None, 91]
        assert world.covers(Span(0, 100))


def test_spans_that_hold_much_are_probed(path):
    source = MemorySource(numbered(range(1000)), page_size=10)
    with world_at(path, source) as world:
        months = [Span(start, start + 100) for start in range(0, 1000, 100)]
        assert world.ensure_newest(*months) == list(range(99, 1000, 100))
        probes = [call.argument for call in source.calls if call.argument.limit == 1]
        assert sorted(probe.span for probe in probes) == months[:-1]
        assert source.count("list") <= 9 + 4
        assert world.requests(lambda: world.ensure_newest(*months)) == 0


def test_large_spans_stay_settled_and_the_newest_end_is_kept_fresh(large):
    large.list()
    large.later()
    assert large.requests(lambda: large.ensure_newest(Span(0, 30), Span(30, 60))) == 0
    assert large.requests(lambda: large.ensure_newest(Span(60, 80), Span(80, 200))) == 1
    large.source.add(*numbered([100]))
    large.later()
    assert large.ensure_newest(Span(60, 80), Span(80, 200)) == [79, 100]


def test_small_spans_that_are_stale_are_asked_for_whole(large):
    large.list()
    large.source.discard("0019")
    large.later()
    assert large.ensure_newest(Span(16, 18), Span(18, 20)) == [17, 18]


def test_a_probe_is_answered_bit_by_bit(path):
    script = [Page([], "a"), Page([], "b"), Page(rows(25), "c"), Page([], "d")]
    with world_at(path, Scripted(*script)) as world:
        assert world.ensure_newest(Span(20, 40)) == [25]
        assert world.source.count("list") == 3


def test_a_probe_that_fails_settles_nothing(large):
    large.source.fail("list", ServerFailed("500"))
    with pytest.raises(ServerFailed):
        large.ensure_newest(Span(20, 40))
    large.source.recover()
    large.later(FAILURE_MEMORY + 1)
    assert large.ensure_newest(Span(20, 40)) == [39]


def test_a_day_inside_a_probed_span_is_still_asked_for(large):
    large.ensure_newest(Span(20, 40))
    assert large.list(Span(36, 40)) == names(36, 37, 38, 39)


# A source that fails, or is slow


def test_what_is_not_known_fails_with_the_source(world):
    world.source.fail("list", Unreachable("down"))
    for span in (DAY, ALWAYS):
        with pytest.raises(Unreachable):
            world.list(span)


def test_what_is_known_is_served_when_the_source_fails(world):
    world.list()
    world.later()
    world.source.fail("list", Unreachable("down"))
    assert world.list() == names(*range(10))
    assert world.list(DAY) == names(4, 5)
    assert world.ensure_newest(Span(0, 5), Span(5, 100)) == [4, 9]


def test_what_is_known_is_not_served_when_the_key_is_refused(world):
    world.list()
    world.later()
    world.source.fail("list", KeyRefused("no"))
    for _ in range(2):
        with pytest.raises(KeyRefused):
            world.list(DAY)


def test_what_is_known_is_served_when_the_source_is_slow(world):
    world.list()
    world.later()
    with world.source.held("list"):
        assert world.list(timeout=0.01) == names(*range(10))


def test_while_an_answer_is_overdue_what_is_known_waits_no_longer(large):
    large.list()
    large.later()
    with large.source.held("list") as gate:
        with pytest.raises(Interrupted):
            large.refresher.ensure(Span(0, 5), Waiter(10, lambda: True))
        gate.wait_until_reached()
        large.later(WAIT_BUDGET)
        assert large.requests(lambda: large.list(Span(50, 55), timeout=100)) == 0


@pytest.mark.parametrize("span", [DAY, ALWAYS])
def test_what_is_not_known_in_time_is_not_listed(world, span):
    with world.source.held("list"), pytest.raises(NotComplete):
        world.list(span, timeout=0.01)


def test_reading_goes_on_when_the_one_who_waits_gives_up(world):
    with world.source.held("list", skip=1) as gate:
        with pytest.raises(NotComplete):
            world.list(Span(0, 8), timeout=0.01)
        gate.wait_until_reached()
    assert world.list(Span(0, 8)) == names(*range(8))
    assert world.source.count("list") == 3


def test_an_interrupt_is_passed_on_even_when_something_is_known(world):
    world.list()
    world.later()
    with world.source.held("list"), pytest.raises(Interrupted):
        world.refresher.ensure(ALWAYS, Waiter(10, lambda: True))


def test_a_failure_is_remembered_for_a_while_and_no_longer(world):
    world.source.fail("list", Unreachable("down"))
    with pytest.raises(Unreachable):
        world.list(DAY)
    world.source.recover()
    world.later(PAUSES[0] - 0.1)
    with pytest.raises(Unreachable):
        world.list(DAY)
    assert world.source.count("list") == 1
    world.later(0.1)
    assert world.list(DAY) == names(4, 5)


def test_with_the_network_gone_a_walk_asks_once(world):
    world.list()
    world.later()
    world.source.fail("list", Unreachable("down"))
    assert world.requests(lambda: [world.list(Span(n, n + 1)) for n in range(10)]) == 1


# Pages that can't be trusted


class Scripted(MemorySource):
    """Returns given pages."""

    def __init__(self, *script: Page) -> None:
        super().__init__()
        self._script = iter(script)

    def list(self, query: Query) -> Page:
        super().list(query)
        return next(self._script)


def rows(*dates: int) -> list[object]:
    return numbered(dates)


@pytest.mark.parametrize(
    "script",
    [
        [Page(rows(9, 8), "c"), Page(rows(7, 6), "c"), Page(rows(5), None)],
        [Page(rows(9), "a"), Page(rows(8), "b"), Page(rows(7), "a"), Page(rows(6), None)],
        [Page([], "a"), Page([], "a"), Page([], None)],
    ],
    ids=["same cursor twice", "cursors in a circle", "no way on"],
)
def test_pages_that_can_not_be_trusted_are_refused(path, script):
    for span in (ALWAYS, Span(0, 20)):
        file = path.with_name(f"{span.end}.sqlite")
        with world_at(file, Scripted(*script)) as world, pytest.raises(BadAnswer):
            world.list(span)


def test_empty_pages_without_end_are_refused(path):
    script = [Page([], f"c{n}") for n in range(1000)]
    with world_at(path, Scripted(*script)) as world:
        with pytest.raises(BadAnswer):
            world.list(Span(0, 20))
        assert world.source.count("list") < 200


def test_what_was_fetched_just_now_is_not_asked_for_again_however_slow_it_came(world, monkeypatch):
    monkeypatch.setattr(world.store, "replace", slowly(world, world.store.replace))
    assert world.requests(lambda: world.list(DAY)) == 1


def slowly(world: World, action: Callable[..., None]) -> Callable[..., None]:
    def late(*arguments: object, **more: object) -> None:
        world.later()
        action(*arguments, **more)

    return late


# Two answers about the same time


def test_an_answer_that_took_longer_does_not_undo_a_newer_one(world, path):
    page = world.source.list(Query(DAY))
    asked = world.clock.now
    world.source.discard("0004")
    world.later()
    with world_at(path, world.source, clock=world.clock) as other:
        assert other.list(DAY) == names(5)
    world.store.replace(DAY, page.records, asked)
    assert world.known(DAY) == names(5)


def test_a_second_mount_uses_what_the_first_one_has_read(world, path):
    world.list()
    with world_at(path, world.source, clock=Clock()) as other:
        assert other.known() == names(*range(10))
        assert other.covers(ALWAYS)
