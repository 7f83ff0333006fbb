"""How long a call may wait, and what ends the wait early.

A callback of the filesystem never waits on a socket. The network is used by worker threads; the
thread of the callback waits for their result here, in short steps, so that it notices when the
process that called was interrupted (fuse_interrupted(3)) and when the call's deadline is over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypeVar

from histfs.core.errors import DeadlineExceeded, Interrupted

T = TypeVar("T")

#: Seconds between two looks at the interrupt flag: what Ctrl-C costs at the most.
POLL_INTERVAL = 0.1


def never() -> bool:
    """The interrupt flag of a call that nobody can interrupt."""
    return False


def always() -> bool:
    """The permission of a call that may make the filesystem fetch audio."""
    return True


class Waiter:
    """The patience of one call: a deadline and an interrupt flag; and for whom the call is.

    Args:
        timeout: seconds from now until the call must have ended.
        interrupted: says whether the calling process was interrupted; asked by the waiting
            thread itself, because libfuse keeps the flag per thread.
        may_fetch: says whether the calling process may make the filesystem fetch audio; asked by
            the thread of the call, and only where there is audio to fetch.
    """

    __slots__ = ("_deadline", "_interrupted", "may_fetch")

    def __init__(
        self,
        timeout: float,
        interrupted: Callable[[], bool] = never,
        may_fetch: Callable[[], bool] = always,
    ) -> None:
        self._deadline = time.monotonic() + timeout
        self._interrupted = interrupted
        self.may_fetch = may_fetch

    def remaining(self) -> float:
        """Return the seconds that are left, 0 when there are none."""
        return max(0.0, self._deadline - time.monotonic())

    def at_most(self, seconds: float) -> Waiter:
        """Return a waiter that gives up after ``seconds``, or with this one if that is sooner."""
        return Waiter(min(seconds, self.remaining()), self._interrupted, self.may_fetch)

    def result(self, future: Future[T]) -> T:
        """Wait for a future and return its result.

        Raises:
            Interrupted: the calling process was interrupted; the work itself goes on.
            DeadlineExceeded: the deadline is over; the work itself goes on.
        """
        while True:
            try:
                return future.result(timeout=min(POLL_INTERVAL, self.remaining()))
            except CancelledError as error:
                raise Interrupted("the filesystem is being unmounted") from error
            except FutureTimeout:
                if future.done():
                    return future.result()
                self.check()

    def first(self, futures: Collection[Future[T]]) -> T:
        """Wait for several futures and return the first result; an error only when none has one.

        Args:
            futures: at least one.

        Raises:
            As `result`.
        """
        left = set(futures)
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
        """
        while not ready():
            condition.wait(min(POLL_INTERVAL, self.remaining()))
            if ready():
                return
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
