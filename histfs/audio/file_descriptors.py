"""File descriptors, and the translation of the disk's errors.

Threads: no state that changes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

from histfs.core.errors import CacheFailed, NoSpace

#: The errors of a full disk, or of an exhausted disk quota.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
#: The errors of a disk that takes no files, or no more of them.
REFUSING = FULL | {errno.EROFS, errno.EACCES, errno.EPERM}


class Descriptor:
    """A file descriptor that is closed with the last reference to this object.

    Args:
        number: an open descriptor, owned from here on.
    """

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


def touch(number: int) -> None:
    """Note that a clip is used now; the kernel's own clock is too coarse to order two uses."""
    now = time.time_ns()
    os.utime(number, ns=(now, now))


def allocate(number: int, start: int, end: int) -> None:
    """Make a file larger, and allocate its blocks where the filesystem can do that."""
    try:
        os.posix_fallocate(number, start, end - start)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        os.ftruncate(number, end)


@contextlib.contextmanager
def translated(what: str, path: Path) -> Iterator[None]:
    """Translate the disk's errors into domain exceptions."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise NoSpace(f"no space left for the cache in {path}") from error
        raise CacheFailed(f"the cache {path} {what}: {error.strerror}") from error
