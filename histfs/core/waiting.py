"""The wait budget of a call: how long it may wait, and what ends the wait early.

A callback of the filesystem never waits on a socket. Worker threads use the network; the thread of
the callback waits for their result here, in short steps, so that it notices when the calling
process is interrupted (fuse_interrupted(3)) and when the call's deadline is over.

Each waiting call holds one of libfuse's threads, of which there is a limited number. A `WaitLimit`
keeps some of them free for calls that are answered from memory.

Threads: a `Waiter` belongs to the thread of its call. A `WaitLimit` is shared; its semaphore guards
itself.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypeVar

from histfs.core.errors import DeadlineExceeded, Interrupted, TooManyWaiting

T = TypeVar("T")

#: Seconds between two checks of the interrupt flag: the longest delay of Ctrl-C.
POLL_INTERVAL = 0.1


def never() -> bool:
    """Return False: the interrupt flag of a call that can't be interrupted."""
    return False


def no_thread() -> int:
    """Return the id of a thread that can't be told from others."""
    return 0


def estimate_suffices() -> bool:
    """Return False: the caller of stat takes the size from the open file."""
    return False


def always() -> bool:
    """Return True: the permission of a call that may make the filesystem fetch audio."""
    return True


class WaitLimit:
    """Limits how many calls wait at the same time.

    Args:
        calls: the maximum number of waiting calls; None for no limit.
    """

    def __init__(self, calls: int | None = None) -> None:
        self._free = None if calls is None else threading.BoundedSemaphore(calls)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the calling thread as waiting.

        Raises:
            TooManyWaiting: the limit is reached. The call must end at once: to wait for a place
                would hold a thread, too.
        """
        if self._free is None:
            yield
            return
        if not self._free.acquire(blocking=False):
            raise TooManyWaiting("too many calls wait for the server already: try again later")
        try:
            yield
        finally:
            self._free.release()


_UNLIMITED = WaitLimit()


class _Current(threading.local):
    waiter: Waiter | None = None


_current = _Current()


def current_waiter() -> Waiter | None:
    """Return the waiter of the call that this thread serves; None when it serves none."""
    return _current.waiter


def set_current_waiter(waiter: Waiter | None) -> None:
    """Set the waiter that `current_waiter` returns in this thread from now on."""
    _current.waiter = waiter


class Waiter:
    """The wait budget of one call: a deadline, an interrupt flag, and what the caller may fetch.

    Args:
        timeout: seconds from now until the call must have ended, unless what it waits for makes
            progress; see `until`.
        interrupted: returns whether the calling process was interrupted; called by the waiting
            thread itself, because libfuse keeps the flag per thread.
        may_fetch: returns whether the calling process may make the filesystem fetch audio; called
            by the thread of the call, and only when audio has to be fetched.
        needs_size: returns whether the calling process believes the size that stat gives; called
            by the thread of the call, and only when stat would give an estimate.
        limit: limits how many calls wait at the same time.
        plays: returns whether the calling process is a player, which gets a clip as it comes;
            called by the thread of the call, and only for a clip that is not in the cache.
        thread: returns the id of the calling thread; 0 where it can't be told from others.

    Attributes:
        timeout: as given.
    """

    __slots__ = (
        "_deadline",
        "_interrupted",
        "_limit",
        "may_fetch",
        "needs_size",
        "plays",
        "thread",
        "timeout",
    )

    def __init__(
        self,
        timeout: float,
        interrupted: Callable[[], bool] = never,
        may_fetch: Callable[[], bool] = always,
        limit: WaitLimit = _UNLIMITED,
        needs_size: Callable[[], bool] = estimate_suffices,
        *,
        plays: Callable[[], bool] = never,
        thread: Callable[[], int] = no_thread,
    ) -> None:
        self.timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._interrupted = interrupted
        self._limit = limit
        self.may_fetch = may_fetch
        self.needs_size = needs_size
        self.plays = plays
        self.thread = thread

    def remaining(self) -> float:
        """Return the seconds that are left, at least 0."""
        return max(0.0, self._deadline - time.monotonic())

    def at_most(self, seconds: float) -> Waiter:
        """Return a waiter whose deadline is in ``seconds``, or that of this one if it is sooner."""
        seconds = min(seconds, self.remaining())
        return Waiter(
            seconds,
            self._interrupted,
            self.may_fetch,
            self._limit,
            self.needs_size,
            plays=self.plays,
            thread=self.thread,
        )

    def waiting(self) -> contextlib.AbstractContextManager[None]:
        """Count the call as waiting within the context.

        `result`, `first` and `until` do so by themselves.

        Raises:
            TooManyWaiting: too many calls wait already.
        """
        return self._limit.waiting()

    def result(self, future: Future[T]) -> T:
        """Wait for a future and return its result.

        Raises:
            Interrupted: the calling process was interrupted; the work itself goes on.
            DeadlineExceeded: the deadline is over; the work itself goes on.
            TooManyWaiting: the future isn't done, and too many calls wait already.
        """
        try:
            if future.done():
                return future.result()
            with self.waiting():
                return self._result(future)
        except CancelledError as error:
            raise Interrupted("the filesystem is being unmounted") from error

    def first(self, futures: Collection[Future[T]]) -> T:
        """Wait for several futures and return the first result; an error only when all failed.

        Args:
            futures: at least one.

        Raises:
            As `result`.
        """
        with contextlib.ExitStack() as stack:
            pending = set(futures)
            if not any(future.done() for future in pending):
                stack.enter_context(self.waiting())
            while True:
                done, pending = wait(pending, min(POLL_INTERVAL, self.remaining()), FIRST_COMPLETED)
                good = [each for each in done if not each.cancelled() and each.exception() is None]
                if good or (done and not pending):
                    return self.result((good or list(done))[0])
                self.check()

    def until(
        self,
        condition: threading.Condition,
        ready: Callable[[], bool],
        progress: Callable[[], int] = lambda: 0,
    ) -> None:
        """Wait, with ``condition`` held, until ``ready()``.

        Args:
            condition: is notified of changes.
            ready: says whether the wait is over.
            progress: measures progress; whenever the number has grown, the call has its whole
                timeout again.

        Raises:
            Interrupted: the calling process was interrupted.
            DeadlineExceeded: the deadline is over.
            TooManyWaiting: it isn't ready, and too many calls wait already.
        """
        if ready():
            return
        with self.waiting():
            reached = progress()
            while not ready():
                condition.wait(min(POLL_INTERVAL, self.remaining()))
                if ready():
                    return
                if (now := progress()) > reached:
                    reached = now
                    self._deadline = time.monotonic() + self.timeout
                self.check()

    def _result(self, future: Future[T]) -> T:
        while True:
            try:
                return future.result(timeout=min(POLL_INTERVAL, self.remaining()))
            except FutureTimeout:
                if future.done():
                    return future.result()
                self.check()

    def check(self) -> None:
        """Raise if the wait must end.

        Raises:
            Interrupted: the calling process was interrupted.
            DeadlineExceeded: the deadline is over.
        """
        if self._interrupted():
            raise Interrupted("the call was interrupted")
        if self.remaining() == 0:
            raise DeadlineExceeded("no answer within the time that a call may take")
