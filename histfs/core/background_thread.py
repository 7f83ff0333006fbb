"""A thread that lives as long as a block.

Threads: the one that is started; it shares an event with the block, and there is no lock.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def running(name: str, function: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run a function in a thread within the block; the end of the block waits for it.

    Args:
        name: of the thread.
        function: gets an event that is set when the block ends, and returns soon after that.
    """
    ended = threading.Event()
    thread = threading.Thread(target=function, args=(ended,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
