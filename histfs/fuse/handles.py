"""Open files and directories by the number that the kernel holds for them.

Threads: any number at once; `_lock` guards the table.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from histfs.core.nodes import Attributes, Entry, OpenFile


@dataclass(frozen=True, slots=True)
class FileHandle:
    """An open file, its path, and what it was when it was opened."""

    path: str
    attributes: Attributes
    file: OpenFile


@dataclass(frozen=True, slots=True)
class DirectoryHandle:
    """An open directory and what it held when it was opened."""

    path: str
    listing: Sequence[Entry]


class Handles:
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
