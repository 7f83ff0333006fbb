"""Which spans of time are completely known, and since when. Pure.

A window is a half-open span of whole seconds with the moment at which the server was asked about
it: an answer can't tell of anything later. Windows that touch and were asked in the same second
are one, with the earlier moment, so that a scan of a thousand pages leaves fewer.
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
        end: the first second behind it.
        asked: when the server was asked, in seconds since the epoch.
    """

    start: int
    end: int
    asked: float

    @property
    def span(self) -> Span:
        """The span alone."""
        return Span(self.start, self.end)


class Coverage:
    """Disjoint windows in the order of time.

    Args:
        windows: disjoint, in any order.
    """

    def __init__(self, windows: Iterable[CoveredSpan] = ()) -> None:
        self._windows: list[CoveredSpan] = []
        for window in sorted(windows):
            if window.start >= window.end:
                continue
            last = self._windows[-1] if self._windows else None
            if last and last.end == window.start and int(last.asked) == int(window.asked):
                asked = min(last.asked, window.asked)
                self._windows[-1] = CoveredSpan(last.start, window.end, asked)
            else:
                self._windows.append(window)

    def __iter__(self) -> Iterator[CoveredSpan]:
        return iter(self._windows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Coverage) and self._windows == other._windows

    def __hash__(self) -> int:
        return hash(tuple(self._windows))

    def __repr__(self) -> str:
        return f"Windows({self._windows!r})"

    def put(self, span: Span, asked: float) -> Coverage:
        """Return the set with a span that was asked about; what was known of it before goes."""
        return Coverage([*self.remove(span), CoveredSpan(*span, asked)])

    def remove(self, span: Span) -> Coverage:
        """Return the set without a span."""
        rest: list[CoveredSpan] = []
        for known in self._windows:
            rest.append(CoveredSpan(known.start, min(known.end, span.start), known.asked))
            rest.append(CoveredSpan(max(known.start, span.end), known.end, known.asked))
        return Coverage(rest)

    def asked(self, since: float, until: float) -> Coverage:
        """Return the windows that were asked about from one moment to another.

        Args:
            since: in seconds since the epoch, inclusive.
            until: inclusive. Usually now: a clock that was set back must not make anything fresh
                for an hour.
        """
        return Coverage(known for known in self._windows if since <= known.asked <= until)

    def spans(self) -> list[Span]:
        """Return what is known, whenever it was asked about, as few spans as possible."""
        merged: list[Span] = []
        for known in self._windows:
            if merged and merged[-1].end == known.start:
                merged[-1] = Span(merged[-1].start, known.end)
            else:
                merged.append(known.span)
        return merged

    def cover(self, span: Span) -> bool:
        """Say whether every moment of a span is known."""
        reached = span.start
        for known in self._windows[max(0, bisect_right(self._windows, (span.start,)) - 1) :]:
            if reached >= span.end or known.start > reached:
                break
            reached = max(reached, known.end)
        return reached >= span.end

    def gaps(self, span: Span) -> list[Span]:
        """Return the parts of a span that are not known, oldest first."""
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
