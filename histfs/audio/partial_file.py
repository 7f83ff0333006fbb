"""The partial file of a download: on disk, or in memory where the disk is full or takes no files.

A clip in memory can be read through its open handles, and is gone when they are closed.

Threads: one thread writes a `PartialFile`; any thread may read the written bytes through `file`.
`MemorySpill._lock` guards its counts; no other lock is taken while it is held.
"""

from __future__ import annotations

import fcntl
import logging
import math
import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from queue import SimpleQueue

from histfs.audio.disk_quota import DiskQuota
from histfs.audio.file_descriptors import REFUSING, Descriptor, touch, translated
from histfs.core.errors import NoSpace

#: Bytes that are copied at once.
_CHUNK = 1 << 20
#: Seconds between two warnings that clips are not kept.
_WARNING_INTERVAL = 600.0
#: Bytes that are allocated at once: the length that a server announces may be wrong.
_STEP = 64 << 20

log = logging.getLogger(__name__)


class MemorySpill:
    """Clips in memory, for as long as they are open.

    Args:
        cap: bytes that they may take together.

    Attributes:
        in_use: whether the last download is here, and not on the disk.
    """

    def __init__(self, cap: int) -> None:
        self.in_use = False
        self._cap = cap
        self._lock = threading.Lock()
        self._used = 0
        self._warned_at = -math.inf
        # A destructor may run at any moment, even in a thread that holds `_lock`.
        self._closed: SimpleQueue[int] = SimpleQueue()

    def begin(self) -> bool:
        """Note that the disk takes nothing, and return whether to log a warning."""
        self.in_use = True
        now = time.monotonic()
        with self._lock:
            due = now - self._warned_at >= _WARNING_INTERVAL
            if due:
                self._warned_at = now
        return due

    def create(self) -> _InMemory:
        """Make an empty file."""
        return _InMemory(os.memfd_create("histfs", os.MFD_CLOEXEC), self._closed)

    def resize(self, file: _InMemory, size: int) -> None:
        """Make a file larger, or truncate it.

        Raises:
            NoSpace: all files together would exceed the cap.
        """
        with self._lock:
            while not self._closed.empty():
                self._used -= self._closed.get()
            if self._used + size - file.size > self._cap:
                raise NoSpace("no space left for audio, neither on the disk nor in memory")
            os.ftruncate(file.number, size)
            self._used += size - file.size
            file.size = size


class _InMemory(Descriptor):
    """A file in memory, and its size in bytes."""

    __slots__ = ("_closed", "size")

    def __init__(self, number: int, closed: SimpleQueue[int]) -> None:
        super().__init__(number)
        self.size = 0
        self._closed = closed

    def __del__(self) -> None:
        super().__del__()
        self._closed.put(self.size)


class PartialFile:
    """The file of a running download.

    Args:
        incoming: the directory of partial files.
        quota: counts its bytes.
        memory: takes the clip when the disk doesn't.

    Raises:
        CacheFailed, NoSpace: the disk failed, or there is no room in memory either. So do all
            methods.

    Attributes:
        file: the written bytes; replaced by a file in memory with the same bytes when the disk is
            full.
    """

    file: Descriptor

    def __init__(self, incoming: Path, quota: DiskQuota, memory: MemorySpill) -> None:
        self._incoming = incoming
        self._quota = quota
        self._memory = memory
        self._path: Path | None = None
        self._in_memory: _InMemory | None = None
        self._reserved = self._written = self._expected = 0
        with self._translated():
            self._run_on_disk(self._create, 1)

    @property
    def on_disk(self) -> bool:
        """Whether it is on the disk, and not in memory."""
        return self._in_memory is None

    def reserve(self, size: int) -> None:
        """Allocate bytes for a length in advance, up to a limit; written bytes stay."""
        self._expected = size
        size = max(min(size, _STEP), self._written)
        with self._translated():
            self._run(lambda: self._resize(size), size - self._reserved)

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Write bytes at an offset, at which at least as many have been written."""

        def put() -> None:
            rest, position = memoryview(data), offset
            if position + len(rest) > self._reserved:
                needed = position + len(rest)
                self._resize(max(needed, min(self._expected, needed + _STEP)))
            while rest:
                written = os.pwrite(self.file.number, rest, position)
                rest, position = rest[written:], position + written

        with self._translated():
            self._run(put, len(data))
        self._written = max(self._written, offset + len(data))

    def keep(self, place: Path) -> None:
        """Put the file in its place as a complete clip, which counts as used now."""

        def put() -> None:
            if self._path is not None:
                try:
                    self._quota.move(self._path, place)
                except FileNotFoundError:
                    place.parent.mkdir(mode=0o700, exist_ok=True)
                    self._quota.move(self._path, place)
                self._path = None

        with self._translated():
            if self._reserved != self._written:
                self._resize(self._written)
            if self._path is not None:
                # After a power failure the size alone would look right: allocated bytes that did
                # not reach the disk read as zeros. Not retried: a second fsync does not report what
                # the first could not write.
                os.fsync(self.file.number)
                touch(self.file.number)
            self._run(put, 1)
        self._memory.in_use = not self.on_disk

    def discard(self) -> None:
        """Remove the file, unless it was kept; where that fails the next scan removes it.

        The descriptor is released here: the traceback of the error that ended the download holds
        this object, and would keep the disk's blocks until the next garbage collection.
        """
        self._remove()
        del self.file
        self._in_memory = None

    def _run(self, action: Callable[[], None], size: int) -> None:
        """Run an action that takes bytes on disk, or in memory once the disk takes none."""
        if not self.on_disk or not self._run_on_disk(action, size):
            action()

    def _run_on_disk(self, action: Callable[[], None], size: int) -> bool:
        """Run an action that takes bytes on disk; else move to memory, and return False."""
        try:
            self._quota.with_room(size if self._quota.counts(self._reserved) else 0, action)
        except OSError as error:
            if error.errno not in REFUSING:
                raise
            self._move_to_memory(error)
            return False
        return True

    def _create(self) -> None:
        while True:
            path = self._incoming / f"{secrets.token_hex(8)}.part"
            number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self.file, self._path = Descriptor(number), path
            fcntl.flock(number, fcntl.LOCK_SH)
            # The scan of another mount may have removed it as a leftover before it was locked.
            if os.fstat(number).st_nlink:
                return

    def _translated(self) -> AbstractContextManager[None]:
        return translated("can't be written", self._incoming)

    def _remove(self) -> None:
        path, self._path = self._path, None
        if path is not None:
            try:
                self._quota.remove(path)
            except OSError as error:
                log.info("an unfinished download can't be removed: %s", error.strerror)

    def _resize(self, size: int) -> None:
        if self._in_memory is None:
            self._quota.resize(self.file, size)
        else:
            self._memory.resize(self._in_memory, size)
        self._reserved = size

    def _move_to_memory(self, error: OSError) -> None:
        """Move the written bytes to memory."""
        if self._memory.begin():
            log.warning("audio is read without being kept: %s: %s", self._incoming, error.strerror)
        copy = self._memory.create()
        self._memory.resize(copy, self._written)
        done = 0
        while done < self._written:
            chunk = os.pread(self.file.number, min(_CHUNK, self._written - done), done)
            done += os.pwrite(copy.number, chunk, done)
        self._remove()
        self.file = self._in_memory = copy
        self._reserved = self._written
