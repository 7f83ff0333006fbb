"""Who reads from the network: a download that a reader waits for goes before those of read-ahead.

Downloads that run at once share a link. While a reader waits for bytes, the other downloads stop
reading their sockets, so that their servers stop to send; they go on afterwards. Nothing is thrown
away, and no request is repeated.

What a server has sent already comes all the same, up to the receive window of each connection. So
on a slow link those that no reader waits for read one after another, the oldest first: a reader
that comes finds one window under way, not one of each. They stop from the moment its request is
sent; on a fast link, once its bytes come.

A demanded download without a slot waits for one of the running ones to end: the oldest of those
counts as waited for then.

Where each answer is slow by itself, stopping the others only costs time. So the sum of all rates is
measured with and without stopping, and whichever is faster is done; see `_Rates`. When the second
is measured, more prefetches may start. A backup finds out sooner: see `EarlyTrial`.

Threads: each download's own thread calls its `Flow`, and waits in it. `_changed` guards all state;
while it is held `DownloadScheduler._lock` may be taken.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from histfs.audio.link_trial import EarlyTrial

#: Seconds for which a download must have received before others stop for it, or it for others:
#: where the link is fast, it ends before that.
_SETTLED = 0.1
#: The age in seconds from which a download goes after an older one that no reader waits for either.
_LONG = 1.0
#: Bytes a second of all downloads together from which a link is fast, and the seconds over which
#: that is measured.
_FAST, _MEASURED = 4e6, 0.25
#: Seconds without a byte from which a download is not one to stop for: its server is slow. They
#: count from its request, or from when it was to read again.
_SILENT = 1.0
#: Seconds for which a reader counts as waiting when it has its bytes: a player asks for the next.
_LINGER = 0.2
#: Bytes that a download must receive in that time to take a part of a slow link worth waiting for:
#: one that drips neither stops for others, nor they for it, or its own rate could not be measured.
_BRISK = 10_000
#: The same seconds before the answer to a request: it may come behind what others were sent before.
_BEFORE_ANSWER = 3.0
#: The most seconds without a read: servers close a connection that takes nothing for long.
_KEEP_ALIVE = 10.0
#: Seconds between two looks of a stopped download.
_POLL = 0.1
#: Seconds of each way that are measured, the factor by which the one without stopping must be
#: faster, and the seconds for which a decision holds.
_STOPPING_TIME, _FREE_TIME, _FACTOR, _VALID = 10.0, 1.0, 2.0, 600.0
#: Seconds after a stop that are not measured: what the kernel has received meanwhile comes at once,
#: and prefetches that may start then have no answer yet.
_BURST = 0.5


class _Rate:
    """Bytes over some seconds that need not be adjacent."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.received = 0

    @property
    def per_second(self) -> float:
        return self.received / self.seconds if self.seconds else 0.0


class _Rates:
    """Measures whether it pays to stop downloads for others.

    Args:
        now: seconds, monotonic.

    Attributes:
        stopping: whether downloads are to stop at present.
    """

    def __init__(self, now: float) -> None:
        self.stopping = True
        self._last = self._stopped_at = now
        self._decided_at: float | None = None
        self._with, self._without = _Rate(), _Rate()

    def note(self, now: float, received: int, *, stopped: bool, several: bool) -> None:
        """Note received bytes.

        Args:
            now: seconds, monotonic.
            received: bytes since the last call.
            stopped: whether downloads are stopped for another one.
            several: whether several receive.
        """
        elapsed, self._last = now - self._last, now
        if stopped:
            self._stopped_at = now
            rate = self._with
        elif several and now - self._stopped_at > _BURST:
            rate = self._without
        else:
            rate = None
        if rate is not None:
            # In a longer pause nothing was to come.
            rate.seconds += min(elapsed, _SILENT)
            rate.received += received
        self._decide(now)

    def stop_none(self, now: float) -> None:
        """Decide that it does not pay."""
        self.stopping = False
        self._decided_at = now

    def _decide(self, now: float) -> None:
        if self._decided_at is not None and now - self._decided_at > _VALID:
            self._decided_at = None
            self.stopping = True
            self._with, self._without = _Rate(), _Rate()
        if self._decided_at is not None or self._with.seconds < _STOPPING_TIME:
            return
        if self.stopping:
            self.stopping = False
            # What came between two stops was too short to tell anything.
            self._without = _Rate()
        if self._without.seconds < _FREE_TIME:
            return
        self.stopping = self._without.per_second < _FACTOR * self._with.per_second
        self._decided_at = now


