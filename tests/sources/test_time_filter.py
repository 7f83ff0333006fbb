"""A source whose server can't filter by time: histfs filters, and reads no more than needed."""

from __future__ import annotations

import pytest

from histfs.catalog.pager import Pager
from histfs.core.errors import BadAnswer
from histfs.core.source import SPAN, Page, Query, Traits
from histfs.core.times import ALWAYS, Span
from histfs.sources.time_filter import TimeFilter
from tests.support.memory import MemorySource, record


@pytest.fixture
def source():
    """A source of a thousand items, one a second, two on a page."""
    return MemorySource((record(f"{date:04}", date) for date in range(1000)), page_size=2)


def listed(source, span):
    pager, found, more = Pager(TimeFilter(source), span), [], True
    while more:
        answer = pager.next()
        found += [r.item.date for r in answer.records if answer.span.holds(r.item.date)]
        more = answer.more
    return found


@pytest.mark.parametrize(
    "span", [Span(995, ALWAYS.end), Span(10, 15), Span(ALWAYS.start, 3), Span(4000, 5000)]
)
def test_a_span_is_cut_out_of_all_however_deep_it_lies(source, span):
    assert listed(source, span) == [date for date in range(999, -1, -1) if span.holds(date)]


def test_what_lies_below_a_span_is_not_read(source):
    listed(source, Span(990, ALWAYS.end))
    assert source.count("list") == 6


def test_the_source_is_asked_for_nothing_that_it_cant_do(source):
    listed(source, Span(990, 995))
    assert {call.argument.span for call in source.calls} == {ALWAYS}


def test_a_limit_counts_the_items_that_are_wanted(source):
    filtered = TimeFilter(source)
    (newest,) = filtered.list(Query(Span(0, ALWAYS.end), limit=1)).records
    assert newest.item.date == 999
    assert filtered.list(Query(Span(0, 5), limit=1)).records[0].item.date == 4


def test_it_has_the_filter_and_what_else_the_source_has():
    source = MemorySource()
    source.traits = Traits(facets=frozenset({"voice"}), filters=frozenset({"words"}), page_size=7)
    traits = TimeFilter(source).traits
    assert traits.filters == {"words", SPAN}
    assert (traits.facets, traits.page_size) == ({"voice"}, 7)


def test_pages_that_lead_nowhere_come_to_an_end(source):
    page = Page(source.list(Query(limit=1)).records, "again")
    source.list = lambda query: page
    with pytest.raises(BadAnswer, match="twice"):
        TimeFilter(source).list(Query(Span(0, 5)))


def test_an_empty_page_in_the_middle_is_handed_on_for_the_reader_to_count(source):
    source.list = lambda query: Page([], f"{query.after}+")
    assert TimeFilter(source).list(Query(Span(0, 5), after="a")) == Page([], "a+")
