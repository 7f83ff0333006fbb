"""Coverage: the set of spans that are completely known, and when each was requested. Pure.

A covered span is half-open, in whole seconds. It has the moment of its request: an answer can't
hold any later change. Adjacent spans that were requested in the same second are merged, with the
earlier moment, so that a scan of a thousand pages leaves fewer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from histfs.core.times import Span


class CoveredSpan(NamedTuple):
    """A span that is completely known.

    Attributes:
        start: in seconds since the epoch.
        end: exclusive.
        requested_at: when it was requested from the server, in seconds since the epoch.
    """

    start: int
    end: int
    requested_at: float

    @property
    def span(self) -> Span:
        """The span alone."""
        return Span(self.start, self.end)


class Coverage:
    """An immutable set of disjoint covered spans, in the order of time.

    Args:
        spans: disjoint, in any order.
    """

    def __init__(self, spans: Iterable[CoveredSpan] = ()) -> None:
        self._spans: list[CoveredSpan] = []
        for span in sorted(spans):
            if span.start >= span.end:
                continue
            last = self._spans[-1] if self._spans else None
            if last and last.end == span.start and int(last.requested_at) == int(span.requested_at):
                requested_at = min(last.requested_at, span.requested_at)
                self._spans[-1] = CoveredSpan(last.start, span.end, requested_at)
            else:
                self._spans.append(span)

    def __iter__(self) -> Iterator[CoveredSpan]:
        return iter(self._spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Coverage) and self._spans == other._spans

    def __hash__(self) -> int:
        return hash(tuple(self._spans))

    def __repr__(self) -> str:
        return f"Coverage({self._spans!r})"

    def put(self, span: Span, requested_at: float) -> Coverage:
        """Return the coverage with a span; its part that was covered before is replaced."""
        return Coverage([*self.remove(span), CoveredSpan(*span, requested_at)])

    def remove(self, span: Span) -> Coverage:
        """Return the coverage without a span."""
        rest: list[CoveredSpan] = []
        for known in self._spans:
            rest.append(CoveredSpan(known.start, min(known.end, span.start), known.requested_at))
            rest.append(CoveredSpan(max(known.start, span.end), known.end, known.requested_at))
        return Coverage(rest)

    def requested_between(self, since: float, until: float) -> Coverage:
        """Return the spans that were requested from one moment to another.

        Args:
            since: in seconds since the epoch, inclusive.
            until: inclusive. Usually now: where the clock was set back by an hour, no answer must
                count as fresh for an hour.
        """
        return Coverage(known for known in self._spans if since <= known.requested_at <= until)

    def spans(self) -> list[Span]:
        """Return the covered spans, whenever they were requested, as few as possible."""
        merged: list[Span] = []
        for known in self._spans:
            if merged and merged[-1].end == known.start:
                merged[-1] = Span(merged[-1].start, known.end)
            else:
                merged.append(known.span)
        return merged

    def covers(self, span: Span) -> bool:
        """Say whether every moment of a span is covered."""
        reached = span.start
        for known in self._spans[max(0, bisect_right(self._spans, (span.start,)) - 1) :]:
            if reached >= span.end or known.start > reached:
                break
            reached = max(reached, known.end)
        return reached >= span.end

    def gaps(self, span: Span) -> list[Span]:
        """Return the parts of a span that are not covered, oldest first."""
        gaps = []
        reached = span.start
        for known in self.spans():
            if known.end <= reached:
                continue
            if known.start >= span.end:
                break
            if known.start > reached:
                gaps.append(Span(reached, known.start))
            reached = known.end
        if reached < span.end:
            gaps.append(Span(reached, span.end))
        return gaps
