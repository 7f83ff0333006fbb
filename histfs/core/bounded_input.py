"""Bounded reads of small inputs that may be endless: a file, a named pipe, a command's output."""

from __future__ import annotations

import contextlib
import math
import os
import select
import stat
import time
from collections.abc import Iterator
from pathlib import Path

#: Default bound in bytes: more than any file of a key.
MAX_BYTES = 64 << 10
#: Default seconds to wait for the end of a named pipe.
TIMEOUT = 10.0


class InputFailed(ValueError):
    """The input can't be read to its end; the message begins with "it"."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a file or a named pipe, without waiting for a writer of the pipe.

    Yields:
        A file descriptor.

    Raises:
        OSError: it can't be opened.
        InputFailed: it is something else, such as a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise InputFailed("it is a directory")
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise InputFailed("it is not a file")
        yield descriptor
    finally:
        os.close(descriptor)


def read_all(descriptor: int, timeout: float = TIMEOUT, max_bytes: int = MAX_BYTES) -> bytes:
    """Read a file descriptor to its end.

    Args:
        descriptor: the file descriptor.
        timeout: seconds within which the end must come.
        max_bytes: maximum length.

    Raises:
        InputFailed: the end did not come in time, or there are too many bytes.
        OSError: it can't be read.
    """
    deadline = time.monotonic() + timeout
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    content = bytearray()
    while True:
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not poll.poll(math.ceil(remaining * 1000)):
            raise InputFailed(f"it did not end within {timeout:.0f} seconds")
        try:
            chunk = os.read(descriptor, max_bytes + 1 - len(content))
        except BlockingIOError:  # another process has read it
            continue
        if not chunk:
            return bytes(content)
        content += chunk
        if len(content) > max_bytes:
            raise InputFailed(f"it is longer than {max_bytes >> 10} KB")
