"""Open files and directories by the number that the kernel holds for them.

Threads: any number at once; `OpenHandles._lock` guards the table. `FileHandle.gave_up` is one
number, which any thread may write.
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

#: Seconds within which the kernel asks for a page of what it could not read ahead.
_ASKED_AGAIN = 0.5


@dataclass(slots=True)
class FileHandle:
    """An open file.

    Attributes:
        path: under which it was opened.
        attributes: what it was when it was opened.
        file: gives its bytes.
        gave_up: when a read of it last ended because its time was over, monotonic.
    """

    path: str
    attributes: Attributes
    file: OpenFile
    gave_up: float = -math.inf

    def read(self, offset: int, size: int, waiter: Waiter) -> bytes:
        """Return the bytes at an offset.

        A read(2) makes the kernel read ahead. Where that fails it asks once more, for one page: the
        program would wait twice as long as a call may take.

        Raises:
            DeadlineExceeded: the time is over, or was so for another read a moment ago.
        """
        if time.monotonic() - self.gave_up < _ASKED_AGAIN:
            raise DeadlineExceeded("no answer within the time that a call may take")
        try:
            return self.file.read(offset, size, waiter)
        except DeadlineExceeded:
            self.gave_up = time.monotonic()
            raise


@dataclass(frozen=True, slots=True)
class DirectoryHandle:
    """An open directory, and what it held when it was opened; a large one is read bit by bit."""

    path: str
    listing: Sequence[DirEntry] | LargeListing


class OpenHandles:
    """The table of what is open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._files: dict[int, FileHandle] = {}
        self._directories: dict[int, DirectoryHandle] = {}

    def add_file(self, handle: FileHandle) -> int:
        """Return a number for an open file."""
        with self._lock:
            number = next(self._numbers)
            self._files[number] = handle
            return number

    def file(self, number: int) -> FileHandle:
        """Return an open file."""
        with self._lock:
            return self._files[number]

    def remove_file(self, number: int) -> FileHandle:
        """Close a file, and return what it was."""
        with self._lock:
            handle = self._files.pop(number)
        handle.file.close()
        return handle

    def add_directory(self, handle: DirectoryHandle) -> int:
        """Return a number for an open directory; its listing stays as it is until closed."""
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
