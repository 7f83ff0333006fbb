from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histfs.catalog.pager import Pager, SpanPage
from histfs.core.errors import BadAnswer, ServerFailed
from histfs.core.source import Page, Query, Traits
from histfs.core.times import ALWAYS, Span
from tests.support.memory import MemorySource
from tests.support.memory import record as full_record

SPAN = Span(0, 100)


def record(date: int, letter: str = "a"):
    return full_record(f"{date}{letter}", date)


class Script:
    """A source that returns given pages, whatever the query.

    Attributes:
        queries: what it was asked.
    """

    def __init__(self, *pages: Page, disorder: int = 0) -> None:
        self.traits = Traits(disorder=disorder)
        self.queries: list[Query] = []
        self._pages = iter(pages)

    def list(self, query: Query) -> Page:
        self.queries.append(query)
        return next(self._pages)


def page(*dates: int | str, cursor: str | None = None) -> Page:
    """A page of items; one that is given as "7b" is another one of its second."""
    return Page([record(d) if isinstance(d, int) else record(int(d[:-1]), d[-1]) for d in dates],
                cursor)  # fmt: skip


def keys(answer: SpanPage) -> list[str]:
    return [record.item.key for record in answer.records]


def answers(*pages: Page, span: Span = SPAN) -> list[tuple[Span, list[str], Span]]:
    pager = Pager(Script(*pages), span)
    return [(each.span, keys(each), each.rest) for each in (pager.next() for _ in pages)]


def walk(pager: Pager, most: int = 1000) -> list[SpanPage]:
    """Return all answers, down to the start."""
    found = [pager.next()]
    while found[-1].rest.start < found[-1].rest.end:
        found.append(pager.next())
        assert len(found) <= most
    return found


def check(span: Span, found: Sequence[SpanPage], everything: Sequence[int]) -> None:
    """Check that the answers are adjacent, and each holds all items of its span."""
    top = span.end
    for answer in found:
        assert answer.span.end == top
        assert answer.rest == Span(span.start, answer.span.start)
        top = answer.span.start
        told = {record.item.key for record in answer.records}
        assert {f"id{n}" for n, date in enumerate(everything) if top <= date < answer.span.end} <= (
            told
        )
        dates = [record.item.date for record in answer.records]
        assert dates == sorted(dates, reverse=True)
    assert top == span.start


dates = st.lists(st.integers(0, 12), max_size=20)
spans = st.tuples(st.integers(0, 13), st.integers(0, 13)).map(lambda edges: Span(*sorted(edges)))


@given(dates, st.just(ALWAYS) | spans, st.integers(1, 6), st.none() | st.integers(1, 3))
def test_the_answers_are_adjacent_and_each_holds_all_items_of_its_span(some, span, size, limit):
    source = MemorySource([full_record(f"id{n}", date) for n, date in enumerate(some)], size)
    found = walk(Pager(source, span, limit))
    check(span, found, some)
    assert {call.argument.span for call in source.calls} == {span}
    assert {call.argument.limit for call in source.calls} == {limit}


@given(dates, spans, st.integers(1, 6), st.lists(st.booleans(), max_size=10))
def test_the_same_holds_of_a_server_that_ignores_the_start_and_has_empty_pages(
    some, span, size, empty
):
    rows = [full_record(f"id{n}", date) for n, date in enumerate(some) if date < span.end]
    rows.sort(key=lambda row: (-row.item.date, row.item.key))
    pages = [rows[start : start + size] for start in range(0, len(rows), size)] or [[]]
    for number, before in enumerate(empty):
        if before:
            pages.insert(number, [])
    last = len(pages) - 1
    script = Script(*(Page(each, None if n == last else f"c{n}") for n, each in enumerate(pages)))
    check(span, walk(Pager(script, span)), some)


def test_a_page_that_ends_within_a_second_passes_on_what_it_has_of_it():
    assert answers(page(9, 7, "5a", cursor="1"), page("5b", 3)) == [
        (Span(6, 100), ["9a", "7a", "5a"], Span(0, 6)),
        (Span(0, 6), ["5a", "5b", "3a"], Span(0, 0)),
    ]


def test_a_second_of_more_than_a_page_is_told_when_its_last_page_is():
    assert answers(
        page("5a", "5b", cursor="1"), page("5c", "5d", cursor="2"), page("5e", 4, cursor="3"),
        page(2),
    ) == [
        (Span(6, 100), ["5a", "5b"], Span(0, 6)),
        (Span(6, 6), ["5a", "5b", "5c", "5d"], Span(0, 6)),
        (Span(5, 6), ["5a", "5b", "5c", "5d", "5e", "4a"], Span(0, 5)),
        (Span(0, 5), ["4a", "2a"], Span(0, 0)),
    ]  # fmt: skip


def test_an_empty_page_in_between_tells_nothing():
    assert answers(page(cursor="1"), page(5, cursor="2"), page(cursor="3"), page(3)) == [
        (Span(100, 100), [], Span(0, 100)),
        (Span(6, 100), ["5a"], Span(0, 6)),
        (Span(6, 6), ["5a"], Span(0, 6)),
        (Span(0, 6), ["5a", "3a"], Span(0, 0)),
    ]


