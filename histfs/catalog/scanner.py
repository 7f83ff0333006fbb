"""Reading the whole history in the background: newest first, a page at a time.

What is to be done next follows from the windows alone, so that a scan goes on where it stopped,
whoever stopped it: the topmost part that isn't known, else the part that was asked about first, if
that is too long ago. While somebody waits for the whole it runs as fast as the server answers, one
request at a time; else it waits until nobody asks for anything.

Threads: one thread scans. `_lock` guards the state that others see; `_changed` is its condition.
Among the processes of one account only the one that holds the lock file (flock) scans.
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

#: Seconds of quiet between two requests of a scan that nobody waits for.
_PAUSE = 1.0
#: Seconds between two looks at what another process has read, or whether something has aged.
_LOOK, _LONG_LOOK = 0.5, 60.0
#: Seconds to wait after a failure, doubled from one to the next.
_BACKOFF, _LONGEST_BACKOFF = 10.0, 300.0
#: Seconds that a page waits until nobody else is waiting for one, at the most, and between looks.
_COURTESY, _STEP_BACK = 2.0, 0.02

_NOWHERE = (Span(0, 0), None)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan is.

    Attributes:
        complete: whether the whole history is known.
        down_to: the date down to which it is, from now; None when nothing is.
        state: ``idle``, ``reading``, or ``waiting`` to try again.
    """

    complete: bool
    down_to: int | None
    state: str


