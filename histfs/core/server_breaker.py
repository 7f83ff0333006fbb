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
- A request without an answer for `SILENCE` seconds, while no other one is answered, counts as a
  failure before it fails.
- While the breaker is open, requests fail with the last failure. After a pause, which grows from
  failure to failure, one request is sent as a probe. Its outcome closes the breaker or begins the
  next pause. A caller that comes while it is under way waits for it, at most `PROBE_TIME` seconds;
  after that time another request may be the probe. When a probe has failed before in the outage, a
  pause comes first: with a younger probe always under way, each caller would wait for one, and a
  thousand clips would fail slowly. For the same reason no caller waits in a pause for a probe that
  was sent before it.
- The first pause is zero after the failure of a request for one item, which may concern that item
  alone: a clip that always breaks must not fail the clips after it. It is zero also after silence.
- A deletion is sent during a pause, too, or beside a probe that is overdue, unless a deletion has
  failed in this outage: `rm` finds out by itself that the server is back.

A 5xx status is an answer: the catalog's breaker (`histfs.catalog.circuit_breaker`) says which lists
and searches it concerns.

Threads: any number at once; `_changed` guards all state, and no other lock is taken while it is
held.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from enum import Enum
from functools import partial

from histfs.core.errors import PluginFailed, SourceError, TimedOut, Unreachable, without_traceback
from histfs.core.supervision import overheard

#: Seconds without an answer after which a request counts as failed.
SILENCE = 10.0
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
        probe_timeout: seconds that a probe may wait for its answer; None for another request.
    """

    __slots__ = ("asks", "began", "heard", "probe_timeout")

    def __init__(self, began: float, asks: Asks) -> None:
        self.began = began
        self.heard = False
        self.asks = asks
        self.probe_timeout: float | None = None


class ServerBreaker:
    """Knows whether a server answers, and which request may find out.

    Args:
        clock: seconds; any origin.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._pending: set[Pending] = set()
        self._answered_at = clock()
        self._error: Exception | None = None
        self._deletion_failed = False
        self._failures = 0
        self._paused_since = self._answered_at
        self._pause = 0.0
        self._probe: Pending | None = None

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
            if self._error is not None and self._is_probing():
                failures = self._failures
                self._changed.wait_for(
                    lambda: not self._is_probing() or self._failures != failures, PROBE_TIME
                )
                failed = self._failures != failures
                if self._error is not None and (failed or asks is not Asks.DELETION):
                    raise without_traceback(self._error)
            if self._error is not None and self._must_pause(asks):
                raise without_traceback(self._error)

    @contextlib.contextmanager
    def request(self, asks: Asks) -> Iterator[Pending]:
        """Send a request within the block, which ends with its answer, or the headers of it.

        Args:
            asks: what it asks for.

        Raises:
            SourceError: the server does not answer, and the request must not be sent.
        """
        pending = self._begin(asks)
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
                pending.began, pending.heard, pending.probe_timeout = self._answered_at, True, None
            elif isinstance(error, Unreachable) and pending.began >= self._answered_at:
                if isinstance(error, TimedOut) and self._is_slow(pending):
                    return
                self._fail(pending, error, pending.asks in (Asks.ITEM, Asks.DELETION))

    def _hear(self, pending: Pending, received: int) -> None:
        if received:
            self.note(pending, None)

    # Called with `_changed` held, but for `_begin`

    def _is_slow(self, pending: Pending) -> bool:
        """Say whether a request that timed out may be slow alone."""
        silent = self._clock() - pending.began
        return pending.asks is Asks.SEARCH or (pending.heard and 0 <= silent < _STALL)

    def _begin(self, asks: Asks) -> Pending:
        with self._changed:
            self._note_silence()
            pending = Pending(self._clock(), asks)
            if self._error is not None:
                if self._is_probing() or self._must_pause(asks):
                    raise without_traceback(self._error)
                pending.probe_timeout = PROBE_TIMEOUTS[min(self._failures, len(PROBE_TIMEOUTS)) - 1]
                self._probe = pending
            self._pending.add(pending)
            return pending

    def _close(self) -> None:
        """The server answers: all requests are sent."""
        self._answered_at = self._clock()
        if self._error is not None:
            self._error = self._probe = None
            self._deletion_failed = False
            self._failures = 0
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
        suspicion = self._error is None and alone
        self._error = error
        self._deletion_failed = self._deletion_failed or pending.asks is Asks.DELETION
        self._pause = 0.0 if suspicion else PAUSES[min(self._failures, len(PAUSES) - 1)]
        self._failures += 1
        self._paused_since = self._clock()

    def _note_silence(self) -> None:
        """Count a request without an answer for too long as a failure."""
        if self._error is not None:
            return
        now = self._clock()
        for each in self._pending:
            if each.asks is Asks.SEARCH:
                continue
            if now - max(each.began, self._answered_at) >= SILENCE:
                self._fail(each, TimedOut("the server did not answer in time"), alone=True)
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
        return 0 <= overdue < PAUSES[min(self._failures, len(PAUSES)) - 1]

    def _must_pause(self, asks: Asks) -> bool:
        """Say whether it is too early for a request to be the probe."""
        return self._is_paused() and (asks is not Asks.DELETION or self._deletion_failed)


def _is_answer(error: Exception) -> bool:
    """Say whether an error shows that the server has answered."""
    return isinstance(error, SourceError) and not isinstance(error, (Unreachable, PluginFailed))
