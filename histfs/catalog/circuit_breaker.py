"""A circuit breaker: after a failure, requests that would fail, too, are not sent for a while.

Whether the server can be reached at all is decided by `histfs.core.server_breaker`, which all
requests pass: lists, items, clips, deletions. This one asks it, and adds what the failure of a list
or a search says about the next ones while the server answers.

A failure is remembered for `FAILURE_MEMORY` seconds. Callers that can do without an answer then use
what is known, and the others fail at once. Which failure affects which requests:

    ========================  =====================  ====================  =====================
    failure                   of a listing           of a background page  of a search
    ========================  =====================  ====================  =====================
    Unreachable               all: server_breaker    the same              the same
    TimedOut                  all: server_breaker    the same              searches
    RateLimited               listings and searches  the same              the same
    KeyRefused                listings and searches  the same              searches
    ServerFailed (5xx)        listings and searches  that page             searches
    BadAnswer, PluginFailed   listings               that page             that search
    Rejected, Missing (4xx)   that span              that page             that search
    ========================  =====================  ====================  =====================

- A listing is a page of a span, or a probe for its newest item. A 4xx answers that one request. A
  body that isn't JSON, such as a captive portal's page, or pages that contradict each other, would
  fail the next listing, too; a search is sent all the same.
- A page that the scan reads in the background may lie in a span that no caller lists.
- A search may be slow, broken or refused to a key while listings work. So a failed search stops
  listings only where no connection can be made, or the account has used up its requests; any other
  fault of the server or the key shows at the cost of one listing.

Requests for one item, its details, its audio or another file of it, and its deletion, pass only the
server's breaker: any other failure of them affects nothing else. The first request to a source
(`histfs.mounting.source_probe`) is a listing, and counts as one; the probe remembers its failure,
too, for the folder of that source.

Threads: any number at once; `_lock` guards all state, and no other lock is taken while it is held.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterator
from enum import Enum
from typing import NamedTuple

from cachetools import LRUCache

from histfs.core.errors import (
    KeyRefused,
    Missing,
    RateLimited,
    Rejected,
    ServerFailed,
    TimedOut,
    Unreachable,
    without_traceback,
)
from histfs.core.server_breaker import ServerBreaker

#: Seconds that a listing which is known, but stale, waits for a fresh one.
WAIT_BUDGET = 5.0
#: Seconds after a failure in which no request is sent: what is known is shown, the rest fails.
FAILURE_MEMORY = 10.0
#: Requests whose own failures are remembered, at the most.
_REQUESTS = 256


class RequestKind(Enum):
    """The kinds of requests that one failure may affect together."""

    LISTING = "listing"
    SEARCH = "search"


_BOTH = (RequestKind.LISTING, RequestKind.SEARCH)


class _Failure(NamedTuple):
    """A failure, and when it happened on the breaker's clock."""

    at: float
    error: Exception


class _InFlight(NamedTuple):
    """A request under way, and when it began on the breaker's clock."""

    since: float
    kind: RequestKind
    background: bool


def affected_kinds(
    kind: RequestKind, error: Exception, background: bool
) -> tuple[RequestKind, ...]:
    """Return the kinds of requests that a failure affects here; empty for no other request.

    Args:
        kind: of the request that failed.
        error: how it failed.
        background: whether it was a page that no caller waits for.
    """
    if _concerns_server(kind, error):
        return ()
    if isinstance(error, RateLimited):
        return _BOTH
    if kind is RequestKind.SEARCH:
        return (
            (RequestKind.SEARCH,) if isinstance(error, (TimedOut, KeyRefused, ServerFailed)) else ()
        )
    if isinstance(error, KeyRefused):
        return _BOTH
    if background or isinstance(error, (Rejected, Missing)):
        return ()
    return _BOTH if isinstance(error, ServerFailed) else (RequestKind.LISTING,)


def _concerns_server(kind: RequestKind, error: Exception) -> bool:
    """Say whether the server's breaker decides what a failure affects."""
    slow_search = kind is RequestKind.SEARCH and isinstance(error, TimedOut)
    return isinstance(error, Unreachable) and not slow_search


