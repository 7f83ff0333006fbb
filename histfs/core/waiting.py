"""How long a call may wait, and what ends the wait early.

A callback of the filesystem never waits on a socket. The network is used by worker threads; the
thread of the callback waits for their result here, in short steps, so that it notices when the
process that called was interrupted (fuse_interrupted(3)) and when the call's deadline is over.

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

#: Seconds between two looks at the interrupt flag: what Ctrl-C costs at the most.
POLL_INTERVAL = 0.1


def never() -> bool:
    """The interrupt flag of a call that nobody can interrupt."""
    return False


def always() -> bool:
    """The permission of a call that may make the filesystem fetch audio."""
    return True


class WaitLimit:
    """Limits how many calls wait at the same time.

    Args:
        calls: the greatest number of calls that may wait; None for no limit.
    """

    def __init__(self, calls: int | None = None) -> None:
        self._free = None if calls is None else threading.BoundedSemaphore(calls)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the calling thread as one that waits.

        Raises:
            TooManyWaiting: the limit is reached. The call must end at once: if it waited for its
                turn, it would hold a thread.
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


def current() -> Waiter | None:
    """Return the waiter of the call that the calling thread serves; None when it serves none."""
    return _current.waiter


def serve(waiter: Waiter | None) -> None:
    """Set what `current` returns in the calling thread from now on."""
    _current.waiter = waiter


class Waiter:
    """The patience of one call: a deadline and an interrupt flag; and for whom the call is.

    Args:
        timeout: seconds from now until the call must have ended.
        interrupted: says whether the calling process was interrupted; asked by the waiting
            thread itself, because libfuse keeps the flag per thread.
        may_fetch: says whether the calling process may make the filesystem fetch audio; asked by
            the thread of the call, and only where there is audio to fetch.
        limit: limits how many calls wait at the same time.
    """

    __slots__ = ("_deadline", "_interrupted", "_limit", "may_fetch")

    def __init__(
        self,
        timeout: float,
        interrupted: Callable[[], bool] = never,
        may_fetch: Callable[[], bool] = always,
        limit: WaitLimit = _UNLIMITED,
    ) -> None:
        self._deadline = time.monotonic() + timeout
        self._interrupted = interrupted
        self._limit = limit
        self.may_fetch = may_fetch

    def remaining(self) -> float:
        """Return the seconds that are left, 0 when there are none."""
        return max(0.0, self._deadline - time.monotonic())

    def at_most(self, seconds: float) -> Waiter:
        """Return a waiter that gives up after ``seconds``, or with this one if that is sooner."""
        seconds = min(seconds, self.remaining())
        return Waiter(seconds, self._interrupted, self.may_fetch, self._limit)

    def waiting(self) -> contextlib.AbstractContextManager[None]:
        """Count the call as one that waits, for as long as the context lasts.

        `result` and `until` do so by themselves.

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
        """Wait for several futures and return the first result; an error only when none has one.

        Args:
            futures: at least one.

        Raises:
            As `result`.
        """
        with contextlib.ExitStack() as stack:
            left = set(futures)
            if not any(future.done() for future in left):
                stack.enter_context(self.waiting())
            while True:
                done, left = wait(left, min(POLL_INTERVAL, self.remaining()), FIRST_COMPLETED)
                good = [each for each in done if not each.cancelled() and each.exception() is None]
                if good or (done and not left):
                    return self.result((good or list(done))[0])
                self.check()

    def until(self, condition: threading.Condition, ready: Callable[[], bool]) -> None:
        """Wait, with ``condition`` held, until ``ready()``.

        Raises:
            Interrupted: the calling process was interrupted.
            DeadlineExceeded: the deadline is over.
            TooManyWaiting: it isn't ready, and too many calls wait already.
        """
        if ready():
            return
        with self.waiting():
            while not ready():
                condition.wait(min(POLL_INTERVAL, self.remaining()))
                if ready():
                    return
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
        """Go on only if the wait may.

        Raises:
            Interrupted: the calling process was interrupted.
            DeadlineExceeded: the deadline is over.
        """
        if self._interrupted():
            raise Interrupted("the call was interrupted")
        if self.remaining() == 0:
            raise DeadlineExceeded("no answer within the time that a call may take")
