"""Worker threads, and one flight for each piece of work however many ask for it.

Work that waits for the network may get stuck until its own deadline. It must not take the others
with it: a worker that has been busy for `OVERDUE` seconds no longer counts against the limit of the
pool, up to `_STUCK` times that limit; and whoever waits for an overdue flight with `result` starts
another one.

Threads: a `SingleFlight` owns its threads, its queue and the table of what is in flight; `_changed`
guards all state. The work runs without any lock. The threads are daemons: a download that hangs
must not keep the process of an unmounted filesystem alive.
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

#: Seconds after which work that runs is overdue.
OVERDUE = 5.0
#: How often it is looked, in that time, whether work that is waited for is overdue.
_LOOKS = 10
#: Overdue pieces of work that are tolerated beside the others, for each thread of a pool.
_STUCK = 4


class _Flight(Generic[T]):
    """A piece of work, and what becomes of it.

    Attributes:
        began: when it began to run, on the monotonic clock; None before.
        repeats: whether it was started because another one of its key is overdue.
    """

    def __init__(self, key: Hashable, work: Callable[[], T], repeats: bool) -> None:
        self.future: Future[T] = Future()
        self.key = key
        self.work = work
        self.repeats = repeats
        self.began: float | None = None

    def is_overdue(self, now: float) -> bool:
        """Say whether it has run for too long."""
        return self.began is not None and now - self.began >= OVERDUE


class SingleFlight:
    """A pool of daemon threads with single flight.

    Args:
        name: prefix of the threads' names.
        threads: how many pieces of work run at once, at the most, those that are overdue not
            included; threads are started as they are needed.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._limit = threads
        self._changed = threading.Condition()
        self._in_flight: dict[Hashable, _Flight[Any]] = {}
        self._queue: deque[_Flight[Any]] = deque()
        self._running: set[_Flight[Any]] = set()
        self._most = threads * (1 + _STUCK)
        self._threads = self._idle = self._started = 0
        self._closed = False

    def submit(self, key: Hashable, work: Callable[[], T]) -> Future[T]:
        """Start a piece of work, or join the one that is under way with the same key.

        Args:
            key: names the work.
            work: what a worker thread runs.

        Raises:
            Interrupted: the pool is closed.
        """
        with self._changed:
            flying = self._in_flight.get(key)
            return self._start(key, work) if flying is None else flying.future

    def result(self, key: Hashable, work: Callable[[], T], waiter: Waiter) -> T:
        """Wait for a piece of work; when it is overdue start it once more, and take what comes.

        Args:
            key: names the work.
            work: what a worker thread runs; it may run twice at once.
            waiter: the patience of the call.

        Raises:
            Interrupted, DeadlineExceeded: the wait ended first; the work goes on.
        """
        return self.outlast(lambda: self.submit_anew(key, work), waiter)

    def outlast(self, ask: Callable[[], Future[T]], waiter: Waiter) -> T:
        """Wait for work of this pool; when it is overdue ask once more, and take what comes.

        Args:
            ask: starts the work, or joins what isn't overdue.
            waiter: the patience of the call.

        Raises:
            As `result`.
        """
        futures = [ask()]
        while True:
            try:
                return waiter.at_most(OVERDUE / _LOOKS).first(futures)
            except DeadlineExceeded:
                if all(future.done() for future in futures):
                    # It may be the work that took too long.
                    return waiter.first(futures)
                if not waiter.remaining():
                    raise
            if len(futures) == 1 and self.is_overdue(futures[0]):
                futures.append(ask())

    def submit_anew(self, key: Hashable, work: Callable[[], T]) -> Future[T]:
        """Do as `submit`, but join no overdue flight; at most two of a key are under way."""
        with self._changed:
            flying = self._in_flight.get(key)
            if flying is None:
                return self._start(key, work)
            if flying.repeats or not flying.is_overdue(time.monotonic()):
                return flying.future
            return self._start(key, work, repeats=True)

    def is_overdue(self, future: Future[Any]) -> bool:
        """Say whether the work of a future runs, and has done so for too long."""
        now = time.monotonic()
        with self._changed:
            return any(each.future is future and each.is_overdue(now) for each in self._running)

    def close(self) -> None:
        """Take no more work and let the threads end when theirs is done."""
        with self._changed:
            self._closed = True
            waiting, self._in_flight = [*self._in_flight.values(), *self._queue], {}
            self._queue.clear()
            self._changed.notify_all()
        for flight in waiting:
            flight.future.cancel()

    # Threads; called with `_changed` held, but for `_run`, `_work` and `_land`

    def _start(self, key: Hashable, work: Callable[[], T], repeats: bool = False) -> Future[T]:
        if self._closed:
            raise Interrupted("the filesystem is being unmounted")
        flight = _Flight(key, work, repeats)
        self._in_flight[key] = flight
        self._queue.append(flight)
        self._changed.notify()
        self._add_thread()
        return flight.future

    def _add_thread(self) -> None:
        """Start another thread if there is work for it, or for one to wait until there may be."""
        needed = self._threads < self._limit or not self._idle
        if len(self._queue) > self._idle and needed and self._threads < self._most:
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
                self._work(flight)
            except BaseException:
                # A callback of the future raised it. The pool must not lose a thread by that.
                log.exception("work in the pool %s failed unexpectedly", self._name)
            # Whoever waits for the next one must not keep the result of this one.
            del flight

    def _next(self) -> _Flight[Any] | None:
        """Wait for a piece of work; None ends the thread."""
        self._idle += 1
        try:
            while not self._closed:
                pause: float | None = None
                if self._queue:
                    now = time.monotonic()
                    pause = self._until_turn(now)
                    if pause == 0:
                        flight = self._queue.popleft()
                        flight.began = now
                        self._running.add(flight)
                        return flight
                elif self._threads > self._limit:
                    return None
                self._changed.wait(pause)
            return None
        finally:
            self._idle -= 1

    def _until_turn(self, now: float) -> float:
        """Return the seconds until another piece of work may run."""
        timely = [flight.began or now for flight in self._running if not flight.is_overdue(now)]
        if len(timely) < self._limit:
            return 0
        return max(0.001, min(timely) + OVERDUE - now)

    def _work(self, flight: _Flight[Any]) -> None:
        if not flight.future.set_running_or_notify_cancel():
            self._land(flight)
            return
        try:
            result = flight.work()
        except BaseException as error:  # noqa: BLE001 - it is handed to whoever waits
            self._land(flight)
            flight.future.set_exception(error)
        else:
            self._land(flight)
            flight.future.set_result(result)

    def _land(self, flight: _Flight[Any]) -> None:
        with self._changed:
            self._running.discard(flight)
            if self._in_flight.get(flight.key) is flight:
                del self._in_flight[flight.key]
            if self._queue:
                self._changed.notify()
