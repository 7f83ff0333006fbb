"""Coverage against a model: each moment has the time at which it was requested, or none."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from histfs.catalog.coverage import Coverage, CoveredSpan
from histfs.core.times import ALWAYS, Span

#: Answers that were requested within one may be merged.
SECOND = 1.0
MOMENTS = range(9)

spans = st.tuples(st.sampled_from(MOMENTS), st.sampled_from(MOMENTS)).map(
    lambda edges: Span(min(edges), max(edges))
)
#: In seconds of their own.
apart = st.integers(0, 5).map(lambda number: number * (SECOND + 1))
#: Some of them in the same second.
near = st.integers(0, 10).map(lambda number: number * SECOND / 4)
#: Steps that put a second after another, next to each other.
neighbours = st.lists(
    st.tuples(st.integers(0, 4).map(lambda moment: Span(moment, moment + 1)), near), max_size=8
)


def steps(times):
    """Steps that build a coverage, in order; a span without a time is removed."""
    return st.lists(st.tuples(spans, st.none() | times), max_size=8)


def build(some) -> tuple[Coverage, dict[int, float]]:
    """Return a coverage, and its model, after some steps."""
    coverage, model = Coverage(), {}
    for span, asked in some:
        if asked is None:
            coverage = coverage.remove(span)
            model = {moment: at for moment, at in model.items() if not within(moment, span)}
        else:
            coverage = coverage.put(span, asked)
            model |= dict.fromkeys(range(*span), asked)
    return coverage, model


def within(moment: int, span: Span) -> bool:
    return span.start <= moment < span.end


def times(coverage: Coverage) -> dict[int, float]:
    """Return when each moment was requested."""
    return {moment: window.requested_at for window in coverage for moment in range(*window.span)}


@given(steps(apart))
def test_each_moment_is_known_since_it_was_asked_about_last(some):
    coverage, model = build(some)
    assert times(coverage) == model


@given(steps(near))
def test_a_moment_is_known_or_not_whatever_passes_for_the_same_time(some):
    coverage, model = build(some)
    assert times(coverage).keys() == model.keys()


@given(steps(near))
def test_windows_are_disjoint_and_in_order(some):
    coverage, _ = build(some)
    assert all(window.start < window.end for window in coverage)
    assert all(before.end <= after.start for before, after in pairwise(coverage))


@given(neighbours)
@example([(Span(0, 1), 0.0), (Span(2, 3), 0.75 * SECOND), (Span(1, 2), 1.5 * SECOND)])
def test_windows_that_are_made_again_of_what_they_are_stay_as_they_are(some):
    coverage, _ = build(some)
    assert Coverage(reversed(list(coverage))) == coverage


@given(neighbours)
def test_a_moment_never_gets_newer_and_older_only_by_what_passes_for_the_same_time(some):
    coverage, model = build(some)
    for moment, asked in times(coverage).items():
        assert model[moment] - SECOND <= asked <= model[moment]


def test_what_was_asked_page_after_page_becomes_a_few_windows():
    coverage = Coverage()
    for page in range(40):
        coverage = coverage.put(Span(100 - page, 101 - page), 1000 + SECOND * page / 4)
    assert coverage.spans() == [Span(61, 101)]
    assert len(list(coverage)) <= 12


@given(steps(near), spans)
def test_a_span_is_covered_when_each_of_its_moments_is(some, span):
    coverage, model = build(some)
    assert coverage.covers(span) == (set(range(*span)) <= model.keys())


@given(steps(near), spans)
def test_the_gaps_of_a_span_are_its_moments_that_are_not_known(some, span):
    coverage, model = build(some)
    gaps = coverage.gaps(span)
    found = [moment for gap in gaps for moment in range(*gap)]
    assert found == sorted(set(range(*span)) - model.keys())
    assert all(before.end < after.start for before, after in pairwise(gaps))


@given(steps(near))
def test_what_is_known_is_told_in_as_few_spans_as_can_be(some):
    coverage, model = build(some)
    kept = coverage.spans()
    assert [moment for span in kept for moment in range(*span)] == sorted(model)
    assert all(before.end < after.start for before, after in pairwise(kept))


@given(steps(apart), apart, apart)
def test_windows_are_chosen_by_when_they_were_asked_about(some, since, until):
    coverage, model = build(some)
    chosen = {moment: asked for moment, asked in model.items() if since <= asked <= until}
    assert times(coverage.requested_between(since, until)) == chosen


def test_what_was_asked_about_in_the_future_is_not_fresh():
    now = 1000.0
    coverage = Coverage([CoveredSpan(0, 5, now), CoveredSpan(5, 9, now + 3600)])
    assert coverage.covers(Span(0, 9))
    assert coverage.requested_between(now - 30, now).spans() == [Span(0, 5)]


@given(steps(apart), steps(apart))
def test_windows_are_equal_when_their_moments_are(some, others):
    (one, model), (other, other_model) = build(some), build(others)
    assert (one == other) == (model == other_model)
    assert one != other or hash(one) == hash(other)


def test_what_is_put_into_a_set_leaves_the_set_itself_as_it_was():
    coverage = Coverage([CoveredSpan(0, 5, 7.0)])
    coverage.put(Span(3, 9), 8.0)
    coverage.remove(Span(1, 2))
    assert list(coverage) == [CoveredSpan(0, 5, 7.0)]


@pytest.mark.parametrize("other", [None, 3, [CoveredSpan(0, 5, 7.0)]])
def test_windows_are_not_equal_to_anything_else(other):
    assert Coverage([CoveredSpan(0, 5, 7.0)]) != other


def test_all_time_is_known_when_its_parts_are():
    coverage = Coverage([CoveredSpan(ALWAYS.start, 7, 1.0), CoveredSpan(7, ALWAYS.end, 9.0)])
    assert coverage.covers(ALWAYS)
    assert coverage.spans() == [ALWAYS]
    assert coverage.gaps(ALWAYS) == []
    assert coverage.remove(Span(6, 7)).gaps(ALWAYS) == [Span(6, 7)]