def test_an_empty_answer_tells_that_there_is_nothing():
    assert answers(page()) == [(SPAN, [], Span(0, 0))]


def test_a_server_that_ignores_the_start_of_a_span_makes_it_no_longer():
    assert answers(page(60, 40, cursor="1"), span=Span(50, 100)) == [
        (Span(50, 100), ["60a", "40a"], Span(50, 50))
    ]
    assert answers(page(60, 40), span=Span(50, 100)) == [
        (Span(50, 100), ["60a", "40a"], Span(50, 50))
    ]


def test_a_single_item_that_is_asked_for_tells_all_above_it():
    source = MemorySource([record(3), record(7), record(7, "b")])
    answer = Pager(source, SPAN, limit=1).next()
    assert (answer.span, len(answer.records), answer.rest) == (Span(8, 100), 1, Span(0, 8))
    assert source.calls[0].argument == Query(SPAN, limit=1)


def test_a_single_item_that_is_not_there_tells_all():
    answer = Pager(MemorySource([record(200)]), SPAN, limit=1).next()
    assert (answer.span, list(answer.records)) == (SPAN, [])


def test_each_page_is_asked_for_with_the_cursor_of_the_one_before():
    script = Script(page(9, cursor="x"), page(8, cursor="y"), page(7))
    walk(Pager(script, SPAN))
    assert script.queries == [Query(SPAN), Query(SPAN, "x"), Query(SPAN, "y")]


@pytest.mark.parametrize(
    "pages",
    [
        [page(6, cursor="1"), page(5, cursor="1")],
        [page(6, cursor="1"), page(5, cursor="2"), page(4, cursor="1")],
        [page(cursor="1"), page(cursor="1")],
    ],
    ids=["a cursor again", "a cursor from before", "nothing again"],
)
def test_pages_that_lead_nowhere_are_told_as_such(pages):
    pager = Pager(Script(*pages), SPAN)
    for _ in pages[:-1]:
        pager.next()
    with pytest.raises(BadAnswer):
        pager.next()


# Lists that are not in the order of time


def test_within_its_disorder_a_list_tells_what_no_later_page_can_add_to():
    script = Script(page(60, 50, 55, cursor="1"), page(58, 30), disorder=10)
    pager = Pager(script, SPAN)
    first, last = pager.next(), pager.next()
    assert (first.span, first.rest) == (Span(61, 100), Span(0, 61))
    assert (last.span, keys(last)) == (Span(0, 61), ["60a", "58a", "55a", "50a", "30a"])


def test_a_list_is_asked_for_as_far_beyond_the_span_as_the_disorder_reaches():
    script = Script(page(105, 60, 45), disorder=10)
    answer = Pager(script, Span(50, 100)).next()
    assert script.queries == [Query(Span(40, 110))]
    assert answer.span == Span(50, 100)


def test_as_soon_as_the_order_is_worse_nothing_is_told_before_the_last_page():
    pages = [page(9, 7, cursor="1"), page("8b", 5, cursor="2"), page(3)]
    pager = Pager(Script(*pages[:2], *pages), SPAN)
    assert pager.next().span == Span(8, 100)
    broken = pager.next()
    assert (broken.span, broken.rest, broken.retracted) == (Span(100, 100), SPAN, Span(8, 100))
    found = [pager.next() for _ in pages]
    assert [(each.span, each.rest) for each in found] == [
        (Span(100, 100), SPAN), (Span(100, 100), SPAN), (SPAN, Span(0, 0)),
    ]  # fmt: skip
    assert found[-1].seen == {(9, "9a"), (7, "7a"), (8, "8b"), (5, "5a"), (3, "3a")}


def test_a_list_whose_first_page_is_out_of_order_is_not_asked_for_twice():
    script = Script(page(5, 9, cursor="1"), page(7))
    found = walk(Pager(script, SPAN))
    assert [each.span for each in found] == [Span(100, 100), SPAN]
    assert script.queries == [Query(SPAN), Query(SPAN, "1")]
    assert found[-1].seen == {(5, "5a"), (9, "9a"), (7, "7a")}


def test_a_page_that_repeats_items_of_the_page_before_is_in_order():
    pages = page(9, 8, 7, cursor="1"), page(8, 7, 6, cursor="2"), page(5)
    assert [each.ordered for each in walk(Pager(Script(*pages), SPAN))] == [True] * 3


def test_a_page_that_failed_can_be_asked_for_again():
    source = MemorySource([record(date) for date in range(9)], page_size=4)
    pager = Pager(source, SPAN)
    pager.next()
    source.fail("list", ServerFailed("500"))
    with pytest.raises(ServerFailed):
        pager.next()
    source.recover()
    answer = pager.next()
    assert (answer.span, keys(answer)) == (Span(2, 6), ["5a", "4a", "3a", "2a", "1a"])
