"""The circuit breaker of a server: while it does not answer, requests fail at once.

All sources of one server share a `ServerBreaker`. It decides one thing: whether the server can be
reached. It is open from a failure that concerns the server until the next answer:

    =======================  ==================================================================
    outcome of a request     what it says
    =======================  ==================================================================
    Unreachable              the server is gone, whatever was asked for
    TimedOut                 the same; of a search nothing: a server may need long to search
    bytes of an answer       the server is there: the breaker closes at once, for all
    any other failure        nothing
    =======================  ==================================================================

- A failure of a request that began before the last answer says nothing, either; nor does a timeout
  of a request whose bytes come too slowly.
- While the breaker is open, requests fail with the last failure. After a pause, which grows from
  failure to failure, one request is sent as a probe. Its outcome closes the breaker or begins the
  next pause. A caller that comes while it is under way waits for it, at most `PROBE_TIME` seconds;
  after that time another request may be the probe. When a probe has failed before in the outage, a
  pause comes first: with a younger probe always under way, each caller would wait for one, and a
  thousand clips would fail slowly. For the same reason no caller waits in a pause for a probe that
  was sent before it.
- Where a `ping` is set, a small request that a thread of its own sends, that is the probe: no
  caller's request is one, and once the server is known to be gone none waits longer for it than
  `PING_WAIT` seconds.
- When the server has sent no byte for `SUSPICIOUS` seconds while a request waits, a ping finds out
  whether the server is gone, or needs long for this one answer. It comes later where answers have
  taken longer before, and each further one after twice the time. When it fails, the requests that
  wait fail, too. Without a ping, a request without an answer for `SILENCE` seconds, while no other
  one is answered, counts as a failure before it fails.
- The first pause is zero after the failure of a request for one item, which may concern that item
  alone: a clip that always breaks must not fail the clips after it. It is zero also after silence.
- A deletion is sent during a pause, too, or beside a probe that is overdue or a ping, unless a
  deletion has failed in this outage: `rm` finds out by itself that the server is back.

A 5xx status is an answer: the catalog's breaker (`histfs.catalog.circuit_breaker`) says which lists
and searches it concerns.

Threads: any number at once; `_changed` guards all state, and no other lock is taken while it is
held. Each ping has a thread, which ends with it; at most `_PINGS` run at once.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from enum import Enum
from functools import partial

from histfs.core.errors import (
    HistfsError,
    PluginFailed,
    SourceError,
    TimedOut,
    Unreachable,
    without_traceback,
)
from histfs.core.supervision import overheard

#: Seconds without an answer after which a request counts as failed, where no ping can find out.
SILENCE = 10.0
#: Seconds without a byte after which a ping finds out whether the server is gone, and those that it
#: waits for its answer: a connection whose packets were lost twice is made after 3.
SUSPICIOUS, PING_TIMEOUT = 3.0, 4.0
#: Seconds for which callers wait for a ping to a server that is known to be gone.
PING_WAIT = 1.0
#: Seconds for which callers wait for a probe, and in which it is the only one.
PROBE_TIME = 3.0
#: Seconds after the first, second… failure of an outage in which no probe is sent; the last one
#: holds for all further failures.
PAUSES = (1.0, 2.0, 3.0)
#: Seconds that a probe waits for the first bytes of its answer; the last one holds for all further
#: probes of an outage. A server that is slow, but there, must get to answer.
PROBE_TIMEOUTS = (5.0, 10.0)

#: Seconds without a byte after which a timeout of an answer that has begun means silence.
_STALL = 4.0
#: Pings have twice the time of the slowest answer, which counts this much less with each answer,
#: and this many seconds at the most.
_FADING, _SLOWEST = 0.9, 5.0
#: Pings under way at the most.
_PINGS = 3

log = logging.getLogger(__name__)

_probe_timeout: ContextVar[float | None] = ContextVar("probe_timeout", default=None)


def probe_timeout() -> float | None:
    """Return how many seconds this context's request may wait for an answer.

    None unless it is a probe, which is not retried, either.
    """
    return _probe_timeout.get()


class Asks(Enum):
    """What a request asks for, which decides what its failure says of the server."""

    LIST = "list"
    SEARCH = "search"
    ITEM = "item"
    DELETION = "deletion"


class Pending:
    """A request under way, or the body of its answer.

    Attributes:
        began: when it was sent, or its last bytes came, on the breaker's clock.
        asks: what it asks for.
        heard: whether bytes of the answer have come.
        is_ping: whether it was sent to find out whether the server answers.
        probe_timeout: seconds that a probe may wait for its answer; None for another request.
    """

    __slots__ = ("asks", "began", "heard", "is_ping", "probe_timeout")

    def __init__(self, began: float, asks: Asks, *, is_ping: bool = False) -> None:
        self.began = began
        self.heard = False
        self.asks = asks
        self.is_ping = is_ping
        self.probe_timeout: float | None = None


class ServerBreaker:
    """Knows whether a server answers, and which request may find out.

    Args:
        clock: seconds; any origin.

    Attributes:
        ping: sends a small request, whatever its answer; raises a `SourceError` without one. None
            where there is none to send.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.ping: Callable[[], object] | None = None
        self._clock = clock
        self._changed = threading.Condition()
        self._pending: set[Pending] = set()
        self._answered_at = clock()
        self._error: Exception | None = None
        self._deletion_failed = False
        self._failures = 0
        # Whether the only failure may concern one request alone.
        self._is_suspicion = False
        self._paused_since = self._answered_at
        self._pause = 0.0
        self._probe: Pending | None = None
        # How long answers took to begin; pings since the last answer to another request.
        self._slowest = 0.0
        self._pings = 0

    def failure(self) -> Exception | None:
        """Return why a request would fail at once now; None when it would be sent."""
        with self._changed:
            self._note_silence()
            if self._error is not None and (self._is_probing() or self._is_paused()):
                return self._error
            return None

    def check(self, asks: Asks) -> None:
        """Fail where a request would; wait for a probe that is under way.

        Args:
            asks: what the request asks for.

        Raises:
            SourceError: the server does not answer.
        """
        with self._changed:
            self._note_silence()
            is_pinged = self.ping is not None and asks is not Asks.DELETION
            if self._error is not None and is_pinged:
                self._ping_again()
            if self._error is not None and self._is_probing():
                failures = self._failures
                self._changed.wait_for(
                    lambda: not self._is_probing() or self._failures != failures, self._wait_time()
                )
                failed = self._failures != failures
                if self._error is not None and (failed or asks is not Asks.DELETION):
                    raise without_traceback(self._error)
            if self._error is not None and (is_pinged or self._must_pause(asks)):
                raise without_traceback(self._error)

    @contextlib.contextmanager
    def request(self, asks: Asks) -> Iterator[Pending]:
        """Send a request within the block, which ends with its answer, or the headers of it.

        Args:
            asks: what it asks for.

        Raises:
            SourceError: the server does not answer, and the request must not be sent.
        """
        with self._sending(self._begin(asks)) as pending:
            yield pending

    @contextlib.contextmanager
    def _sending(self, pending: Pending) -> Iterator[Pending]:
        """Note how a request ends that is sent within the block."""
        token = _probe_timeout.set(pending.probe_timeout)
        try:
            with overheard(partial(self._hear, pending)):
                yield pending
        except Exception as error:
            self.note(pending, error)
            raise
        else:
            self.note(pending, None)
        finally:
            _probe_timeout.reset(token)
            with self._changed:
                self._pending.discard(pending)
                if self._probe is pending:
                    self._probe = None
                self._changed.notify_all()

    def note(self, pending: Pending, error: Exception | None) -> None:
        """Note an outcome of a request, also of reading its body.

        Args:
            pending: the request.
            error: why it failed; None for an answer, or the next bytes of one.
        """
        with self._changed:
            if error is None or _is_answer(error):
                self._close()
                if not pending.is_ping:
                    self._pings = 0
                if not pending.heard and pending.asks is not Asks.SEARCH:
                    took = min(self._answered_at - pending.began, _SLOWEST)
                    self._slowest = max(took, _FADING * self._slowest)
                pending.began, pending.heard, pending.probe_timeout = self._answered_at, True, None
            elif isinstance(error, Unreachable) and pending.began >= self._answered_at:
                if isinstance(error, TimedOut) and self._is_slow(pending):
                    return
                self._fail(pending, error, pending.asks in (Asks.ITEM, Asks.DELETION))

    def _hear(self, pending: Pending, received: int) -> None:
        """Note bytes; without any, find out whether they can still come, and fail if not."""
        if received:
            self.note(pending, None)
            return
        with self._changed:
            self._note_silence()
            # A deletion that was sent may happen yet: its answer is waited for.
            is_gone = self._error is not None and not self._is_suspicion and self.ping is not None
            if is_gone and pending.probe_timeout is None and pending.asks is not Asks.DELETION:
                raise TimedOut("the server did not answer in time")

    def _send_ping(self, ping: Callable[[], object], pending: Pending) -> None:
        try:
            with self._sending(pending):
                ping()
        except HistfsError as error:
            log.debug("a ping: %s", error)
        except Exception:
            log.exception("whether the server answers can't be found out")

    # Called with `_changed` held, but for `_begin`

    def _start_ping(self, timeout: float) -> None:
        """Send a ping, unless too many are under way."""
        ping = self.ping
        if ping is None or sum(each.is_ping for each in self._pending) >= _PINGS:
            return
        pending = Pending(self._clock(), Asks.LIST, is_ping=True)
        pending.probe_timeout = max(timeout, 2 * self._slowest)
        self._pings += 1
        self._pending.add(pending)
        self._probe = pending
        sender = threading.Thread(
            target=self._send_ping, args=(ping, pending), name="ping", daemon=True
        )
        sender.start()

    def _ping_again(self) -> None:
        """Find out whether the server is back, unless it is too early."""
        if not self._is_probing() and not self._is_paused():
            self._start_ping(self._probe_timeout())

    def _wait_time(self) -> float:
        """Return the seconds for which a caller waits for the probe."""
        probe = self._probe
        if probe is None or not probe.is_ping:
            return PROBE_TIME
        limit = PROBE_TIME if self._is_suspicion else PING_WAIT
        return max(0.0, probe.began + limit - self._clock())

    def _probe_timeout(self) -> float:
        return PROBE_TIMEOUTS[min(self._failures, len(PROBE_TIMEOUTS)) - 1]

    def _is_slow(self, pending: Pending) -> bool:
        """Say whether a request that timed out may be slow alone."""
        silent = self._clock() - pending.began
        return pending.asks is Asks.SEARCH or (pending.heard and 0 <= silent < _STALL)

    def _begin(self, asks: Asks) -> Pending:
        with self._changed:
            self._note_silence()
            pending = Pending(self._clock(), asks)
            if self._error is not None:
                if self._must_wait(asks) or self._must_pause(asks):
                    raise without_traceback(self._error)
                pending.probe_timeout = self._probe_timeout()
                self._probe = pending
            self._pending.add(pending)
            return pending

    def _close(self) -> None:
        """The server answers: all requests are sent."""
        self._answered_at = self._clock()
        if self._error is not None:
            self._error = self._probe = None
            self._deletion_failed = self._is_suspicion = False
            self._failures = self._pings = 0
            self._changed.notify_all()

    def _fail(self, pending: Pending, error: Exception, alone: bool) -> None:
        """Begin the next pause; a request from before the outage does not prolong it.

        Args:
            pending: the request.
            error: how it failed.
            alone: whether the failure may concern that request alone.
        """
        if self._error is not None and pending.probe_timeout is None:
            return
        self._is_suspicion = self._error is None and alone
        self._error = error
        self._deletion_failed = self._deletion_failed or pending.asks is Asks.DELETION
        self._pause = 0.0 if self._is_suspicion else PAUSES[min(self._failures, len(PAUSES) - 1)]
        # While a ping of an outage was under way, most requests have failed at once: a pause, too.
        waited = pending.is_ping and self._failures > 0
        self._paused_since = pending.began if waited else self._clock()
        self._failures += 1

    def _note_silence(self) -> None:
        """Find out about a request without an answer for too long, or count it as a failure."""
        if self._error is not None:
            return
        now, longest = self._clock(), SILENCE
        if self.ping is not None:
            longest = max(SUSPICIOUS, 2 * self._slowest) * 2 ** min(self._pings, 4)
        for each in self._pending:
            if each.is_ping or each.asks is Asks.SEARCH:
                continue
            if now - max(each.began, self._answered_at) < longest:
                continue
            if self.ping is None:
                self._fail(each, TimedOut("the server did not answer in time"), alone=True)
            elif self._probe is None:
                self._start_ping(PING_TIMEOUT)
            return

    def _is_probing(self) -> bool:
        """Say whether a probe is under way that is not overdue."""
        probe = self._probe
        if probe is None or not 0 <= self._clock() - probe.began < PROBE_TIME:
            return False
        return probe.began >= self._paused_since or not self._is_paused()

    def _is_paused(self) -> bool:
        """Say whether it is too early for a probe."""
        now = self._clock()
        if 0 <= now - self._paused_since < self._pause:
            return True
        # After one failure a slow server, or one clip that stalls, is as likely as an outage.
        if self._probe is None or self._failures < 2:
            return False
        overdue = now - self._probe.began - PROBE_TIME
        # Callers wait longer for the probe of another one than for a ping.
        pause = 0 if self._probe.is_ping else min(self._failures, len(PAUSES)) - 1
        return 0 <= overdue < PAUSES[pause]

    def _must_wait(self, asks: Asks) -> bool:
        """Say whether a probe is under way beside which a request is not sent."""
        if self._probe is not None and self._probe.is_ping and self._may_find_out(asks):
            return False
        return self._is_probing()

    def _must_pause(self, asks: Asks) -> bool:
        """Say whether it is too early for a request to be the probe."""
        return self._is_paused() and not self._may_find_out(asks)

    def _may_find_out(self, asks: Asks) -> bool:
        return asks is Asks.DELETION and not self._deletion_failed


def _is_answer(error: Exception) -> bool:
    """Say whether an error shows that the server has answered."""
    return isinstance(error, SourceError) and not isinstance(error, (Unreachable, PluginFailed))
