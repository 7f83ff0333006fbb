"""Which downloads run: those that somebody waits for first, and no more than the server takes.

What is fetched ahead of its use runs where nobody waits for a place. When somebody comes to wait
and there is none, the download that was begun last, of those that nobody waits for, makes room.

How many run at once is what the limiter of the account allows for all of its requests.

Threads: any number of callers; a thread of its own for each download that runs, which then waits
for the next one: a backup that keeps up with its downloads would start one for each clip. There are
at most twice as many as downloads may run: one that everybody has left may take a while to end, and
must neither keep others from starting nor pile up. They are daemons: one that hangs must not keep
the process of an unmounted filesystem alive. `_lock` guards all state, and is not held while a
download runs.
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
    """A download, as far as it is scheduled."""

    def run(self) -> None:
        """Fetch; raises nothing."""

    def stop(self) -> None:
        """Come to an end soon: nobody waits, and another one needs the place."""

    def cancel(self) -> None:
        """The filesystem goes away, and this won't run."""


class DownloadScheduler:
    """Runs downloads.

    Args:
        allowed: says how many may run at once, as things are; called with `_lock` held.
    """

    def __init__(self, allowed: Callable[[], int]) -> None:
        self._allowed = allowed
        self._lock = threading.Lock()
        # Dicts are ordered: the first one is the next one.
        self._wanted: dict[Job, None] = {}
        self._ahead: dict[Job, None] = {}
        self._running: dict[Job, bool] = {}
        # Those of them that everybody has left.
        self._left: set[Job] = set()
        # Threads that wait for a download, and those that they are handed; None has one end.
        self._idle = 0
        self._handed: SimpleQueue[Job | None] = SimpleQueue()
        self._closed = False

    def add(self, job: Job, wanted: bool) -> None:
        """Take a download.

        Args:
            job: runs as soon as there is a place for it.
            wanted: whether somebody waits for it.

        Raises:
            Interrupted: the schedule is closed.
        """
        with self._lock:
            if self._closed:
                raise Interrupted("the filesystem is being unmounted")
            (self._wanted if wanted else self._ahead)[job] = None
            self._start()

    def want(self, job: Job) -> None:
        """Note that somebody waits for a download from now on."""
        with self._lock:
            if job in self._ahead:
                del self._ahead[job]
                self._wanted[job] = None
                self._start()
            elif job in self._running:
                self._running[job] = True
                self._left.discard(job)

    def leave(self, job: Job) -> None:
        """Note that the last one who waited for a download has given up.

        One that runs may hang until its own timeout, and must not keep others from starting: as
        many of these as may run are not counted.
        """
        with self._lock:
            if job in self._running:
                self._running[job] = False
                self._left.add(job)
            self._start()

    def close(self) -> None:
        """Take no more, and start none."""
        with self._lock:
            self._closed = True
            waiting = [*self._wanted, *self._ahead]
            self._wanted.clear()
            self._ahead.clear()
            for _ in range(self._idle):
                self._handed.put(None)
            self._idle = 0
        for job in waiting:
            job.cancel()

    def _start(self) -> None:
        """Start what there is a place for; called with `_lock` held."""
        while (job := self._next()) is not None:
            self._handed.put(job)
            if self._idle:
                self._idle -= 1
            else:
                threading.Thread(target=self._work, name="download", daemon=True).start()

    def _next(self) -> Job | None:
        """Take the next download, if there is one and a place for it; called with `_lock` held."""
        waiting = self._wanted or self._ahead
        if not waiting:
            return None
        allowed = self._allowed()
        if self._wanted and self._counted(allowed) >= allowed:
            self._make_room()
        if self._counted(allowed) >= allowed:
            return None
        job = next(iter(waiting))
        del waiting[job]
        self._running[job] = waiting is self._wanted
        return job

    def _counted(self, allowed: int) -> int:
        """Return how many downloads run, as far as they count; called with `_lock` held."""
        return len(self._running) - min(len(self._left), allowed)

    def _make_room(self) -> None:
        """Stop the youngest download that nobody waits for; called with `_lock` held."""
        for job in reversed(self._running):
            if not self._running[job] and job not in self._left:
                self._left.add(job)
                job.stop()
                return

    def _work(self) -> None:
        while (job := self._handed.get()) is not None:
            try:
                job.run()
            except BaseException:
                # It takes a place for as long as it is among those that run.
                log.exception("a download failed unexpectedly")
            with self._lock:
                self._running.pop(job, None)
                self._left.discard(job)
                if self._closed or self._idle >= max(1, self._allowed()):
                    self._start()
                    return
                self._idle += 1
                self._start()
            # Who waits for the next one must not keep the file of this one open.
            del job
