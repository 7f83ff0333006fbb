"""File descriptors, and the translation of the disk's errors.

Threads: no state that changes.
"""

from __future__ import annotations

import errno
import os
import time
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


class translated:  # noqa: N801 - used as a function
    """A context that translates the disk's errors into domain exceptions.

    No generator, which costs several times as much: each clip needs a dozen.

    Args:
        what: what the cache can't be, for the message.
        path: of the cache.
    """

    __slots__ = ("_path", "_what")

    def __init__(self, what: str, path: Path) -> None:
        self._what = what
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if isinstance(error, OSError):
            if error.errno in FULL:
                raise NoSpace(f"no space left for the cache in {self._path}") from error
            raise CacheFailed(f"the cache {self._path} {self._what}: {error.strerror}") from error
