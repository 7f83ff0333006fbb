"""One limit of concurrent requests for all sources of an account.

`AdaptiveLimit` learns how many requests the server allows at once. A request holds a slot from the
moment before it is sent until its answer has ended, body included. So the server never sees more
than the limit from this process.

When a slot becomes free it goes to the request of the highest priority: first calls that a program
waits for (a listing, details, a delete), then audio that a program waits for, then background work.
Each fourth slot goes to the request that has waited longest, so that no request starves. While no
limit of the server is known, a call that a program waits for may use one slot more than the user
chose: a listing must not wait for the end of a long download.

Threads: any number at once. `Limiter._lock` guards the queue, the number of requests under way, the
pause and the `AdaptiveLimit`; it is never held while a request runs or a thread waits. While it is
held a log line may be written, which takes `LogRateLimit._lock`; no other lock is taken. The
`waited_for` callbacks are called with it held and must not block.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from enum import IntEnum
from types import TracebackType

from histfs.core.adaptive_limit import AdaptiveLimit
from histfs.core.errors import Interrupted, RateLimited
from histfs.core.supervision import INTERVAL, is_supervised, report

#: One slot of so many goes to the request that has waited longest.
_FAIR_TURN = 4
#: Seconds before a refused request is sent again, doubled from one refusal to the next.
_BACKOFF, _MAX_BACKOFF = 0.1, 10.0
#: The share of a request's timeout in which it is sent again. After it the caller gets the refusal
#: instead of the end of its own time.
_RETRY_SHARE = 0.5


def _always() -> bool:
    return True


_waited_for: ContextVar[Callable[[], bool]] = ContextVar("waited_for", default=_always)


@contextlib.contextmanager
def prioritised(waited_for: Callable[[], bool]) -> Iterator[None]:
    """Send the requests of this thread with a priority that may change while they wait.

    Args:
        waited_for: returns whether a program waits for the request; must not block. Outside this
            context a request counts as waited for.
    """
    token = _waited_for.set(waited_for)
    try:
        yield
    finally:
        _waited_for.reset(token)


class _Priority(IntEnum):
    """Requests of a lower number go first."""

    CALL = 0
    AUDIO = 1
    BACKGROUND = 2


class Slot:
    """One request under way; a context manager that releases the slot.

    Args:
        limiter: the limiter of the slot.
        level: requests under way when this one started, itself included.
        epoch: `AdaptiveLimit.epoch` at that time.
    """

    __slots__ = ("_limiter", "epoch", "level", "was_refused")

    def __init__(self, limiter: Limiter, level: int, epoch: int) -> None:
        self._limiter = limiter
        self.level = level
        self.epoch = epoch
        self.was_refused = False

    def refused(self) -> None:
        """Note that the server refused the request (429)."""
        self.was_refused = True
        self._limiter.refused(self)

    def __enter__(self) -> Slot:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._limiter.release(self, succeeded=kind is None and not self.was_refused)


class _Ticket:
    """A queued request."""

    __slots__ = ("_audio", "_waited_for", "granted", "slot")

    def __init__(self, audio: bool, waited_for: Callable[[], bool]) -> None:
        self._audio = audio
        self._waited_for = waited_for
        self.granted = threading.Event()
        self.slot: Slot | None = None

    @property
    def priority(self) -> _Priority:
        """The priority at present; it rises when a program begins to wait for the request."""
        if not self._waited_for():
            return _Priority.BACKGROUND
        return _Priority.AUDIO if self._audio else _Priority.CALL


class Limiter:
    """Limits concurrent requests to what the user and the server allow.

    Args:
        maximum: requests at once that the user allows.
        clock: seconds, monotonic.
    """

    def __init__(self, maximum: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._limit = AdaptiveLimit(maximum, clock)
        # An ordered set: the first one has waited longest.
        self._queue: dict[_Ticket, None] = {}
        self._in_flight = 0
        self._grants = 0
        self._paused_until = clock()
        self._closing = threading.Event()

    @property
    def allowed(self) -> int:
        """Requests at once that are allowed at present, without the spare one for a call."""
        with self._lock:
            return self._limit.allowed

    def acquire(self, *, audio: bool, timeout: float) -> Slot:
        """Wait for a slot.

        Args:
            audio: whether the request fetches audio, whose answer may take long.
            timeout: seconds to wait at most.

        Raises:
            RateLimited: no slot became free in time.
            Interrupted: the limiter is closed.
            HistfsError: the supervisor of this context ended the request.
        """
        ticket = _Ticket(audio, _waited_for.get())
        deadline = self._clock() + timeout
        with self._lock:
            self._queue[ticket] = None
        try:
            return self._wait(ticket, deadline)
        except BaseException:
            with self._lock:
                self._queue.pop(ticket, None)
                slot = ticket.slot
            if slot is not None:
                self.release(slot, succeeded=False)
            raise

    def release(self, slot: Slot, *, succeeded: bool) -> None:
        """Free a slot; `Slot` calls this.

        Args:
            slot: from `acquire`.
            succeeded: whether the answer arrived completely.
        """
        with self._lock:
            if succeeded:
                self._limit.succeeded(slot.level, slot.epoch)
            self._in_flight -= 1
            self._grant()

    def refused(self, slot: Slot) -> None:
        """Lower the limit; `Slot` calls this."""
        with self._lock:
            self._limit.refused(max(slot.level, self._in_flight), slot.epoch)

    def hold(self, seconds: float) -> None:
        """Start no request for some seconds, because the server asks for a pause."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + seconds)

    def state_maximum(self, number: int) -> None:
        """Bound the limit by the number that the server states, at least 1."""
        with self._lock:
            self._limit.state_maximum(number)
            self._grant()

    def pause(self, seconds: float) -> None:
        """Wait before a refused request is sent again.

        Raises:
            Interrupted: the limiter is closed.
        """
        if self._closing.wait(seconds):
            raise _unmounted()

    def close(self) -> None:
        """Start no more requests, and wake the threads that wait for a slot."""
        self._closing.set()
        with self._lock:
            for ticket in self._queue:
                ticket.granted.set()

    # Slots

    def _wait(self, ticket: _Ticket, deadline: float) -> Slot:
        while True:
            with self._lock:
                if self._closing.is_set():
                    raise _unmounted()
                self._grant()
                if ticket.slot is not None:
                    return ticket.slot
                now, paused_until = self._clock(), self._paused_until
                pause = paused_until - now
                if pause > 0 and deadline <= paused_until:
                    raise RateLimited(f"the server asks for a pause of {pause:.0f} seconds")
                if now >= deadline:
                    raise RateLimited(
                        "the request could not be sent in time:"
                        f" {self._in_flight} others were under way"
                    )
            report(0)
            timeout = pause if pause > 0 else deadline - now
            ticket.granted.wait(min(timeout, INTERVAL) if is_supervised() else timeout)

    def _grant(self) -> None:
        """Start queued requests while there is room; called with `_lock` held."""
        while (ticket := self._next()) is not None:
            del self._queue[ticket]
            self._in_flight += 1
            self._grants += 1
            ticket.slot = Slot(self, self._in_flight, self._limit.epoch)
            ticket.granted.set()

    def _next(self) -> _Ticket | None:
        """Choose the next request; None when there is no room. Called with `_lock` held."""
        room = self._limit.allowed - self._in_flight
        if not self._queue or room + self._limit.has_spare <= 0:
            return None
        if self._clock() < self._paused_until:
            return None
        if room > 0 and self._grants % _FAIR_TURN == _FAIR_TURN - 1:
            return next(iter(self._queue))
        # The oldest one of the highest priority.
        first = min(self._queue, key=lambda ticket: ticket.priority)
        return first if room > 0 or first.priority is _Priority.CALL else None


