"""SIGHUP: a mount in the background does something at this signal, as daemons do.

Threads: `on_hangup` has one thread, which waits for the signal; there is no lock.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator

from histfs.core.errors import HistfsError

log = logging.getLogger(__name__)


@contextlib.contextmanager
def on_hangup(action: Callable[[], None]) -> Iterator[None]:
    """Call a function for each SIGHUP within the block; nothing where there is a terminal.

    There the signal means that the terminal is gone, and libfuse unmounts. Python's handlers do not
    run while the main thread is in libfuse, so a thread reads the number of the signal from a pipe
    (`signal.set_wakeup_fd`). Only the main thread may enter the block.

    Args:
        action: called by a thread of its own; a `HistfsError` of it is logged.
    """
    if _has_terminal():
        yield
        return
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(reader, True)

    def run() -> None:
        while number := os.read(reader, 1):
            if number[0] == signal.SIGHUP:
                try:
                    action()
                except HistfsError as error:
                    log.warning("SIGHUP: %s", error)

    thread = threading.Thread(target=run, name="hangup", daemon=True)
    handler = signal.signal(signal.SIGHUP, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGHUP, handler)
        os.close(writer)
        thread.join()
        os.close(reader)


def _has_terminal() -> bool:
    """Say whether this process has a controlling terminal (tty(4))."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY))
    except OSError:
        return False
    return True
