"""Open files, and the errors of the disk that they are on.

Threads: nothing here has state that changes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

from histfs.core.errors import CacheFailed, NoSpace

#: The errors of a disk that is full, or of a user who has used up his share.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
#: The errors of a disk that takes no files, or no more.
REFUSING = FULL | {errno.EROFS, errno.EACCES, errno.EPERM}


class Descriptor:
    """A file descriptor that is closed when the last one who holds this object lets go of it.

    Args:
        number: an open descriptor, owned from here on.
    """

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


def touch(number: int) -> None:
    """Note that a clip is used now; the kernel's own time is too coarse to tell two clips apart."""
    now = time.time_ns()
    os.utime(number, ns=(now, now))


@contextlib.contextmanager
def translated(what: str, path: Path) -> Iterator[None]:
    """Turn the disk's errors into the core's."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise NoSpace(f"no space left for the cache in {path}") from error
        raise CacheFailed(f"the cache {path} {what}: {error.strerror}") from error
