"""What the kernel was told of the sizes of files, for as long as it believes it.

The kernel keeps attributes for a moment, which spares most of the calls of a walk. A clip's size is
an estimate until it is opened, and fstat(2) after that must give the exact one. So an open of a
file whose size has changed since it was told fails with ESTALE once: the kernel then looks all of
the path up anew and opens again (Linux, fs/namei.c, do_filp_open: LOOKUP_REVAL). The program that
opens notices nothing.

While a file is open its size is that of the handle, whatever a stat finds: the kernel asks by path
for fstat(2), too, and keeps one size for the file and all who have it open. A stat that looked the
size up before the file was opened, and answers after it, would otherwise tell the estimate.

Threads: any number at once; `_lock` guards the order in which sizes are put down, and the table of
open files.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from histfs.core.recent import Recent

#: Seconds for which the kernel may believe attributes, and what a name stands for.
TIMEOUT = 1.0
#: Seconds for which it is remembered: the kernel reckons from when it has the answer, and this
#: process may stand still before it gives it.
MEMORY = 3 * TIMEOUT


class _Size(NamedTuple):
    """A size in bytes, the turn of the stat that has told it, and when that was."""

    turn: int
    size: int
    at: float


class Told:
    """Remembers sizes by path.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._turns = itertools.count()
        self._sizes = Recent[str, _Size](MEMORY, clock)
        # By path: the size of the file that was opened last, and how many are open.
        self._open: dict[str, tuple[int, int]] = {}

    def turn(self) -> int:
        """Return the turn of a stat that begins now."""
        return next(self._turns)

    def tell(self, path: str, size: int, turn: int) -> int:
        """Note that the kernel is told the size of a file, and return the size to tell.

        That of an open handle, where there is one. A stat that began before another stat, or before
        an open, and ends after it, tells what that one has told.

        Args:
            path: what was asked for.
            size: in bytes.
            turn: from `turn`, taken before the size was looked up.
        """
        with self._lock:
            opened, told = self._open.get(path), self._sizes.get(path)
            if told is not None and told.turn > turn and self._holds(told):
                return told.size
            if opened is not None:
                size, _ = opened
            self._sizes.put(path, _Size(turn, size, self._clock()))
            return size

    def opened(self, path: str, size: int) -> bool:
        """Note that a file is open from now on, unless the kernel has to look its path up before.

        Args:
            path: what is opened.
            size: of the open file, in bytes.

        Returns:
            Whether it is open; `closed` has to be called then.
        """
        with self._lock:
            others = self._open.get(path, (size, 0))[1]
            told = self._sizes.get(path)
            if told is not None and told.size != size and self._holds(told):
                if others:
                    # The lookup that follows must not be told the size of the earlier handles.
                    self._open[path] = size, others
                return False
            self._open[path] = size, others + 1
            self._sizes.put(path, _Size(self.turn(), size, self._clock()))
            return True

    def closed(self, path: str) -> None:
        """Note that a file that was opened is closed."""
        with self._lock:
            size, count = self._open.pop(path)
            if count > 1:
                self._open[path] = size, count - 1

    def _holds(self, told: _Size) -> bool:
        """Say whether the kernel may still believe what it was told."""
        return self._clock() - told.at < MEMORY
