"""The scheduler of downloads: those on demand run before prefetches, within the server's limit.

A prefetch runs only while no demanded download is queued. When a reader needs a slot and there is
none, the prefetch that began last is preempted. The limiter of the account says how many downloads
may run at once.

Threads: any number of callers, and one worker thread for each running download. A worker is reused
for the next download. There are at most twice as many workers as downloads may run: an abandoned
download may take a while to end, and must neither block others nor pile up. Workers are daemons: a
download that hangs must not keep the process of an unmounted filesystem alive. `_lock` guards all
state, and is not held while a download runs; the limiter's lock is taken while it is held.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from histfs.core.errors import Interrupted

log = logging.getLogger(__name__)


class Job(Protocol):
    """What the scheduler needs of a download."""

    def run(self) -> None:
        """Download; raises nothing."""

    def preempt(self) -> None:
        """End soon, unless a reader waits: another download needs the slot."""

    def cancel(self) -> None:
        """Fail without having run: the filesystem is being unmounted."""


class DownloadScheduler:
    """Runs downloads.

    Args:
        allowed: returns how many may run at once now; called with `_lock` held.
    """

    def __init__(self, allowed: Callable[[], int]) -> None:
        self._allowed = allowed
        self._lock = threading.Lock()
        # FIFO queues: dicts keep the order of insertion.
        self._demanded: dict[Job, None] = {}
        self._prefetches: dict[Job, None] = {}
        self._running: dict[Job, bool] = {}
        # Those of the running ones without a waiting reader that are not counted as active.
        self._abandoned: set[Job] = set()
        # Workers that wait for a download, and the queue that they read; None ends a worker.
        self._idle = 0
        self._handoff: SimpleQueue[Job | None] = SimpleQueue()
        self._closed = False

    def add(self, job: Job, on_demand: bool) -> None:
        """Queue a download.

        Args:
            job: runs as soon as there is a slot for it.
            on_demand: whether a reader waits for it.

        Raises:
            Interrupted: the scheduler is closed.
        """
        with self._lock:
            if self._closed:
                raise Interrupted("the filesystem is being unmounted")
            (self._demanded if on_demand else self._prefetches)[job] = None
            self._start()

    def promote(self, job: Job) -> None:
        """Note that a reader waits for a download from now on."""
        with self._lock:
            if job in self._prefetches:
                del self._prefetches[job]
                self._demanded[job] = None
                self._start()
            elif job in self._running:
                self._running[job] = True
                self._abandoned.discard(job)

    def abandon(self, job: Job) -> None:
        """Note that the last waiting reader of a download has given up.

        The download may hang until its own timeout, and must not keep others from starting: up to
        the limit, abandoned downloads are not counted as active.
        """
        with self._lock:
            if job in self._running:
                self._running[job] = False
                self._abandoned.add(job)
            self._start()

    def close(self) -> None:
        """Take no more downloads, and start none."""
        with self._lock:
            self._closed = True
            waiting = [*self._demanded, *self._prefetches]
            self._demanded.clear()
            self._prefetches.clear()
            for _ in range(self._idle):
                self._handoff.put(None)
            self._idle = 0
        for job in waiting:
            job.cancel()

    def _start(self) -> None:
        """Start the downloads that there are slots for; called with `_lock` held."""
        while (job := self._next()) is not None:
            self._handoff.put(job)
            if self._idle:
                self._idle -= 1
            else:
                threading.Thread(target=self._work, name="download", daemon=True).start()

    def _next(self) -> Job | None:
        """Take the next download, if there is one and a slot for it; called with `_lock` held."""
        waiting = self._demanded or self._prefetches
        if not waiting:
            return None
        allowed = self._allowed()
        if self._demanded and self._count_active(allowed) >= allowed:
            self._preempt()
        if self._count_active(allowed) >= allowed:
            return None
        job = next(iter(waiting))
        del waiting[job]
        self._running[job] = waiting is self._demanded
        return job

    def _count_active(self, allowed: int) -> int:
        """Return the number of active downloads; called with `_lock` held."""
        return len(self._running) - min(len(self._abandoned), allowed)

    def _preempt(self) -> None:
        """Preempt the youngest prefetch; called with `_lock` held."""
        for job in reversed(self._running):
            if not self._running[job] and job not in self._abandoned:
                self._abandoned.add(job)
                job.preempt()
                return

    def _work(self) -> None:
        while (job := self._handoff.get()) is not None:
            try:
                job.run()
            except BaseException:
                # It must leave the running ones, or it would keep its slot.
                log.exception("a download failed unexpectedly")
            with self._lock:
                self._running.pop(job, None)
                self._abandoned.discard(job)
                if self._closed or self._idle >= max(1, self._allowed()):
                    self._start()
                    return
                self._idle += 1
                self._start()
            # A worker that waits for the next job must not keep this one's file open.
            del job