class _Speed:
    """Measures how fast the link is, while a download has received for a while.

    Args:
        now: seconds, monotonic.

    Attributes:
        is_slow: whether less than `_FAST` came; True until that is measured.
    """

    def __init__(self, now: float) -> None:
        self.is_slow = True
        self._last = now
        self._rate = _Rate()

    def note(self, now: float, received: int, *, settled: bool) -> None:
        """Note received bytes.

        Args:
            now: seconds, monotonic.
            received: bytes since the last call.
            settled: whether a download has received for a while: what comes at first tells nothing.
        """
        elapsed, self._last = now - self._last, now
        if not settled:
            return
        self._rate.seconds += min(elapsed, _MEASURED)
        self._rate.received += received
        if self._rate.seconds >= _MEASURED:
            self.is_slow = self._rate.per_second < _FAST
            self._rate = _Rate()


class Flow:
    """The request of one download, and its body while it comes.

    Args:
        share: of the link.
        awaited: returns whether a reader waits for the download; takes no lock.
        now: seconds, monotonic.

    Attributes:
        stopped: whether it waits while others go first.
    """

    def __init__(self, share: LinkShare, awaited: Callable[[], bool], now: float) -> None:
        self._share = share
        self._awaited = awaited
        self.stopped = False
        self._answered_at: float | None = None
        self._began: float | None = None
        self._last = self._awaited_at = float("-inf")
        # When it was sent, or was to read again; and when it had last received `_BRISK` bytes.
        self._resumed_at = now
        self._brisk_at = float("-inf")
        self._received = 0

    @property
    def is_awaited_now(self) -> bool:
        """Whether a reader waits for it at present."""
        return self._awaited()

    def was_left(self, now: float) -> bool:
        """Return whether a reader waited for it, and does not any more."""
        return not self.is_awaited(now) and self._awaited_at > float("-inf")

    def is_awaited(self, now: float) -> bool:
        """Return whether a reader waits for it, or did so a moment ago."""
        if self.is_awaited_now:
            self._awaited_at = now
        return now - self._awaited_at < _LINGER

    def is_flowing(self, now: float) -> bool:
        """Return whether its bytes come at present."""
        if self._began is None or now - self._last > _SILENT:
            return False
        return now - self._began >= _SETTLED

    def is_alive(self, now: float) -> bool:
        """Return whether its bytes come, or would if it were to read, or may soon."""
        limit = _BEFORE_ANSWER if self._answered_at is None else _SILENT
        return self.stopped or now - max(self._brisk_at, self._resumed_at) <= limit

    def is_brisk(self, now: float) -> bool:
        """Return whether its bytes take a part of the link, or did when it was stopped."""
        return self.stopped or now - self._brisk_at <= _SILENT

    def age(self, now: float) -> float:
        """Return the seconds since its answer began."""
        return 0.0 if self._answered_at is None else now - self._answered_at

    def note(self, now: float, size: int = 0) -> None:
        """Note that bytes have come."""
        self._received += size
        if self._received >= _BRISK:
            self._brisk_at, self._received = now, 0
        if self._answered_at is None:
            self._answered_at = now
        if self._began is None or now - self._last > _SILENT:
            self._began = now
        self._last = now

    def go_on(self, now: float) -> bool:
        """Note that it is not stopped any more; return whether it was."""
        was_stopped, self.stopped = self.stopped, False
        if was_stopped:
            self._resumed_at = now
        return was_stopped

    def answered(self) -> None:
        """Note that the answer has begun: its bytes come, if only the link has room for them."""
        self._share.answered(self)

    def received(self, size: int) -> bool:
        """Note received bytes, and wait while others go first; return whether that was so."""
        return self._share.received(self, size)