class CircuitBreaker:
    """Knows which requests are under way, and which failed a moment ago.

    Args:
        clock: seconds; any origin.
        server: the breaker of the server, which the requests pass, too.
    """

    def __init__(self, clock: Callable[[], float], server: ServerBreaker) -> None:
        self._clock = clock
        self._server = server
        self._lock = threading.Lock()
        self._in_flight: dict[object, _InFlight] = {}
        self._failures: dict[RequestKind, _Failure] = {}
        self._own_failures: LRUCache[Hashable, _Failure] = LRUCache(_REQUESTS)
        self._used = clock()

    @contextlib.contextmanager
    def request(
        self,
        background: bool = False,
        *,
        kind: RequestKind = RequestKind.LISTING,
        key: Hashable = None,
    ) -> Iterator[None]:
        """Send a request within the block, which counts it and records its failure.

        Args:
            background: whether no caller waits for it. Its failure affects fewer other requests.
            kind: the kind of request.
            key: identifies the request; None for one that is not repeated as it is.

        Raises:
            SourceError: the same request failed a moment ago, for a reason of its own.
        """
        token = object()
        with self._lock:
            earlier = self._current(self._own_failures.get((kind, key)))
            if earlier is not None:
                raise without_traceback(earlier)
            self._in_flight[token] = _InFlight(self._clock(), kind, background)
        try:
            yield
        except Exception as error:
            with self._lock:
                self._record_failure(kind, key, error, background)
            raise
        else:
            with self._lock:
                self._record_success(kind)
        finally:
            with self._lock:
                del self._in_flight[token]
                if not background:
                    self._used = self._clock()

    def failure(self, kind: RequestKind = RequestKind.LISTING) -> Exception | None:
        """Return why requests of a kind are not to be sent for now; None when they are."""
        unreachable = self._server.failure()
        if unreachable is not None:
            return unreachable
        with self._lock:
            return self._current(self._failures.get(kind))

    def wait_budget(self, kind: RequestKind = RequestKind.LISTING) -> float:
        """Return the seconds that are worth waiting for an answer: 0 while one is overdue.

        An overdue search says nothing about listings: the server may need long to search.
        """
        with self._lock:
            now = self._clock()
            waited = max(
                (
                    now - each.since
                    for each in self._in_flight.values()
                    if not each.background and each.kind in (kind, RequestKind.LISTING)
                ),
                default=0,
            )
            return min(WAIT_BUDGET, max(0.0, WAIT_BUDGET - waited))

    def is_busy(self) -> bool:
        """Say whether a request is under way that a caller waits for."""
        with self._lock:
            return not all(each.background for each in self._in_flight.values())

    def idle_time(self) -> float:
        """Return the seconds since a caller last waited for a request."""
        with self._lock:
            return max(0.0, self._clock() - self._used)

    # Called with `_lock` held

    def _current(self, failure: _Failure | None) -> Exception | None:
        """Return the error of a failure unless it is too old."""
        if failure is None:
            return None
        return failure.error if 0 <= self._clock() - failure.at < FAILURE_MEMORY else None

    def _record_failure(
        self, kind: RequestKind, key: Hashable, error: Exception, background: bool
    ) -> None:
        """Remember a failure for the requests that it affects."""
        failure = _Failure(self._clock(), error)
        kinds = affected_kinds(kind, error, background)
        self._failures.update(dict.fromkeys(kinds, failure))
        own = not kinds and not _concerns_server(kind, error)
        if own and not background and key is not None:
            self._own_failures[kind, key] = failure

    def _record_success(self, kind: RequestKind) -> None:
        """Forget the failures that an answer disproves: those of its kind, and slow searches."""
        disproved = self._failures.get(kind)
        self._failures = {
            other: failure
            for other, failure in self._failures.items()
            if failure is not disproved and not isinstance(failure.error, TimedOut)
        }
