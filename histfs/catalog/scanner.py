"""Reads the whole history in the background: newest first, a page at a time.

The next step follows from the coverage alone, so that a scan is resumed where any scan stopped: the
topmost part that isn't known, else the part that was requested first, if that is too long ago.
While a caller waits for the whole history the scan runs as fast as the server answers, one request
at a time; else it waits until there are no other requests.

Threads: one thread scans. `_lock` guards the state that others see, `_changed` is its condition; no
other lock is taken while it is held. Among the processes of one account only the holder of the lock
file (flock) scans.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from histfs.catalog.file_lock import locked
from histfs.catalog.span_reader import SpanRead, SpanReader
from histfs.core.errors import CacheFailed, HistfsError, Interrupted
from histfs.core.limiter import prioritised
from histfs.core.single_flight import SingleFlight
from histfs.core.times import ALWAYS, Span

#: Seconds without other requests between two requests of a scan that no caller waits for.
_PAUSE = 1.0
#: Seconds after which a scan looks what another process has read, or whether something is stale.
_LOOK, _LONG_LOOK = 0.5, 60.0
#: Seconds to wait after a failure, doubled from one to the next.
_BACKOFF, _LONGEST_BACKOFF = 10.0, 300.0
#: Seconds that a page gives way to other requests, at the most, and in one step.
_COURTESY, _STEP_BACK = 2.0, 0.02

_NOWHERE = (Span(0, 0), None)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a scan.

    Attributes:
        complete: whether the whole history is known.
        down_to: the date down to which it is, from now; None when nothing is.
        state: ``idle``, ``reading``, or ``waiting`` to try again.
    """

    complete: bool
    down_to: int | None
    state: str