class Scanner:
    """Reads what of the history is not known.

    Args:
        reader: reads from the source into the store.
        lock_file: made when it isn't there; who holds it scans.
        rescan: seconds after which what is known is asked for again; 0 for never.
        idle: seconds of quiet before a scan that nobody waits for begins.
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
        self._ahead = SingleFlight("ahead", 1)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._wanted: Future[None] | None = None
        self._closed = False
        self._woken = False
        self._state = "idle"
        # The scanning thread's own.
        self._reading: tuple[Span, SpanRead | None] = _NOWHERE
        self._held: contextlib.ExitStack | None = None
        self._courtesy = 0.0
        self._backoff = _BACKOFF

    def start(self) -> None:
        """Scan in a thread from now on."""
        with self._lock:
            self._start()

    def whole(self) -> Future[None]:
        """Return what is done when the whole history is known, and has failed when a page has."""
        with self._lock:
            if self._closed:
                raise Interrupted("the filesystem is being unmounted")
            wanted = self._wanted = self._wanted or Future()
            self._woken = True
            self._start()
            self._changed.notify_all()
        return wanted

    def close(self) -> None:
        """End with the page that is on its way."""
        with self._lock:
            self._closed = True
            wanted, self._wanted = self._wanted, None
            self._changed.notify_all()
            threaded = self._thread is not None
        if not threaded:
            self._let_go()
        self._ahead.close()
        if wanted is not None:
            wanted.cancel()

    def progress(self) -> Progress:
        """Say how far it is."""
        known = self._store.windows().spans()
        with self._lock:
            state = self._state
        complete = known == [ALWAYS]
        if complete and state == "waiting":
            state = "idle"
        reached = bool(known) and not complete and known[-1].end == ALWAYS.end
        return Progress(complete, known[-1].start if reached else None, state)

    def step(self, hurry: bool = True, oldest: float | None = None) -> float | None:
        """Read the next page, here and now.

        Args:
            hurry: whether to ask for the page after it while this one is being stored.
            oldest: what was asked about before this moment, in seconds since the epoch, is asked
                for again; None for `rescan` seconds ago.

        Returns:
            The seconds until the next step: not 0 when another process is reading; None when there
            is nothing to read.

        Raises:
            SourceError: the source failed.
            NoSpace, CacheFailed: the page can't be kept.
        """
        held = self._held or self._hold()
        if held is None:
            return _LOOK
        self._held = None
        with held:
            reader = self._reader
            # A list that is read whole has them: they need not be asked for by themselves.
            apart = not (reader.knows_undated() or reader.wants_whole_list(-math.inf))
            if apart and self._store.windows().cover(ALWAYS):
                # Last: among the others they may have had neighbours.
                self._reader.read_undated()
                return 0.0
            span = self._next(oldest)
            if span is None:
                return None
            rest, reading = self._reading
            if rest != span or reading is None:
                reading = self._reader.read(span, background=True)
            # Not gone on with after a failure: the server may no longer know its cursor.
            self._reading = _NOWHERE
            ahead = self._ahead if hurry else None
            answer = reading.next(ahead)
            # What was known, and may not be now, is not left open.
            while reading.newest is not None and answer.span.start > reading.newest:
                answer = reading.next(ahead)
            self._reading = (answer.rest, reading)
            if reading.is_ahead:
                # Another process would ask for the page that is on its way.
                self._held = held.pop_all()
            return 0.0

    def _next(self, oldest: float | None) -> Span | None:
        """Return what to read next: what isn't known, else what was asked about too long ago."""
        windows = self._store.windows()
        gaps = windows.gaps(ALWAYS)
        now = self._reader.clock()
        if oldest is None:
            oldest = now - self._rescan if self._rescan else float("-inf")
        old = [window for window in windows if not oldest <= window.asked <= now]
        rest, reading = self._reading
        if reading is not None and reading.is_whole and rest.start < rest.end:
            return rest
        # A scan begins with a list without a filter, and goes on with one where it was interrupted.
        begins = self._store.total() <= self._reader.page
        if (begins or not gaps) and self._reader.wants_whole_list(oldest):
            return ALWAYS
        if gaps:
            return gaps[-1]
        if not old:
            return None
        # The one that was asked about first: where a scan takes longer than what it is to be
        # fresh for, all of it gets its turn.
        start, end, _ = min(old, key=lambda window: window.asked)
        date = self._store.counted_down(Span(start, end), self._reader.known_on_page)
        return Span(start if date is None else min(date + 1, end - 1), end)

    def _hold(self) -> contextlib.ExitStack | None:
        """Hold the lock file until what is returned is closed; None when another process does."""
        with contextlib.ExitStack() as stack:
            try:
                alone = stack.enter_context(locked(self._lock_file, wait=False))
            except OSError as error:
                raise CacheFailed(f"{self._lock_file} can't be opened: {error.strerror}") from error
            return stack.pop_all() if alone else None

    def _let_go(self) -> None:
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
            self._let_go()

    def _scan(self) -> None:
        pause = 0.0
        while self._sleep(pause):
            try:
                pause = self._work()
            except BaseException as error:  # handed to whoever waits; the thread goes on
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
        """Do what is to be done now, and return the seconds until it is to be looked at again."""
        with self._lock:
            awaited = self._wanted is not None
        # Also if it failed for who waited, or they were killed: they are likely to come again.
        wanted = awaited or self._store.wanted
        if wanted and self._store.windows().cover(ALWAYS) and self._reader.knows_whole():
            self._end("idle", None)
            wanted = False
        if self._reader.health.busy() and self._courtesy < _COURTESY:
            self._courtesy += _STEP_BACK
            return _STEP_BACK
        self._courtesy = 0.0
        if awaited:
            self._store.wanted = True
        if not wanted:
            missing = (
                _PAUSE if self._state == "reading" else self._idle
            ) - self._reader.health.quiet()
            if missing > 0:
                return min(missing, _LONG_LOOK)
        with prioritised(lambda: wanted or self._wanted is not None):
            pause = self.step(hurry=wanted)
        if pause == 0:
            self._backoff = _BACKOFF
        with self._lock:
            self._state = "reading" if pause == 0 else "idle"
        if pause is None:
            return _LONG_LOOK
        return pause if wanted else max(pause, _PAUSE)

    def _sleep(self, seconds: float) -> bool:
        """Wait, unless somebody comes; say whether to go on."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._woken, seconds)
            self._woken = False
            return not self._closed

    def _end(self, state: str, error: BaseException | None) -> None:
        """Tell those who wait that the scan has ended, or failed."""
        if error is None:
            self._store.wanted = False
        with self._lock:
            self._state = state
            wanted, self._wanted = self._wanted, None
        if wanted is None:
            return
        if error is None:
            wanted.set_result(None)
        else:
            wanted.set_exception(error)
