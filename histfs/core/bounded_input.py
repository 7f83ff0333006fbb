"""Small inputs whose end may never come: a file, a named pipe, the output of a command."""

from __future__ import annotations

import contextlib
import math
import os
import select
import stat
import time
from collections.abc import Iterator
from pathlib import Path

#: Bytes of a key and what stands around it, at the most.
LARGEST = 64 << 10
#: Seconds to wait for what comes through a named pipe.
PATIENCE = 10.0


class InputFailed(ValueError):
    """What is there can't be read to its end; the message says why, after "it"."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """Lend a descriptor of a file or a named pipe, without waiting for who writes into the pipe.

    Raises:
        OSError: it can't be opened.
        NoInput: it is something else, such as a device.
    """
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        mode = os.fstat(number).st_mode
        if stat.S_ISDIR(mode):
            raise InputFailed("it is a directory")
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise InputFailed("it is not a file")
        yield number
    finally:
        os.close(number)


def read_all(number: int, seconds: float = PATIENCE, largest: int = LARGEST) -> bytes:
    """Read a descriptor to its end.

    Args:
        number: the descriptor.
        seconds: after which the end must have come.
        largest: bytes, at the most.

    Raises:
        NoInput: the end did not come in time, or after too many bytes.
        OSError: it can't be read.
    """
    end = time.monotonic() + seconds
    poll = select.poll()
    poll.register(number, select.POLLIN)
    content = bytearray()
    while True:
        left = end - time.monotonic()
        if left <= 0 or not poll.poll(math.ceil(left * 1000)):
            raise InputFailed(f"it did not end within {seconds:.0f} seconds")
        try:
            piece = os.read(number, largest + 1 - len(content))
        except BlockingIOError:  # another process has read it
            continue
        if not piece:
            return bytes(content)
        content += piece
        if len(content) > largest:
            raise InputFailed(f"it is longer than {largest >> 10} KB")
