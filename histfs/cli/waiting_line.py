"""A line on the terminal while a command waits for the history to be read.

Threads: one for each line; it only reads the count, which its source guards, and writes to standard
error. It ends, and the line is cleared, before the command writes anything.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

from histfs.core.background_thread import running

#: Seconds before the line is shown, and between two updates.
_FIRST, _NEXT = 1.0, 0.25


@contextlib.contextmanager
def waiting_line(known: Callable[[], int]) -> Iterator[None]:
    """Show how many items are known while the block runs, if standard error is a terminal.

    Args:
        known: returns the number of items.
    """
    if not sys.stderr.isatty():
        yield
        return

    def show(ended: threading.Event) -> None:
        if ended.wait(_FIRST):
            return
        while True:
            line = f"Waiting for the server: {known():,} items are read so far"
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
            if ended.wait(_NEXT):
                break
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    with running("waiting line", show):
        yield
