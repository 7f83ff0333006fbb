"""The scheduler of downloads: those on demand run before prefetches, within the server's limit.

A download that runs is left to its end, whoever waits: its request was sent, and would have to be
sent again. Only one that stands still while it keeps a demanded one from starting is stopped, see
`may_stop`; it is the next one to run then. Each counts against the limit until its request has
ended: until `Job.run` has returned, or the job says before that all has come. The next request goes
out while the disk still writes a clip, which takes as long as some requests do.

While downloads take long, prefetches leave the last slot free: a reader that goes on elsewhere
should not have to wait for the end of one. Where they share a slow link, and until one has ended,
few run that no reader waits for: more of them would not come sooner, and they keep their slots.

Threads: any number of callers, and one worker thread for each running download. A worker is reused
for the next download. Workers are daemons: a download that hangs must not keep the process of an
unmounted filesystem alive. `_lock` guards all state, and is not held while a download runs; the
limiter's lock is taken while it is held.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from histfs.audio.download_rate import FirstBytes
from histfs.audio.link_share import LinkShare
from histfs.core.errors import Interrupted

#: Seconds that the last downloads took, on average, from which prefetches leave a slot free.
_LONG = 2.0
#: Downloads that no reader waits for, of those that are slow because they share the link.
_FEW = 2
#: The weight of the last download in that average.
_WEIGHT = 0.2

log = logging.getLogger(__name__)


class Job(Protocol):
    """What the scheduler needs of a download."""

    @property
    def awaited(self) -> bool:
        """Whether a reader waits for it now; takes no lock."""

    def run(self) -> bool:
        """Download; return whether it has ended, and else has been stopped. Raises nothing."""

    def cancel(self) -> None:
        """Fail without having run to the end: the filesystem is being unmounted."""


class DownloadScheduler:
    """Runs downloads.

    Args:
        allowed: returns how many may run at once now; called with `_lock` held.
        clock: seconds, monotonic.

    Attributes:
        link: that the downloads share.
        first_bytes: how long they wait for their first byte.
    """

    def __init__(
        self, allowed: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.link = LinkShare(self.blocked, clock, self._on_free_link)
        self.first_bytes = FirstBytes()
        self._allowed = allowed
        self._clock = clock
        self._lock = threading.Lock()
        # Queues: dicts keep the order of insertion.
        self._demanded: dict[Job, None] = {}
        self._prefetches: dict[Job, None] = {}
        # When each running one began; those of them that have been told to stop.
        self._running: dict[Job, float] = {}
        self._stopping: set[Job] = set()
        # Those whose requests have ended, and that are yet to be kept.
        self._keeping: set[Job] = set()
        # None until a download has ended.
        self._average: float | None = None
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
            # Also where it runs already: the slot that prefetches leave free may be taken now.
            self._start()

    def received(self, job: Job) -> None:
        """Note that the request of a running download has ended: the rest needs no slot."""
        with self._lock:
            if job in self._running:
                self._end_request(job, ended=True)
                self._keeping.add(job)
                self._start()

    def blocked(self) -> int:
        """Return how many demanded downloads have no slot."""
        # Asked for each piece of a download: without a lock while there are none.
        if not self._demanded:
            return 0
        with self._lock:
            return self._count_blocked()

    def _on_free_link(self) -> None:
        """Start more prefetches: running ones don't have to stop for others any more."""
        with self._lock:
            self._start()

    def may_stop(self, job: Job) -> bool:
        """Say whether a download that stands still should end, for a demanded one to start.

        If so it must end at once, and `Job.run` return False.
        """
        with self._lock:
            if job in self._stopping:
                return True
            if len(self._stopping) >= self._count_blocked():
                return False
            self._stopping.add(job)
            return True

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

    def _count_blocked(self) -> int:
        """Return how many demanded downloads have no slot; called with `_lock` held."""
        if len(self._running) < self._allowed():
            return 0
        return sum(job.awaited for job in self._demanded)

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
        # What comes faster than the disk takes it would pile up.
        free = 0 if len(self._keeping) >= allowed else allowed - len(self._running)
        if free <= 0 or (waiting is self._prefetches and not self._may_prefetch(allowed, free)):
            return None
        job = next(iter(waiting))
        del waiting[job]
        self._running[job] = self._clock()
        return job

    def _may_prefetch(self, allowed: int, free: int) -> bool:
        """Say whether a prefetch may take one of the free slots; called with `_lock` held."""
        if not self._running or (self._average is not None and self._average < _LONG):
            return True
        awaited = sum(job.awaited for job in self._running)
        if self.link.is_shared and len(self._running) - awaited >= _FEW:
            return False
        # Of two slots, the one of a download that a reader waits for is free for the next reader.
        return free > 1 or (allowed == 2 and awaited > 0)

    def _work(self) -> None:
        while (job := self._handoff.get()) is not None:
            ended = True
            try:
                ended = job.run()
            except BaseException:
                # It must leave the running ones, or it would keep its slot.
                log.exception("a download failed unexpectedly")
            with self._lock:
                cancelled = not ended and self._closed
                self._left(job, ended)
                if self._closed or self._idle >= max(1, self._allowed()):
                    self._start()
                    last = True
                else:
                    self._idle += 1
                    self._start()
                    last = False
            if cancelled:
                job.cancel()
            if last:
                return
            # A worker that waits for the next job must not keep this one's file open.
            del job

    def _left(self, job: Job, ended: bool) -> None:
        """Note that a download does not run any more; called with `_lock` held."""
        if job in self._keeping:
            self._keeping.discard(job)
            return
        self._end_request(job, ended=ended)
        if not ended and not self._closed:
            # It is the next of its kind; the demanded one for which it was stopped comes first.
            self._prefetches = {job: None, **self._prefetches}
            if job.awaited:
                del self._prefetches[job]
                self._demanded[job] = None

    def _end_request(self, job: Job, *, ended: bool) -> None:
        """Free the slot of a download; called with `_lock` held.

        Args:
            job: the download.
            ended: whether it was not stopped: what it has taken tells how long others take.
        """
        took = self._clock() - self._running.pop(job)
        self._stopping.discard(job)
        if ended:
            before = took if self._average is None else self._average
            self._average = before + _WEIGHT * (took - before)
