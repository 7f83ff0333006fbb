"""Answers that lack items: deleted items are removed, those that the server has stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from histfs.catalog.circuit_breaker import FAILURE_MEMORY
from histfs.core.errors import BadAnswer, InvalidRequest, Missing, ServerFailed
from histfs.core.source import Page, Query
from histfs.core.times import ALWAYS, Span
from tests.support.memory import MemorySource, record
from tests.support.world import World, names, numbered, world_at

Lie = Callable[[Page], Page]


class Liar(MemorySource):
    """Answers truly, unless the test sets how to falsify its pages.

    Attributes:
        lie: falsifies the next pages; None for true pages.
        lies: how many pages are still to be falsified.
    """

    lie: Lie | None = None
    lies = 0

    def list(self, query: Query) -> Page:
        page = super().list(query)
        if self.lies > 0 and self.lie is not None:
            self.lies -= 1
            return self.lie(page)
        return page


def nothing(page: Page) -> Page:
    return Page([], None)


def half(page: Page) -> Page:
    return Page(page.records[: len(page.records) // 2], None)


def without_three(page: Page) -> Page:
    return replace(page, records=[r for n, r in enumerate(page.records) if n not in (3, 30, 31)])


@pytest.fixture
def world(path) -> Iterator[World]:
    """A hundred items on a page, all known."""
    with world_at(path, Liar(numbered(range(100)), page_size=100)) as made:
        made.list()
        made.later()
        yield made


def lie(world: World, what: Lie, times: int = 1) -> None:
    world.source.lie, world.source.lies = what, times


@pytest.mark.parametrize("what", [nothing, half, without_three])
def test_one_untrue_answer_makes_nothing_forgotten(world, what):
    lie(world, what)
    assert world.list() == names(*range(100))
    world.later()
    assert world.list() == names(*range(100))


@pytest.mark.parametrize("span", [ALWAYS, Span(40, 50)])
def test_one_empty_answer_is_not_believed_where_nothing_is_known(path, span):
    with world_at(path, Liar(numbered(range(100)), page_size=100)) as world:
        lie(world, nothing)
        with pytest.raises(BadAnswer):
            world.list(span)
        assert world.known() == []
        world.later(FAILURE_MEMORY + 1)
        assert world.list(span) == names(*range(*span) if span != ALWAYS else range(100))


def test_an_empty_history_is_asked_for_twice_and_shown(path):
    with world_at(path, MemorySource(page_size=100)) as world:
        assert world.requests(world.list) == 2
        assert world.known() == []
        assert world.requests(world.list) == 0


@pytest.mark.parametrize("what", [nothing, half])
def test_an_answer_that_contradicts_the_server_itself_is_a_failure_that_is_told(world, what):
    lie(world, what)
    world.list()
    assert "known items no more, but has" in world.reader.outage.message
    world.later()
    world.list()
    assert world.reader.outage is None


def test_an_answer_that_contradicts_the_next_one_is_a_failure(world):
    # The server has lost its database: it has no item of an id either.
    lie(world, nothing)
    world.source.fail("get", Missing("not found"))
    assert world.list() == names(*range(100))
    assert "different items" in world.reader.outage.message


def test_items_that_are_never_listed_but_there_stay_and_come_back_into_the_list(world):
    lie(world, without_three, times=1000)
    for _ in range(3):
        assert world.list() == names(*range(100))
        world.later(700)
    lie(world, nothing, times=0)
    assert world.list() == names(*range(100))
    world.source.discard("0050")
    world.later()
    assert "0050" not in world.list()


def test_an_item_that_one_page_of_a_long_list_lacks_is_there_when_the_last_page_has_come(path):
    with world_at(path, Liar(numbered(range(40)), page_size=10)) as world:
        world.list()
        world.later()
        reading = world.reader.read(ALWAYS)
        reading.next()
        lie(world, without_three)
        while reading.next().more:
            world.later(1)
        assert world.known() == names(*range(40))


@pytest.mark.parametrize("error", [Missing("not found"), InvalidRequest("HTTP 400")])
def test_by_id_answers_of_a_server_that_knows_not_even_what_it_lists_prove_nothing(world, error):
    lie(world, without_three)
    world.source.fail("get", error)
    assert world.list() == names(*range(100))
    assert "different items" in world.reader.outage.message


def test_an_item_that_was_deleted_elsewhere_costs_two_questions(world):
    world.source.discard("0042")
    assert world.requests(world.list) == 1
    assert world.known() == names(*range(42), *range(43, 100))
    # For the item, and for one that is listed: does the server know any by its id?
    assert world.source.count("get") == 2


@pytest.mark.parametrize("left", [0, 1, 40])
def test_what_was_deleted_in_bulk_goes_after_a_few_requests(world, left):
    for number in range(left, 100):
        world.source.discard(f"{number:04}")
    assert world.requests(world.list) == 2
    assert world.known() == names(*range(left))
    assert world.source.count("get") == 5


def test_items_that_an_answer_lacks_beside_deleted_ones_are_not_forgotten(world, monkeypatch):
    gone = {f"{number:04}" for number in range(40, 52)}
    for item_id in gone:
        world.source.discard(item_id)

    def sample(missing, count):
        return [item for item in missing if item.id in gone][:count]

    monkeypatch.setattr("histfs.catalog.span_reader.random.sample", sample)
    lie(world, without_three)
    assert set(world.list()) >= set(names(*range(100))) - gone
    world.later()
    assert world.list() == names(*range(40), *range(52, 100))


def test_while_it_can_not_be_confirmed_nothing_is_forgotten(world):
    world.source.discard("0042")
    world.source.fail("get", ServerFailed("500"))
    assert "0042" in world.list()
    assert world.reader.outage.message == "500"


class Skipping(MemorySource):
    """Its cursors are numbers of items to skip.

    Attributes:
        between: called after each page.
    """

    between: Callable[[], None] = staticmethod(lambda: None)

    def list(self, query: Query) -> Page:
        skipped = int(query.after or 0)
        whole = self.records()
        found = [r for r in whole if query.span.holds(r.item.date)]
        size = min(query.limit or self.page_size, self.page_size)
        self._called("list", query)
        self.between()
        more = skipped + size < len(found)
        return Page(found[skipped : skipped + size], str(skipped + size) if more else None)


def test_a_delete_between_two_pages_hides_no_item_where_cursors_count(path):
    source = Skipping(numbered(range(40)), page_size=10)
    source.traits = replace(source.traits, stable_cursors=False)
    gone = iter(["0035", "0022", "0013"])

    def delete_one() -> None:
        for key in [next(gone, None)]:
            if key is not None:
                source.discard(key)

    source.between = delete_one
    with world_at(path, source) as world:
        there = world.list(Span(0, 40))
    assert set(names(*range(40))) - set(there) <= {"0035", "0022", "0013"}


def test_more_items_in_a_second_than_a_page_holds_are_read_by_cursor(path):
    source = Skipping((record(f"i{n:02}", 5) for n in range(26)), page_size=10)
    source.traits = replace(source.traits, stable_cursors=False)
    with world_at(path, source) as world:
        assert len(world.list(ALWAYS)) == 26


@pytest.mark.parametrize("size", [10, 100])
def test_a_scan_ends_where_pages_are_asked_for_by_time(path, size):
    source = Skipping(numbered(range(40)), page_size=size)
    source.traits = replace(source.traits, stable_cursors=False, disorder=3)
    with world_at(path, source) as world:
        steps = iter(range(20))
        while world.scanner.step() is not None:
            assert next(steps, None) is not None
        assert world.list() == names(*range(40))
