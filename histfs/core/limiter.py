"""How many requests of one account are under way at once: one limit for all of its sources.

The number of requests that a server allows at once is rarely documented, so it is learnt. The
limiter starts with the number that the user chose and follows the answers (additive increase,
multiplicative decrease, as in RFC 5681):

- A refusal (429) halves the limit, or takes it back to the level from which it had just grown.
  Refusals of requests that were sent before the cut say nothing new.
- One less than the level that was refused becomes the *ceiling*. Up to it the limit grows back with
  each success, beyond it by one for each `_PROBE_AFTER` seconds without a refusal, because a probe
  that fails costs requests.
- A number that the server states in a header bounds the limit from then on.

A request counts from the moment before it is sent until its answer has ended, body included. So the
server never sees more than the limit from this process.

Which request goes next is decided when a slot becomes free: calls that a program waits for first
(a listing, details, a delete), then audio that a program waits for, then work in the background.
Each fourth slot goes to the request that has waited longest, so that nothing starves. While no
limit of the server is known, a call that a program waits for may use one slot more than the user
chose: a listing must not wait for the end of a long download.

Threads: any number at once. `_lock` guards all state; it is never held while a request runs or a
thread waits. The `waited_for` callbacks are called with it held, and must not block.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from enum import IntEnum
from types import TracebackType

from histfs.core.errors import Interrupted, RateLimited
from histfs.core.supervision import INTERVAL, is_supervised, report

#: Seconds without a refusal after which one request more than the ceiling is tried; doubled each
#: time that the try is refused.
_PROBE_AFTER, _LONGEST_PROBE_AFTER = 60.0, 960.0
#: Successes at a level after which a refusal there is taken for chance: the server still counts a
#: request that has just ended, or another process of the account has sent one.
_SUSTAINED = 10
#: Every so many slots, the request that has waited longest gets the slot.
_FAIR_TURN = 4
#: Seconds before a refused request is sent again, doubled from one refusal to the next.
_BACKOFF, _LONGEST_BACKOFF = 0.1, 10.0
#: The part of a request's patience in which it is sent again: after it the caller gets the refusal,
#: and not the end of its own time.
_SHARE = 0.5

log = logging.getLogger(__name__)


def _always() -> bool:
    return True


_waited_for: ContextVar[Callable[[], bool]] = ContextVar("waited_for", default=_always)


@contextlib.contextmanager
def prioritised(waited_for: Callable[[], bool]) -> Iterator[None]:
    """Send the requests of this thread with a priority that may change while they wait.

    Args:
        waited_for: says whether a program waits for the request; must not block. Without this
            context a request counts as waited for.
    """
    token = _waited_for.set(waited_for)
    try:
        yield
    finally:
        _waited_for.reset(token)


class _Rank(IntEnum):
    """Which requests go first."""

    CALL = 0
    AUDIO = 1
    BACKGROUND = 2


class Slot:
    """The place of one request among those under way; a context manager that gives it back.

    Args:
        limiter: gets it back.
        level: requests under way when this one was let through, itself included.
        epoch: number of cuts of the limit before it was let through.
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
    """A request that waits for its slot."""

    __slots__ = ("_audio", "_waited_for", "granted", "slot")

    def __init__(self, audio: bool, waited_for: Callable[[], bool]) -> None:
        self._audio = audio
        self._waited_for = waited_for
        self.granted = threading.Event()
        self.slot: Slot | None = None

    @property
    def rank(self) -> _Rank:
        """As of now: a program may have come to wait for it."""
        if not self._waited_for():
            return _Rank.BACKGROUND
        return _Rank.AUDIO if self._audio else _Rank.CALL


