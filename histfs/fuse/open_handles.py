"""The table of open files and directories, by the handle that the kernel has for each.

Threads: any number at once. `OpenHandles._lock` guards the table; no other lock is taken while it
is held. `FileHandle.timed_out` is one number, which any thread may write.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from histfs.core.errors import DeadlineExceeded
from histfs.core.large_listing import LargeListing
from histfs.core.nodes import Attributes, DirEntry, OpenFile
from histfs.core.waiting import Waiter
from histfs.fuse.estimate_watch import WatchedFile
from histfs.fuse.kernel_cache import Version

#: Seconds within which the kernel asks for one page after its read-ahead has failed.
_RETRY_WINDOW = 0.5


@dataclass(slots=True)
class FileHandle:
    """An open file.

    Attributes:
        path: under which it was opened.
        attributes: as they were then.
        file: returns its bytes.
        watched: what watches its reader; None where that can't take an estimate for the size.
        played: whether it is read as it comes.
        timed_out: when a read last reached its deadline, in seconds, monotonic.
    """

    path: str
    attributes: Attributes
    file: OpenFile
    watched: WatchedFile | None = None
    played: bool = False
    timed_out: float = -math.inf

    def read(self, offset: int, size: int, waiter: Waiter) -> bytes:
        """Return the bytes at an offset.

        A read(2) makes the kernel read ahead. Where that fails, the kernel asks again for one page.
        That request fails at once: otherwise the program would wait for two deadlines.

        Args:
            offset: in bytes.
            size: in bytes, at the most.
            waiter: the deadline of the call.

        Raises:
            DeadlineExceeded: the deadline has passed, for this read or another one a moment ago.
        """
        if time.monotonic() - self.timed_out < _RETRY_WINDOW:
            raise DeadlineExceeded("no answer within the time that a call may take")
        try:
            return self.file.read(offset, size, waiter)
        except DeadlineExceeded:
            self.timed_out = time.monotonic()
            raise


@dataclass(frozen=True, slots=True)
class DirectoryHandle:
    """An open directory.

    Attributes:
        path: under which it was opened.
        listing: its entries when it was opened; a large listing is read in parts.
        version: on which the listing depends; None where it may not be cached for long.
    """

    path: str
    listing: Sequence[DirEntry] | LargeListing
    version: Version | None = None


class OpenHandles:
    """The table of open files and directories."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._files: dict[int, FileHandle] = {}
        self._directories: dict[int, DirectoryHandle] = {}

    def add_file(self, handle: FileHandle) -> int:
        """Add an open file, and return its handle."""
        with self._lock:
            number = next(self._numbers)
            self._files[number] = handle
            return number

    def file(self, number: int) -> FileHandle:
        """Return an open file."""
        with self._lock:
            return self._files[number]

    def remove_file(self, number: int) -> FileHandle:
        """Close a file, and return its entry."""
        with self._lock:
            handle = self._files.pop(number)
        handle.file.close()
        return handle

    def add_directory(self, handle: DirectoryHandle) -> int:
        """Add an open directory, and return its handle."""
        with self._lock:
            number = next(self._numbers)
            self._directories[number] = handle
            return number

    def directory(self, number: int) -> DirectoryHandle:
        """Return an open directory."""
        with self._lock:
            return self._directories[number]

    def remove_directory(self, number: int) -> None:
        """Close a directory."""
        with self._lock:
            del self._directories[number]