class Attempts:
    """The attempts of one request that a server refuses with 429, with exponential backoff.

    Args:
        limiter: grants the slots.
        audio: as in `Limiter.acquire`.
        timeout: seconds that each attempt may wait for its slot. No attempt begins later than half
            of that after the first one.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        limiter: Limiter,
        *,
        audio: bool,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limiter = limiter
        self._audio = audio
        self._clock = clock
        self._timeout = timeout
        self._deadline = clock() + _RETRY_SHARE * timeout
        self._backoff = _BACKOFF

    def slot(self) -> Slot:
        """Wait for the slot of the next attempt.

        Raises:
            RateLimited: no slot became free in time.
            Interrupted: the limiter is closed.
        """
        return self._limiter.acquire(audio=self._audio, timeout=self._timeout)

    def pause(self, refusal: RateLimited) -> None:
        """Back off before the next attempt; the caller holds no slot.

        Raises:
            RateLimited: the refusal itself, when no time is left for another attempt.
            Interrupted: the limiter is closed.
        """
        asked = refusal.retry_after or 0.0
        # With jitter: requests that were refused together must not be sent together again.
        seconds = max(self._backoff * random.uniform(0.5, 1.0), asked)
        # No pause for the others, then, either: the next request may be answered.
        if self._clock() + seconds >= self._deadline:
            raise refusal
        self._limiter.hold(asked)
        self._backoff = min(2 * self._backoff, _MAX_BACKOFF)
        self._limiter.pause(seconds)


def _unmounted() -> Interrupted:
    return Interrupted("the filesystem is being unmounted")