class Scanner:
    """Reads the parts of the history that are not known.

    Args:
        reader: reads from the source into the store.
        lock_file: created if missing; its holder scans.
        rescan: seconds after which a known span is read again; 0 for never.
        idle: seconds without requests before a scan begins that no caller waits for.
    """

    def __init__(
        self,
        reader: SpanReader,
        lock_file: Path,
        *,
        rescan: float,
        idle: float = 30.0,
    ) -> None:
        self._reader = reader
        self._store = reader.store
        self._lock_file = lock_file
        self._rescan = rescan
        self._idle = idle
        self._prefetch = SingleFlight("ahead", 1)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._awaited: Future[None] | None = None
        self._closed = False
        self._woken = False
        self._state = "idle"
        # The scanning thread's own.
        self._current: tuple[Span, SpanRead | None] = _NOWHERE
        self._held: contextlib.ExitStack | None = None
        self._courtesy = 0.0
        self._backoff = _BACKOFF

    def start(self) -> None:
        """Scan in a thread from now on."""
        with self._lock:
            self._start()

    def scan_all(self) -> Future[None]:
        """Return a future that ends when the whole history is known, or a page has failed.

        All callers share one: a scan has a thread of its own, which goes on when they have gone.
        """
        with self._lock:
            if self._closed:
                raise Interrupted("the filesystem is being unmounted")
            awaited = self._awaited = self._awaited or Future()
            self._woken = True
            self._start()
            self._changed.notify_all()
        return awaited

    def close(self) -> None:
        """End with the page that is being read."""
        with self._lock:
            self._closed = True
            awaited, self._awaited = self._awaited, None
            self._changed.notify_all()
            threaded = self._thread is not None
        if not threaded:
            self._release()
        self._prefetch.close()
        if awaited is not None:
            awaited.cancel()

    def progress(self) -> Progress:
        """Return how far the scan is."""
        known = self._store.coverage().spans()
        with self._lock:
            state = self._state
        complete = known == [ALWAYS]
        if complete and state == "waiting":
            state = "idle"
        reached = bool(known) and not complete and known[-1].end == ALWAYS.end
        return Progress(complete, known[-1].start if reached else None, state)

    def step(self, prefetch: bool = True, oldest: float | None = None) -> float | None:
        """Read the next page in the calling thread.

        Args:
            prefetch: whether to request the page after it while this one is being stored.
            oldest: spans requested before this moment, in seconds since the epoch, are read
                again; None for `rescan` seconds ago.

        Returns:
            The seconds until the next step: not 0 when another process is reading; None when there
            is nothing to read.

        Raises:
            SourceError: the source failed.
            NoSpace, CacheFailed: the page can't be stored.
        """
        held = self._held or self._acquire()
        if held is None:
            return _LOOK
        self._held = None
        with held:
            reader = self._reader
            # An unfiltered list has them: they need not be requested by themselves.
            apart = not (reader.has_undated() or reader.needs_full_list(-math.inf))
            if apart and self._store.covers(ALWAYS):
                # Last: among the others they may have had neighbours.
                reader.fetch_undated()
                return 0.0
            span = self._next(oldest)
            if span is None:
                return None
            rest, read = self._current
            if rest != span or read is None:
                read = reader.read(span, background=True)
            # Not continued after a failure: the server may no longer know its cursor.
            self._current = _NOWHERE
            flights = self._prefetch if prefetch else None
            page = read.next(flights)
            # Do not stop where items are known that may be gone.
            while read.newest is not None and page.span.start > read.newest:
                page = read.next(flights)
            self._current = (page.rest, read)
            if read.is_prefetching:
                # Another process would request the page that is under way.
                self._held = held.pop_all()
            return 0.0

    def _next(self, oldest: float | None) -> Span | None:
        """Return the span to read next: an unknown one, else the one requested too long ago."""
        coverage = self._store.coverage()
        gaps = coverage.gaps(ALWAYS)
        now = self._reader.clock()
        if oldest is None:
            oldest = now - self._rescan if self._rescan else float("-inf")
        old = [covered for covered in coverage if not oldest <= covered.requested_at <= now]
        rest, read = self._current
        if read is not None and read.is_unfiltered and rest.start < rest.end:
            return rest
        # A scan begins with an unfiltered list, and resumes with a filtered one.
        begins = self._store.total() <= self._reader.page_size
        if (begins or not gaps) and self._reader.needs_full_list(oldest):
            return ALWAYS
        if gaps:
            return gaps[-1]
        if not old:
            return None
        # The one that was requested first: where a scan takes longer than `rescan`, every part of
        # the history gets its turn.
        start, end, _ = min(old, key=lambda covered: covered.requested_at)
        date = self._store.nth_newest(Span(start, end), self._reader.refresh_size)
        return Span(start if date is None else min(date + 1, end - 1), end)

    def _acquire(self) -> contextlib.ExitStack | None:
        """Hold the lock file until the result is closed; None when another process holds it."""
        with contextlib.ExitStack() as stack:
            try:
                alone = stack.enter_context(locked(self._lock_file, wait=False))
            except OSError as error:
                raise CacheFailed(f"{self._lock_file} can't be opened: {error.strerror}") from error
            return stack.pop_all() if alone else None

    def _release(self) -> None:
        if self._held is not None:
            self._held.close()

    # The thread

    def _start(self) -> None:
        """Start the thread; called with `_lock` held."""
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name="scan", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            self._scan()
        finally:
            self._release()

    def _scan(self) -> None:
        pause = 0.0
        while self._sleep(pause):
            try:
                pause = self._work()
            except BaseException as error:  # handed to the waiting callers; the thread goes on
                if self._closed:
                    return
                if isinstance(error, HistfsError):
                    log.warning("the history can't be read: %s", error)
                else:
                    log.exception("reading the history failed unexpectedly")
                self._end("waiting", error)
                pause = self._backoff
                self._backoff = min(2 * self._backoff, _LONGEST_BACKOFF)

    def _work(self) -> float:
        """Do the next step if it is due, and return the seconds until the next look."""
        with self._lock:
            awaited = self._awaited is not None
        # Also after a failure, or when the callers were killed: they are likely to come again.
        wanted = awaited or self._store.notes.full_scan_wanted
        if wanted and self._store.covers(ALWAYS) and self._reader.has_all_undated():
            self._end("idle", None)
            wanted = False
        if self._reader.breaker.is_busy() and self._courtesy < _COURTESY:
            self._courtesy += _STEP_BACK
            return _STEP_BACK
        self._courtesy = 0.0
        if awaited:
            self._store.notes.full_scan_wanted = True
        if not wanted:
            missing = (
                _PAUSE if self._state == "reading" else self._idle
            ) - self._reader.breaker.idle_time()
            if missing > 0:
                return min(missing, _LONG_LOOK)
        with prioritised(lambda: wanted or self._awaited is not None):
            pause = self.step(prefetch=wanted)
        if pause == 0:
            self._backoff = _BACKOFF
        with self._lock:
            self._state = "reading" if pause == 0 else "idle"
        if pause is None:
            return _LONG_LOOK
        return pause if wanted else max(pause, _PAUSE)

    def _sleep(self, seconds: float) -> bool:
        """Wait until a caller comes; return whether to go on."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._woken, seconds)
            self._woken = False
            return not self._closed

    def _end(self, state: str, error: BaseException | None) -> None:
        """Tell the waiting callers that the scan has ended, or failed."""
        if error is None:
            self._store.notes.full_scan_wanted = False
        with self._lock:
            self._state = state
            awaited, self._awaited = self._awaited, None
        if awaited is None:
            return
        if error is None:
            awaited.set_result(None)
        else:
            awaited.set_exception(error)
