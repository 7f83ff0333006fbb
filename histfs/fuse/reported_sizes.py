"""What the kernel was told of the sizes of files, for as long as it believes it.

The kernel keeps attributes for a moment, which spares most of the calls of a walk. A clip's size is
an estimate until it is opened, and fstat(2) after that must give the exact one. So an open of a
file whose size has changed since it was told fails with ESTALE once: the kernel then looks all of
the path up anew and opens again (Linux, fs/namei.c, do_filp_open: LOOKUP_REVAL). The program that
opens notices nothing.

While a file is open its size is that of the handle, whatever a stat finds: the kernel asks by path
for fstat(2), too, and keeps one size for the file and all who have it open. A stat that looked the
size up before the file was opened, and answers after it, would otherwise tell the estimate.

Of answers whose requests overlap the kernel keeps the one that it gets first, and drops the others
(fs/fuse/inode.c, attr_version). And what one caller is told may not have arrived when another one
opens the file. So a size is in doubt once another one was told. A caller may open the file when it
was itself told the size by a request that began so much later that the kernel had the other answer;
an open that fails with ESTALE waits for that first. Others may when the kernel must have it.

Threads: any number at once; `_lock` guards the order in which sizes are put down, and the table of
open files.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from histfs.core.generational_cache import GenerationalCache

#: Seconds for which the kernel may believe attributes, and what a name stands for.
TIMEOUT = 1.0
#: Seconds for which it is remembered: the kernel reckons from when it has the answer, and this
#: process may stand still before it gives it.
MEMORY = 3 * TIMEOUT
#: Seconds from when a size was told by a callback until the kernel has it, at the most. Other
#: threads that want to run, and a machine with other things to do, are in between.
DELIVERY = 0.2


class RequestStart(NamedTuple):
    """When a request began.

    Attributes:
        at: in seconds, of the clock.
        number: tells requests of one moment apart.
    """

    at: float
    number: int


@dataclass(slots=True)
class _Size:
    """What was told last of the size of a file.

    Attributes:
        turn: of the stat, or of the open, that has told it last.
        size: in bytes.
        at: when it was told last, in seconds.
        doubt: when another size was told last; None where none was.
        knowing: the callers that were told this size when the kernel had the other one.
        settled: when the first of them was told; None while there is none.
    """

    turn: RequestStart
    size: int
    at: float
    invalidate: float | None = None
    knowing: set[int] = field(default_factory=set)
    settled: float | None = None


class ReportedSizes:
    """Remembers sizes by path.

    Args:
        caller: returns the id of the thread whose call is served.
        clock: seconds, monotonic.
    """

    def __init__(
        self, caller: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._caller = caller
        self._clock = clock
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._sizes = GenerationalCache[str, _Size](MEMORY, clock)
        # By path: the size of the file that was opened last, and how many are open.
        self._open: dict[str, tuple[int, int]] = {}

    def turn(self) -> RequestStart:
        """Return the turn of a stat that begins now."""
        return RequestStart(self._clock(), next(self._numbers))

    def tell(self, path: str, size: int, turn: RequestStart) -> int:
        """Note that the kernel is told the size of a file, and return the size to tell.

        That of an open handle, where there is one. A stat that began before another stat, or before
        an open, and ends after it, tells what that one has told.

        Args:
            path: what was asked for.
            size: in bytes.
            turn: from `turn`, taken before the size was looked up.
        """
        with self._lock:
            told = self._last(path)
            if told is None or told.turn < turn:
                if path in self._open:
                    size, _ = self._open[path]
                told = self._put(path, size, turn, told)
            if told.invalidate is not None and turn.at >= told.invalidate + DELIVERY:
                told.knowing.add(self._caller())
                if told.settled is None:
                    told.settled = self._clock()
            return told.size

    def opened(self, path: str, size: int) -> float | None:
        """Note that a file is open from now on, unless the kernel has to look its path up before.

        Args:
            path: what is opened.
            size: of the open file, in bytes.

        Returns:
            None when it is open; `closed` has to be called then. Else the seconds to wait before
            the kernel is made to look.
        """
        with self._lock:
            told = self._put(path, size, self.turn(), self._last(path))
            others = self._open.get(path, (size, 0))[1]
            if self._is_sure(told):
                self._open[path] = size, others + 1
                return None
            if others:
                # What is told from here on is this size, not that of an earlier handle.
                self._open[path] = size, others
            return max(0.0, (told.invalidate or 0.0) + DELIVERY - self._clock())

    def closed(self, path: str) -> None:
        """Note that a file that was opened is closed."""
        with self._lock:
            size, count = self._open.pop(path)
            if count > 1:
                self._open[path] = size, count - 1

    def _last(self, path: str) -> _Size | None:
        """Return what was told last of a file, where the kernel may still believe it."""
        told = self._sizes.get(path)
        return told if told is not None and self._clock() - told.at < MEMORY else None

    def _put(self, path: str, size: int, turn: RequestStart, before: _Size | None) -> _Size:
        """Note a size, told now; called with `_lock` held."""
        now = self._clock()
        if before is not None and before.size == size:
            told = before
            told.turn, told.at = turn, now
        else:
            told = _Size(turn, size, now, None if before is None else before.at)
        self._sizes.put(path, told)
        return told

    def _is_sure(self, told: _Size) -> bool:
        """Say whether the kernel has the size for certain; called with `_lock` held."""
        if told.invalidate is None or self._caller() in told.knowing:
            return True
        return told.settled is not None and self._clock() >= told.settled + DELIVERY
