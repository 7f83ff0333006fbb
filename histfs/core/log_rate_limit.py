"""A log in which one kind of line can't fill the file: what repeats too often is counted.

The lines of a kind have the same logger, the same text before its arguments are filled in, and tell
of the same kinds of errors. Of each kind the first `MOST` in `SECONDS` seconds are written, and
then one line that says how many more there were, with the text of the last one. So nothing that
happens is missing in the log, and a failing server leaves more than a few seconds of history.

Threads: any number at once; `_lock` guards the table of kinds. No handler is called with it held.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

#: Lines of one kind that are written in so many seconds.
MOST, SECONDS = 20, 10.0
#: Kinds that are counted at once; where there are more, the counts of all are written out.
_KINDS = 256


@dataclass(slots=True)
class _LineKind:
    """The lines of one kind.

    Attributes:
        ends: when they are counted anew.
        count: how many there were.
        last: the last one that was not written.
    """

    ends: float
    count: int
    last: logging.LogRecord | None


class LogRateLimit(logging.Filter):
    """Keeps lines from a handler that repeat too often, and hands it their count.

    Args:
        handler: gets the lines that say how many more there were.
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
        """Say whether a line is written; the counts that are due are written before it."""
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
        """Write all counts: the time of some is over, or the process ends."""
        with self._lock:
            due, self._kinds = list(self._kinds.values()), {}
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        self._write(due)

    def _due(self, now: float) -> list[_LineKind]:
        """Take out the kinds that are counted anew; called with `_lock` held."""
        full = len(self._kinds) >= _KINDS
        over = {key: kind for key, kind in self._kinds.items() if full or kind.ends <= now}
        for key in over:
            del self._kinds[key]
        return list(over.values())

    def _start_timer(self) -> None:
        """See to it that the counts are written if no other line comes; `_lock` is held."""
        if self._timer is None:
            self._timer = threading.Timer(SECONDS, self.flush)
            self._timer.daemon = True
            self._timer.start()

    def _write(self, kinds: list[_LineKind]) -> None:
        for kind in kinds:
            if kind.last is not None:
                self._handler.handle(_RepeatCount(kind.last, kind.count - MOST))


class _RepeatCount(logging.LogRecord):
    """The line that says how many more there were.

    Args:
        last: the last one of them.
        number: how many.
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
