"""Worker threads, and one flight for each piece of work however many ask for it.

Threads: a `Flights` owns its threads, its queue and the table of what is in flight; `_lock` guards
the table and the counts. The work runs without any lock. The threads are daemons: a download
that hangs must not keep the process of an unmounted filesystem alive.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

from histfs.core.errors import Interrupted

T = TypeVar("T")
log = logging.getLogger(__name__)

_Job = tuple[Future[Any], Callable[[], Any], Hashable]


class Flights:
    """A pool of daemon threads with single flight.

    Args:
        name: prefix of the threads' names.
        threads: how many pieces of work run at once, at the most; threads
            are started as they are needed.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._limit = threads
        self._lock = threading.Lock()
        self._flying: dict[Hashable, Future[Any]] = {}
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._started = 0
        self._pending = 0
        self._closed = False

    def fly(self, key: Hashable, work: Callable[[], T]) -> Future[T]:
        """Start a piece of work, or join the one that is under way with the same key.

        Args:
            key: names the work.
            work: what a worker thread runs.

        Raises:
            Interrupted: the pool is closed.
        """
        with self._lock:
            if self._closed:
                raise Interrupted("the filesystem is being unmounted")
            flying = self._flying.get(key)
            if flying is not None:
                return flying
            future: Future[T] = Future()
            self._flying[key] = future
            self._queue.put((future, work, key))
            self._pending += 1
            self._start_thread()
            return future

    def close(self) -> None:
        """Take no more work and let the threads end when theirs is done."""
        with self._lock:
            self._closed = True
            waiting, self._flying = list(self._flying.values()), {}
            for _ in range(self._started):
                self._queue.put(None)
        for future in waiting:
            future.cancel()

    def _start_thread(self) -> None:
        """Start another thread if there is work for it; called with `_lock` held."""
        if self._started < min(self._pending, self._limit):
            self._started += 1
            name = f"{self._name}-{self._started}"
            threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            future, work, key = job
            try:
                if future.set_running_or_notify_cancel():
                    self._work(future, work, key)
            except BaseException:
                # A callback of the future raised it. The pool must not lose a thread by that.
                log.exception("work in the pool %s failed unexpectedly", self._name)
            with self._lock:
                self._pending -= 1

    def _work(self, future: Future[Any], work: Callable[[], Any], key: Hashable) -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is handed to whoever waits
            self._land(key)
            future.set_exception(error)
        else:
            self._land(key)
            future.set_result(result)

    def _land(self, key: Hashable) -> None:
        with self._lock:
            self._flying.pop(key, None)
