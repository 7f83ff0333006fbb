"""One limit of concurrent requests for all sources of an account.

A request holds a slot from the moment before it is sent until its answer has ended, body included.
So the server never sees more than the limit from this process.

`AdaptiveLimit` learns how many requests the server allows at once. Servers rarely document that
number. The limit starts with the number that the user chose and then follows the answers (additive
increase, multiplicative decrease, as in RFC 5681):

- A refusal (429) halves the limit, or takes it back to the level from which it had just grown.
  Refusals of requests that were sent before the cut carry no new information and are ignored.
- One less than the level that was refused becomes the *ceiling*. Up to it the limit grows with each
  success. Beyond it the limit is probed: by one after each `_PROBE_INTERVAL` seconds without a
  refusal, because a refused probe costs requests.
- A number that the server states in a header bounds the limit from then on.

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
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from enum import IntEnum
from types import TracebackType

from histfs.core.errors import Interrupted, RateLimited
from histfs.core.supervision import INTERVAL, is_supervised, report

#: One slot of so many goes to the request that has waited longest.
_FAIR_TURN = 4
#: Seconds without a refusal after which one request more than the ceiling is tried; doubled each
#: time that the probe is refused.
_PROBE_INTERVAL, _MAX_PROBE_INTERVAL = 60.0, 960.0
#: Successes at a level after which a refusal there counts as chance: the server still counts a
#: request that has just ended, or another process of the account has sent one.
_SUSTAINED = 10

log = logging.getLogger(__name__)


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

    def allowed(self) -> int:
        """Return how many requests at once are allowed, without the spare one for a call."""
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


class AdaptiveLimit:
    """The number of requests at once that is allowed at present; `Limiter._lock` guards it.

    Args:
        maximum: requests at once that the user allows.
        clock: seconds, monotonic.

    Attributes:
        epoch: number of cuts of the limit so far. A request notes it when it starts.
    """

    def __init__(self, maximum: int, clock: Callable[[], float]) -> None:
        self.epoch = 0
        self._maximum = maximum
        self._clock = clock
        self._limit = float(maximum)
        # None before the first refusal, and when probes have passed `maximum`.
        self._ceiling: int | None = None
        self._stated: int | None = None
        # Successes in a row at the present level; and the level below, once the limit has grown.
        self._successes = 0
        self._proven = 0
        self._refused_at = clock()
        self._probe_interval = _PROBE_INTERVAL
        self._probing = False

    @property
    def allowed(self) -> int:
        """Requests at once, without the spare one."""
        limit = int(self._limit)
        return limit if self._stated is None else min(limit, self._stated)

    @property
    def has_spare(self) -> bool:
        """Whether nothing that is known of the server forbids one request more than `allowed`."""
        return self._ceiling is None and (self._stated is None or self._stated > self._maximum)

    def state_maximum(self, number: int) -> None:
        """Bound the limit by the number that the server states, at least 1."""
        self._stated = max(1, number)

    def succeeded(self, level: int, epoch: int) -> None:
        """Learn from a request that was answered.

        Args:
            level: requests under way when it was sent, itself included.
            epoch: `epoch` when it was sent.
        """
        # A level that was not reached has not been tried.
        if epoch != self.epoch or level < int(self._limit):
            return
        self._successes += 1
        if self._ceiling is not None and level >= self._ceiling:
            if self._successes >= _SUSTAINED:
                self._probing = False
            self._raise_ceiling(self._ceiling)
        before = int(self._limit)
        grown = self._limit + 1 / self._limit
        self._limit = min(grown, self._maximum, grown if self._ceiling is None else self._ceiling)
        if int(self._limit) > before:
            self._proven = before
            self._successes = 0

    def _raise_ceiling(self, ceiling: int) -> None:
        now = self._clock()
        if now - self._refused_at < self._probe_interval:
            return
        self._refused_at = now
        self._probing = True
        self._successes = 0
        self._ceiling = ceiling + 1 if ceiling < self._maximum else None

    def refused(self, level: int, epoch: int) -> None:
        """Learn from a request that was refused (429).

        Args:
            level: requests under way when it was sent or now, whichever is more.
            epoch: `epoch` when it was sent.
        """
        if epoch != self.epoch:
            return
        if self._successes < _SUSTAINED:
            lower = max(1, min(level - 1, self._maximum))
            self._ceiling = lower if self._ceiling is None else min(lower, self._ceiling)
            if self._probing:
                self._probe_interval = min(2 * self._probe_interval, _MAX_PROBE_INTERVAL)
        if level <= self._proven:
            self._proven = 0
        self._limit = max(1.0, min(self._limit, level) / 2, self._proven)
        self._probing = False
        self._successes = 0
        self.epoch += 1
        self._refused_at = self._clock()
        log.debug("refused with %d requests under way: now %d are allowed", level, self.allowed)


def _unmounted() -> Interrupted:
    return Interrupted("the filesystem is being unmounted")
