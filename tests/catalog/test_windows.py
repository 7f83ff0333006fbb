from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from histfs.catalog.windows import Windows
from histfs.core.times import ALWAYS, Span

edges = st.integers(0, 24)
spans = st.builds(Span, edges, edges)
some_spans = st.lists(spans, max_size=8)
MOMENTS = range(-1, 26)


def moments(span: Span) -> set[int]:
    return set(range(span.start, span.end))


def model(some: list[Span]) -> set[int]:
    return set().union(*map(moments, some))


def seen(windows: Windows) -> set[int]:
    """The moments that are covered, asked one by one."""
    return {moment for moment in MOMENTS if windows.cover(Span(moment, moment + 1))}


@given(some_spans)
def test_the_windows_are_the_moments_of_their_spans(some):
    assert seen(Windows(some)) == model(some)


@given(some_spans, spans)
def test_a_span_is_put_in_and_taken_out(some, span):
    assert seen(Windows(some).add(span)) == model(some) | moments(span)
    assert seen(Windows(some).remove(span)) == model(some) - moments(span)


@given(some_spans, spans)
def test_a_span_is_covered_when_each_of_its_moments_is(some, span):
    assert Windows(some).cover(span) == (moments(span) <= model(some))


@given(some_spans)
def test_spans_are_disjoint_in_order_and_as_few_as_can_be(some):
    kept = list(Windows(some))
    assert all(span.start < span.end for span in kept)
    assert all(before.end < after.start for before, after in pairwise(kept))


@given(some_spans, some_spans)
def test_windows_are_equal_when_their_moments_are(some, others):
    equal = model(some) == model(others)
    assert (Windows(some) == Windows(others)) == equal
    assert not equal or hash(Windows(some)) == hash(Windows(others))


@given(some_spans, edges)
def test_the_span_that_reaches_a_moment_holds_the_one_before_it(some, moment):
    found = Windows(some).reaching(moment)
    if moment - 1 not in model(some):
        assert found is None
    else:
        assert found in list(Windows(some))
        assert found.start < moment <= found.end


def test_what_is_put_into_a_set_leaves_the_set_itself_as_it_was():
    windows = Windows([Span(0, 5)])
    windows.add(Span(5, 9))
    windows.remove(Span(1, 2))
    assert windows == Windows([Span(0, 5)])


def test_all_time_is_known_when_its_parts_are():
    windows = Windows([Span(ALWAYS.start, 7), Span(7, ALWAYS.end)])
    assert windows.cover(ALWAYS)
    assert not windows.remove(Span(6, 7)).cover(ALWAYS)