class Limiter:
    """Lets requests through, as many at once as the user and the server allow.

    Args:
        most: requests at once that the user allows.
        clock: seconds, monotonic.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        # Dicts are ordered: the first one has waited longest.
        self._waiting: dict[_Ticket, None] = {}
        self._in_flight = 0
        self._grants = 0
        self._limit = float(most)
        # What refusals have taught; None while nothing, or when it is more than `most`.
        self._ceiling: int | None = None
        self._stated: int | None = None
        self._epoch = 0
        self._sustained = 0
        self._proven = 0
        self._refused_at = clock()
        self._probe_after = _PROBE_AFTER
        self._probing = False
        self._hold_until = clock()
        self._closing = threading.Event()

    @property
    def allowed(self) -> int:
        """Requests at once that are allowed as things are, the one for a call not included."""
        with self._lock:
            return self._allowed()

    def acquire(self, *, audio: bool, patience: float) -> Slot:
        """Wait for a slot.

        Args:
            audio: whether the request asks for audio, whose answer may take long.
            patience: seconds to wait, at the most.

        Raises:
            RateLimited: there was none in time.
            Interrupted: the limiter is closed.
            HistfsError: the supervisor of this context ends the request.
        """
        ticket = _Ticket(audio, _waited_for.get())
        deadline = self._clock() + patience
        with self._lock:
            self._waiting[ticket] = None
        try:
            return self._wait(ticket, deadline)
        except BaseException:
            with self._lock:
                self._waiting.pop(ticket, None)
                granted = ticket.slot
            if granted is not None:
                self.release(granted, succeeded=False)
            raise

    def release(self, slot: Slot, *, succeeded: bool) -> None:
        """Take a slot back; `Slot` calls this.

        Args:
            slot: from `acquire`.
            succeeded: whether the request was answered, and its answer has come whole.
        """
        with self._lock:
            if succeeded and slot.epoch == self._epoch:
                self._learn_from_success(slot)
            self._in_flight -= 1
            self._grant()

    def refused(self, slot: Slot) -> None:
        """Allow fewer requests from now on; `Slot` calls this."""
        with self._lock:
            if slot.epoch == self._epoch:
                self._learn_from_refusal(max(slot.level, self._in_flight), self._clock())

    def hold(self, seconds: float) -> None:
        """Let no request through for some seconds, because the server asks for it."""
        with self._lock:
            self._hold_until = max(self._hold_until, self._clock() + seconds)

    def state_maximum(self, number: int) -> None:
        """Take the number of requests that the server says it allows at once.

        Args:
            number: at least 1.
        """
        with self._lock:
            self._stated = max(1, number)
            self._grant()

    def pause(self, seconds: float) -> None:
        """Wait before a refused request is sent again.

        Raises:
            Interrupted: the limiter is closed.
        """
        if self._closing.wait(seconds):
            raise _unmounted()

    def close(self) -> None:
        """Let no more requests through, and wake those that wait."""
        self._closing.set()
        with self._lock:
            for ticket in self._waiting:
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
                now, hold = self._clock(), self._hold_until
                if now < hold and deadline <= hold:
                    raise RateLimited(f"the server asks for a pause of {hold - now:.0f} seconds")
                if now >= deadline:
                    raise RateLimited(
                        "the request could not be sent in time:"
                        f" {self._in_flight} others were under way"
                    )
            report(0)
            pause = (hold if hold > now else deadline) - now
            ticket.granted.wait(min(pause, INTERVAL) if is_supervised() else pause)

    def _grant(self) -> None:
        """Let through what there is room for; called with `_lock` held."""
        while (ticket := self._next()) is not None:
            del self._waiting[ticket]
            self._in_flight += 1
            self._grants += 1
            ticket.slot = Slot(self, self._in_flight, self._epoch)
            ticket.granted.set()

    def _next(self) -> _Ticket | None:
        """Choose the next request, if there is room for it; called with `_lock` held."""
        spare = 1 if self._has_spare() else 0
        room = self._allowed() - self._in_flight
        if not self._waiting or room + spare <= 0 or self._clock() < self._hold_until:
            return None
        if room > 0 and self._grants % _FAIR_TURN == _FAIR_TURN - 1:
            return next(iter(self._waiting))
        first = min(self._waiting, key=lambda ticket: ticket.rank)  # the oldest of its rank
        return first if room > 0 or first.rank is _Rank.CALL else None

    def _allowed(self) -> int:
        """Return how many requests may be under way; called with `_lock` held."""
        allowed = int(self._limit)
        return allowed if self._stated is None else min(allowed, self._stated)

    def _has_spare(self) -> bool:
        """Say whether nothing is known against one request more; called with `_lock` held."""
        return self._ceiling is None and (self._stated is None or self._stated > self._most)

    # Learning; all called with `_lock` held

    def _learn_from_success(self, slot: Slot) -> None:
        # A level that was not reached has not been tried.
        if slot.level < int(self._limit):
            return
        self._sustained += 1
        if self._ceiling is not None and slot.level >= self._ceiling:
            if self._sustained >= _SUSTAINED:
                self._probing = False
            self._raise_ceiling(self._clock())
        before = int(self._limit)
        grown = self._limit + 1 / self._limit
        self._limit = min(grown, self._most, grown if self._ceiling is None else self._ceiling)
        if int(self._limit) > before:
            self._proven = before
            self._sustained = 0

    def _raise_ceiling(self, now: float) -> None:
        if self._ceiling is None or now - self._refused_at < self._probe_after:
            return
        self._refused_at = now
        self._probing = True
        self._sustained = 0
        # Beyond `most` there is only the spare one.
        self._ceiling = self._ceiling + 1 if self._ceiling < self._most else None

    def _learn_from_refusal(self, level: int, now: float) -> None:
        if self._sustained < _SUSTAINED:
            lower = max(1, min(level - 1, self._most))
            self._ceiling = lower if self._ceiling is None else min(lower, self._ceiling)
            if self._probing:
                self._probe_after = min(2 * self._probe_after, _LONGEST_PROBE_AFTER)
        if level <= self._proven:
            self._proven = 0
        self._limit = max(1.0, min(self._limit, level) / 2, self._proven)
        self._probing = False
        self._sustained = 0
        self._epoch += 1
        self._refused_at = now
        log.debug("refused with %d requests under way: now %d are allowed", level, self._allowed())


class Attempts:
    """The tries of one request that a server refuses with 429.

    Args:
        limiter: gives the slots.
        audio: as of `Limiter.acquire`.
        patience: seconds for which each try may wait for its slot; half as long after the first one
            begins, the last one does.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        limiter: Limiter,
        *,
        audio: bool,
        patience: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limiter = limiter
        self._audio = audio
        self._clock = clock
        self._patience = patience
        self._deadline = clock() + _SHARE * patience
        self._backoff = _BACKOFF

    def slot(self) -> Slot:
        """Wait for the slot of the next try.

        Raises:
            RateLimited: there was none in time.
            Interrupted: the limiter is closed.
        """
        return self._limiter.acquire(audio=self._audio, patience=self._patience)

    def pause(self, refusal: RateLimited) -> None:
        """Wait before the next try, with no slot held.

        Raises:
            RateLimited: no time is left for another try: the refusal itself.
            Interrupted: the limiter is closed.
        """
        # Not all at once again: the refused ones would refuse each other.
        seconds = self._backoff * random.uniform(0.5, 1.0)
        asked = refusal.retry_after or 0.0
        seconds = max(seconds, asked)
        # Then no other request has to wait so long, either: the next one may be answered.
        if self._clock() + seconds >= self._deadline:
            raise refusal
        self._limiter.hold(asked)
        self._backoff = min(2 * self._backoff, _LONGEST_BACKOFF)
        self._limiter.pause(seconds)


def _unmounted() -> Interrupted:
    return Interrupted("the filesystem is being unmounted")
