"""A pool of worker threads with single flight: concurrent requests of one key share one execution.

Work that waits for the network may hang until its own deadline. It must not block other work: a
worker that has been busy for `OVERDUE` seconds no longer counts against the limit of the pool, up
to `_MAX_OVERDUE` times that limit. Work without side effects can be *hedged*: a caller that waits
for an overdue execution starts a second one and takes the first result.

Threads: any number at once. `_changed` guards the queue, the table of what is in flight and the
counts of threads; no other lock is taken while it is held. The work runs without any lock. The
threads are daemons: a download that hangs must not keep the process of an unmounted filesystem
alive.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from histfs.core.errors import DeadlineExceeded, Interrupted
from histfs.core.waiting import Waiter

T = TypeVar("T")
log = logging.getLogger(__name__)

#: Seconds after which a running execution is overdue.
OVERDUE = 5.0
#: How often a waiting caller checks, within that time, whether the execution is overdue.
_CHECKS = 10
#: Overdue executions beside the others, for each thread of a pool.
_MAX_OVERDUE = 4


class _Flight(Generic[T]):
    """One execution of a piece of work.

    Attributes:
        started_at: when it began to run, on the monotonic clock; None before.
        is_hedge: whether it was started because another one of its key is overdue.
    """

    def __init__(self, key: Hashable, work: Callable[[], T], is_hedge: bool) -> None:
        self.future: Future[T] = Future()
        self.key = key
        self.work = work
        self.is_hedge = is_hedge
        self.started_at: float | None = None

    def is_overdue(self, now: float) -> bool:
        """Return whether it has run for too long."""
        return self.started_at is not None and now - self.started_at >= OVERDUE


class SingleFlight:
    """A pool of daemon threads with single flight.

    Args:
        name: prefix of the threads' names.
        threads: maximum number of executions at once, without overdue ones; threads are started as
            needed.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._limit = threads
        self._changed = threading.Condition()
        self._in_flight: dict[Hashable, _Flight[Any]] = {}
        self._queue: deque[_Flight[Any]] = deque()
        self._running: set[_Flight[Any]] = set()
        self._max_threads = threads * (1 + _MAX_OVERDUE)
        self._threads = self._idle = self._started = 0
        self._closed = False

    def submit(self, key: Hashable, work: Callable[[], T]) -> Future[T]:
        """Start an execution, or join the one in flight with the same key.

        Args:
            key: identifies the work.
            work: what a worker thread runs.

        Raises:
            Interrupted: the pool is closed.
        """
        with self._changed:
            flight = self._in_flight.get(key)
            return self._start(key, work) if flight is None else flight.future

    def run_hedged(self, key: Hashable, work: Callable[[], T], waiter: Waiter) -> T:
        """Run work, hedge it when it is overdue, and return the first result.

        Args:
            key: identifies the work.
            work: what a worker thread runs; it may run twice at once.
            waiter: the wait budget of the call.

        Raises:
            Interrupted, DeadlineExceeded: the wait ended first; the work goes on.
        """
        return self.wait_hedged(lambda: self.submit_hedged(key, work), waiter)

    def wait_hedged(self, submit: Callable[[], Future[T]], waiter: Waiter) -> T:
        """Wait for work of this pool, hedge it when it is overdue, and return the first result.

        Args:
            submit: starts the work, or joins an execution that is not overdue.
            waiter: the wait budget of the call.

        Raises:
            As `run_hedged`.
        """
        futures = [submit()]
        while True:
            try:
                return waiter.at_most(OVERDUE / _CHECKS).first(futures)
            except DeadlineExceeded:
                if all(future.done() for future in futures):
                    # The work itself may have raised it.
                    return waiter.first(futures)
                if not waiter.remaining():
                    raise
            if len(futures) == 1 and self.is_overdue(futures[0]):
                futures.append(submit())

    def submit_hedged(self, key: Hashable, work: Callable[[], T]) -> Future[T]:
        """Do as `submit`, but join no overdue execution; at most two of a key are in flight."""
        with self._changed:
            flight = self._in_flight.get(key)
            if flight is None:
                return self._start(key, work)
            if flight.is_hedge or not flight.is_overdue(time.monotonic()):
                return flight.future
            return self._start(key, work, is_hedge=True)

    def is_overdue(self, future: Future[Any]) -> bool:
        """Return whether the execution of a future has run for too long."""
        now = time.monotonic()
        with self._changed:
            return any(each.future is future and each.is_overdue(now) for each in self._running)

    def close(self) -> None:
        """Take no more work, cancel queued work, and let the threads end after theirs."""
        with self._changed:
            self._closed = True
            pending, self._in_flight = [*self._in_flight.values(), *self._queue], {}
            self._queue.clear()
            self._changed.notify_all()
        for flight in pending:
            flight.future.cancel()

    # Threads; called with `_changed` held, except `_run`, `_execute` and `_remove`

    def _start(self, key: Hashable, work: Callable[[], T], is_hedge: bool = False) -> Future[T]:
        if self._closed:
            raise Interrupted("the filesystem is being unmounted")
        flight = _Flight(key, work, is_hedge)
        self._in_flight[key] = flight
        self._queue.append(flight)
        self._changed.notify()
        self._add_thread()
        return flight.future

    def _add_thread(self) -> None:
        """Start a thread if work is queued: to run it, or to wait until running work is overdue."""
        needed = self._threads < self._limit or not self._idle
        if len(self._queue) > self._idle and needed and self._threads < self._max_threads:
            self._started += 1
            self._threads += 1
            name = f"{self._name}-{self._started}"
            threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._changed:
                flight = self._next()
                if flight is None:
                    self._threads -= 1
                    return
                self._add_thread()
            try:
                self._execute(flight)
            except BaseException:
                # Raised by a callback of the future. The pool must not lose a thread by that.
                log.exception("work in the pool %s failed unexpectedly", self._name)
            # The result must not live until the next execution ends.
            del flight

    def _next(self) -> _Flight[Any] | None:
        """Wait for the next execution; None ends the thread."""
        self._idle += 1
        try:
            while not self._closed:
                pause: float | None = None
                if self._queue:
                    now = time.monotonic()
                    pause = self._until_slot(now)
                    if pause == 0:
                        flight = self._queue.popleft()
                        flight.started_at = now
                        self._running.add(flight)
                        return flight
                elif self._threads > self._limit:
                    return None
                self._changed.wait(pause)
            return None
        finally:
            self._idle -= 1

    def _until_slot(self, now: float) -> float:
        """Return the seconds until another execution may start."""
        on_time = [each.started_at or now for each in self._running if not each.is_overdue(now)]
        if len(on_time) < self._limit:
            return 0
        return max(0.001, min(on_time) + OVERDUE - now)

    def _execute(self, flight: _Flight[Any]) -> None:
        if not flight.future.set_running_or_notify_cancel():
            self._remove(flight)
            return
        try:
            result = flight.work()
        except BaseException as error:  # noqa: BLE001 - the future raises it
            self._remove(flight)
            flight.future.set_exception(error)
        else:
            self._remove(flight)
            flight.future.set_result(result)

    def _remove(self, flight: _Flight[Any]) -> None:
        with self._changed:
            self._running.discard(flight)
            if self._in_flight.get(flight.key) is flight:
                del self._in_flight[flight.key]
            if self._queue:
                self._changed.notify()
