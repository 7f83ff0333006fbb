"""Rate limit of log lines: repeated lines of one kind are counted instead of written.

Lines of one kind have the same logger, level and format string, and the same classes of exceptions
among their arguments. Of each kind the first `MOST` in `SECONDS` seconds are written, and then one
line with the number of further ones and the text of the last. So each kind of event is in the log,
and a failing server does not rotate the history out of it within seconds.

Threads: any number at once. `_lock` guards the table of kinds and the timer; no handler is called
and no other lock is taken while it is held.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

#: Lines of one kind that are written within so many seconds.
MOST, SECONDS = 20, 10.0
#: Kinds that are counted at once; with more of them the counts of all are written out.
_KINDS = 256


@dataclass(slots=True)
class _LineKind:
    """The lines of one kind within one period.

    Attributes:
        period_end: when the period ends, on the monotonic clock.
        count: number of lines.
        last: the last line that was not written.
    """

    period_end: float
    count: int
    last: logging.LogRecord | None


class LogRateLimit(logging.Filter):
    """A filter that drops lines that repeat too often, and logs their count.

    Args:
        handler: receives the lines with the counts.
        clock: seconds, monotonic.
    """

    def __init__(
        self, handler: logging.Handler, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._handler = handler
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[Hashable, _LineKind] = {}
        self._timer: threading.Timer | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is written; write the counts that are due before it."""
        if isinstance(record, _RepeatCount):
            return True
        now = self._clock()
        with self._lock:
            due = self._due(now)
            kind = self._kinds.setdefault(_kind_of(record), _LineKind(now + SECONDS, 0, None))
            kind.count += 1
            is_written = kind.count <= MOST
            if not is_written:
                kind.last = record
                self._start_timer()
        self._write(due)
        return is_written

    def flush(self) -> None:
        """Write all counts: a period is over, or the process ends."""
        with self._lock:
            due, self._kinds = list(self._kinds.values()), {}
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        self._write(due)

    def _due(self, now: float) -> list[_LineKind]:
        """Remove and return the kinds whose period is over; called with `_lock` held."""
        full = len(self._kinds) >= _KINDS
        due = {key: kind for key, kind in self._kinds.items() if full or kind.period_end <= now}
        for key in due:
            del self._kinds[key]
        return list(due.values())

    def _start_timer(self) -> None:
        """Write the counts also when no other line comes; called with `_lock` held."""
        if self._timer is None:
            self._timer = threading.Timer(SECONDS, self.flush)
            self._timer.daemon = True
            self._timer.start()

    def _write(self, kinds: list[_LineKind]) -> None:
        for kind in kinds:
            if kind.last is not None:
                self._handler.handle(_RepeatCount(kind.last, kind.count - MOST))


class _RepeatCount(logging.LogRecord):
    """The line with the number of further lines of a kind.

    Args:
        last: the last one of them.
        number: their number.
    """

    def __init__(self, last: logging.LogRecord, number: int) -> None:
        super().__init__(
            last.name,
            last.levelno,
            last.pathname,
            last.lineno,
            "… and %s more like it within %d s, the last: %s",
            (f"{number:,}", SECONDS, last.getMessage()),
            None,
        )


def _kind_of(record: logging.LogRecord) -> Hashable:
    args = record.args if isinstance(record.args, tuple) else ()
    errors = tuple(type(each) for each in args if isinstance(each, BaseException))
    raised = record.exc_info[0] if record.exc_info else None
    return record.name, record.levelno, str(record.msg), errors, raised
