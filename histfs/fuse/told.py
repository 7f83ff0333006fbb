"""What the kernel was told of the sizes of files, for as long as it believes it.

The kernel keeps attributes for a moment, which spares most of the calls of a walk. A clip's size is
an estimate until it is opened, and fstat(2) after that must give the exact one. So an open of a
file whose size has changed since it was told fails with ESTALE once: the kernel then looks all of
the path up anew and opens again (Linux, fs/namei.c, do_filp_open: LOOKUP_REVAL). The program that
opens notices nothing.

Threads: any number at once; `_lock` guards the order in which sizes are put down.
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
_MEMORY = 2 * TIMEOUT


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
        self._sizes = Recent[str, _Size](_MEMORY, clock)

    def turn(self) -> int:
        """Return the turn of a stat that begins now."""
        return next(self._turns)

    def tell(self, path: str, size: int, turn: int) -> None:
        """Note that the kernel is told the size of a file.

        One that began before another, and ends after it, tells what the kernel drops by itself
        (fs/fuse/inode.c, attr_version).

        Args:
            path: what was asked for.
            size: in bytes.
            turn: from `turn`, taken before the size was looked up.
        """
        with self._lock:
            told = self._sizes.get(path)
            if told is None or told.turn < turn:
                self._sizes.put(path, _Size(turn, size, self._clock()))

    def misled(self, path: str, size: int) -> bool:
        """Say whether the kernel has to look a path up anew before it opens the file.

        Args:
            path: what is opened.
            size: of the open file, in bytes.
        """
        told = self._sizes.get(path)
        if told is None or told.size == size:
            return False
        return self._clock() - told.at < _MEMORY
