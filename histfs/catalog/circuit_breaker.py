"""Whether the source answers, so that those who can do without it don't wait again and again.

A failure is remembered for some seconds, in which nothing that it concerns is asked again. Which
failure concerns what:

    ========================  =====================  ====================  =====================
    failure                   of a listing           of a background page  of a search
    ========================  =====================  ====================  =====================
    Unreachable, RateLimited  listings and searches  the same              the same
    TimedOut                  listings and searches  the same              searches
    KeyRefused                listings and searches  the same              searches
    ServerFailed (5xx)        listings and searches  that page             searches
    BadAnswer, PluginFailed   listings               that page             that search
    Rejected, Missing (4xx)   that span              that page             that search
    ========================  =====================  ====================  =====================

- A listing is a page of a span, or a probe for its newest item. A 4xx answers the one question that
  was asked. What isn't JSON, such as a captive portal's page, or pages that can't be trusted, would
  be so for the next listing, too; a search finds out for itself.
- A page that the scan reads in the background may lie where nobody looks.
- A search may be slow, broken or closed to a key while listings work. So a failed search stops
  listings only where no connection can be made, or the account has used up its requests; what else
  is wrong with the server or the key a listing finds out with one request.

Other questions are not asked through here, as their failures concern nothing else: one item, its
details, its audio or another file of it, and its deletion concern that item. The first contact with
a source (`histfs.mounting.source_probe`) is a listing, and counts as one; the probe remembers its
failure, too, for the folder of that source.

Threads: any number at once; `_lock` guards all state.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterator
from enum import Enum

from cachetools import LRUCache

from histfs.core.errors import (
    ACCOUNT_WIDE,
    KeyRefused,
    Missing,
    RateLimited,
    Rejected,
    ServerFailed,
    TimedOut,
    Unreachable,
    without_traceback,
)

#: Seconds that a listing which is known, but not fresh, waits for news before it does without.
PATIENCE = 5.0
#: Seconds after a failure in which nothing is asked: what is known is shown, the rest fails.
FAILURE_MEMORY = 10.0
#: Questions whose own failures are remembered, at the most.
_QUESTIONS = 256


class RequestKind(Enum):
    """The kinds of questions that one failure may concern together."""

    LISTING = "listing"
    SEARCH = "search"


_BOTH = (RequestKind.LISTING, RequestKind.SEARCH)


def concerned(kind: RequestKind, error: Exception, background: bool) -> tuple[RequestKind, ...]:
    """Return the kinds of questions that a failure concerns; empty for no other question.

    Args:
        kind: of the question that failed.
        error: how it failed.
        background: whether it was a page that nobody waits for.
    """
    if kind is RequestKind.SEARCH:
        if isinstance(error, (Unreachable, RateLimited)) and not isinstance(error, TimedOut):
            return _BOTH
        return (
            (RequestKind.SEARCH,) if isinstance(error, (TimedOut, KeyRefused, ServerFailed)) else ()
        )
    if isinstance(error, ACCOUNT_WIDE):
        return _BOTH
    if background or isinstance(error, (Rejected, Missing)):
        return ()
    return _BOTH if isinstance(error, ServerFailed) else (RequestKind.LISTING,)


class CircuitBreaker:
    """Remembers what is being asked, and what failed.

    Args:
        clock: seconds; any origin.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._asking: dict[object, tuple[float, RequestKind, bool]] = {}
        self._failures: dict[RequestKind, tuple[float, Exception]] = {}
        self._refused: LRUCache[Hashable, tuple[float, Exception]] = LRUCache(_QUESTIONS)
        self._used = clock()

    @contextlib.contextmanager
    def asking(
        self,
        background: bool = False,
        *,
        kind: RequestKind = RequestKind.LISTING,
        question: Hashable = None,
    ) -> Iterator[None]:
        """Ask for something within the block.

        Args:
            background: whether others come first. A page that fails there fails nobody else's.
            kind: what is asked for.
            question: identifies the question; None for one that won't be asked again as it is.

        Raises:
            SourceError: the same question has failed a moment ago, and failed by itself.
        """
        token = object()
        with self._lock:
            refused = self._remembered(self._refused.get((kind, question)))
            if refused is not None:
                raise without_traceback(refused)
            self._asking[token] = (self._clock(), kind, background)
        try:
            yield
        except Exception as error:
            with self._lock:
                self._failed(kind, question, error, background)
            raise
        else:
            with self._lock:
                self._succeeded(kind)
        finally:
            with self._lock:
                del self._asking[token]
                if not background:
                    self._used = self._clock()

    def failure(self, kind: RequestKind = RequestKind.LISTING) -> Exception | None:
        """Return why questions of a kind are not to be asked for the moment; None when they are."""
        with self._lock:
            return self._remembered(self._failures.get(kind))

    def patience(self, kind: RequestKind = RequestKind.LISTING) -> float:
        """Return the seconds that are worth waiting for news: none while an answer is overdue.

        An overdue search says nothing of listings: searching may take the server long.
        """
        with self._lock:
            now = self._clock()
            waited = max(
                (
                    now - since
                    for since, asked, background in self._asking.values()
                    if not background and asked in (kind, RequestKind.LISTING)
                ),
                default=0,
            )
            return min(PATIENCE, max(0.0, PATIENCE - waited))

    def busy(self) -> bool:
        """Say whether somebody waits for an answer."""
        with self._lock:
            return not all(background for _, _, background in self._asking.values())

    def quiet(self) -> float:
        """Return the seconds since somebody has waited for an answer."""
        with self._lock:
            return max(0.0, self._clock() - self._used)

    def _remembered(self, failure: tuple[float, Exception] | None) -> Exception | None:
        """Return the error of a failure that isn't too long ago; called with `_lock` held."""
        if failure is None:
            return None
        since, error = failure
        return error if 0 <= self._clock() - since < FAILURE_MEMORY else None

    def _failed(
        self, kind: RequestKind, question: Hashable, error: Exception, background: bool
    ) -> None:
        """Remember a failure for what it concerns; called with `_lock` held."""
        failure = self._clock(), error
        kinds = concerned(kind, error, background)
        self._failures.update(dict.fromkeys(kinds, failure))
        if not kinds and not background and question is not None:
            self._refused[kind, question] = failure

    def _succeeded(self, kind: RequestKind) -> None:
        """Forget what the answer to a question disproves; called with `_lock` held.

        That is what concerned this kind, and that the server can't be reached.
        """
        disproved = self._failures.get(kind)
        self._failures = {
            other: failure
            for other, failure in self._failures.items()
            if failure is not disproved and not isinstance(failure[1], Unreachable)
        }