class LinkShare:
    """Lets the downloads that readers wait for go before the others.

    Args:
        blocked: returns how many demanded downloads wait for one of the running ones to end.
        clock: seconds, monotonic.
        on_free: is called when none has to stop any more, with `_changed` held.
    """

    def __init__(
        self,
        blocked: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
        on_free: Callable[[], None] = lambda: None,
    ) -> None:
        self._blocked = blocked
        self._on_free = on_free
        self._clock = clock
        self._changed = threading.Condition()
        # The oldest first.
        self._flows: dict[Flow, None] = {}
        self._rates = _Rates(clock())
        self._speed = _Speed(clock())
        self._trial = EarlyTrial()

    @property
    def is_shared(self) -> bool:
        """Whether downloads are slow because they share the link; takes no lock."""
        return self._speed.is_slow and self._rates.stopping

    @contextlib.contextmanager
    def flow(self, awaited: Callable[[], bool]) -> Iterator[Flow]:
        """Count a download as one of those that share the link, from its request on.

        Args:
            awaited: returns whether a reader waits for it; takes no lock.
        """
        with self._changed:
            flow = Flow(self, awaited, self._clock())
            self._flows[flow] = None
        try:
            yield flow
        finally:
            with self._changed:
                del self._flows[flow]
                self._changed.notify_all()

    def waiters_changed(self) -> None:
        """Note that a reader has begun to wait for a download, which may be stopped."""
        with self._changed:
            self._changed.notify_all()

    def answered(self, flow: Flow) -> None:
        """Note that an answer has begun; see `Flow.answered`."""
        with self._changed:
            flow.note(self._clock())

    def received(self, flow: Flow, size: int) -> bool:
        """Note received bytes, and wait while others go first; see `Flow.received`."""
        with self._changed:
            now = self._clock()
            flow.note(now, size)
            self._note(now, size)
            until = now + _KEEP_ALIVE
            while now < until and self._must_stop(flow, now):
                flow.stopped = True
                self._changed.wait(_POLL)
                now = self._clock()
                self._note(now, 0)
            return flow.go_on(now)

    def _note(self, now: float, size: int) -> None:
        """Measure; called with `_changed` held."""
        stopped = any(flow.stopped for flow in self._flows)
        flowing = sum(flow.is_flowing(now) for flow in self._flows)
        was_stopping = self._rates.stopping
        self._rates.note(now, size, stopped=stopped, several=flowing > 1)
        if not self._trial.is_over:
            self._try_early(now, size)
        if was_stopping and not self._rates.stopping:
            self._on_free()
        self._speed.note(now, size, settled=flowing > 0)

    def _try_early(self, now: float, size: int) -> None:
        """Find out early whether it pays to stop; called with `_changed` held."""
        flows = [flow for flow in self._flows if not flow.stopped]
        flowing = [flow for flow in flows if flow.is_flowing(now)]
        awaited = any(flow.is_awaited(now) for flow in flowing)
        left = any(flow.was_left(now) for flow in self._flows)
        stopped = len(flows) < len(self._flows)
        self._trial.note(now, size, len(flowing), stopped=stopped, fair=awaited and not left)
        if self._trial.brings_more:
            self._rates.stop_none(now)
            self._on_free()

    def _must_stop(self, flow: Flow, now: float) -> bool:
        """Say whether others go before a download; called with `_changed` held."""
        if not self._rates.stopping or self._trial.is_running:
            return False
        waiting = [each for each in self._flows if each.is_awaited(now)]
        # One whose reader has just left, or has its bytes, goes after one that is waited for now.
        first = [each for each in waiting if each.is_awaited_now] or waiting
        if blocked := self._blocked():
            first += [each for each in self._flows if each not in first][:blocked]
        if flow in first:
            return False
        if any(each.is_flowing(now) for each in first):
            return True
        if not self._speed.is_slow or not flow.is_brisk(now):
            return False
        if any(each.is_alive(now) for each in first):
            return flow.age(now) > _SETTLED
        oldest = next((each for each in self._flows if each.is_alive(now)), flow)
        return flow is not oldest and flow.age(now) > _LONG
