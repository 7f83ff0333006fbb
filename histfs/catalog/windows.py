"""Sets of half-open spans of time: which parts of the history are completely known. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from histfs.core.times import Span


class Windows:
    """A set of moments, kept as disjoint spans in order.

    Args:
        spans: in any order; those that overlap or touch become one.
    """

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._spans: list[Span] = []
        for span in sorted(spans):
            if span.start >= span.end:
                continue
            if self._spans and span.start <= self._spans[-1].end:
                last = self._spans.pop()
                span = Span(last.start, max(last.end, span.end))  # noqa: PLW2901
            self._spans.append(span)

    def __iter__(self) -> Iterator[Span]:
        return iter(self._spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Windows) and self._spans == other._spans

    def __hash__(self) -> int:
        return hash(tuple(self._spans))

    def __repr__(self) -> str:
        return f"Windows({self._spans!r})"

    def add(self, span: Span) -> Windows:
        """Return the set with a span put in."""
        return Windows([*self._spans, span])

    def remove(self, span: Span) -> Windows:
        """Return the set with a span taken out."""
        rest: list[Span] = []
        for known in self._spans:
            rest.append(Span(known.start, min(known.end, span.start)))
            rest.append(Span(max(known.start, span.end), known.end))
        return Windows(rest)

    def cover(self, span: Span) -> bool:
        """Say whether every moment of a span is in the set."""
        return span.start >= span.end or any(known.covers(span) for known in self._spans)

    def reaching(self, moment: int) -> Span | None:
        """Return the span that holds the moment just before ``moment``."""
        return next((s for s in self._spans if s.start < moment <= s.end), None)
