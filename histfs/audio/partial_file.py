"""A clip on its way: in a file, or in memory where the disk is full or takes no files.

What is in memory can be read by those who have it open; nobody finds it later.

Threads: one thread writes a `PartialFile`; any thread may read what is written, through `file`.
`MemorySpill._lock` guards its counts.
"""

from __future__ import annotations

import fcntl
import logging
import math
import os
import tempfile
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
#: Seconds in which it is said once that clips are not kept.
_QUIET = 600.0
#: Bytes that are set aside at once: a length that a server announces may be untrue.
_STEP = 64 << 20

log = logging.getLogger(__name__)


class MemorySpill:
    """Clips in memory, for as long as somebody has them open.

    Args:
        cap: bytes that they may take together.

    Attributes:
        in_use: whether the last clip that came is here, and not on the disk.
    """

    def __init__(self, cap: int) -> None:
        self.in_use = False
        self._cap = cap
        self._lock = threading.Lock()
        self._used = 0
        self._said = -math.inf
        # A destructor may run at any moment, even in a thread that holds `_lock`.
        self._closed: SimpleQueue[int] = SimpleQueue()

    def begin(self) -> bool:
        """Note that the disk takes nothing, and return whether that is worth saying."""
        self.in_use = True
        now = time.monotonic()
        with self._lock:
            quiet = now - self._said < _QUIET
            if not quiet:
                self._said = now
        return not quiet

    def create(self) -> _InMemory:
        """Make an empty file."""
        return _InMemory(os.memfd_create("histfs", os.MFD_CLOEXEC), self._closed)

    def resize(self, file: _InMemory, size: int) -> None:
        """Make a file larger, or cut it.

        Raises:
            NoSpace: all would be larger than the cap.
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
    """A clip on its way.

    Args:
        incoming: where its file is made.
        quota: what its bytes are counted by.
        memory: where it goes when it can't be on the disk.

    Raises:
        CacheFailed, NoSpace: the disk failed, or there is no room in memory either. So do all
            methods.

    Attributes:
        file: what has been written; from the moment on when the disk is full another one, which
            begins with the same bytes.
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
            self._made_on_disk(self._create, 1)

    @property
    def on_disk(self) -> bool:
        """Whether it is on the disk, and not in memory."""
        return self._in_memory is None

    def reserve(self, size: int) -> None:
        """Set aside so many bytes in all, or those that come first; what has been written stays."""
        self._expected = size
        size = max(min(size, _STEP), self._written)
        with self._translated():
            self._make(lambda: self._resize(size), size - self._reserved)

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
            self._make(put, len(data))
        self._written = max(self._written, offset + len(data))

    def keep(self, place: Path) -> None:
        """Put what has been written in its place, as a whole clip that is used now."""

        def put() -> None:
            if self._path is not None:
                place.parent.mkdir(mode=0o700, exist_ok=True)
                self._quota.move(self._path, place)
                self._path = None

        with self._translated():
            if self._reserved != self._written:
                self._resize(self._written)
            if self._path is not None:
                # After a power cut the size alone would look right: what was set aside and did not
                # get to the disk reads as zeros. Not tried again: what the first try could not
                # write the second doesn't know of.
                os.fsync(self.file.number)
                touch(self.file.number)
            self._make(put, 1)
        self._memory.in_use = not self.on_disk

    def discard(self) -> None:
        """Remove the file, unless it was kept; where that fails it is a leftover.

        It is let go of here: the error that ended it holds this object by its traceback, and until
        the garbage collector comes by, the descriptor and the disk's blocks would stay.
        """
        self._remove()
        del self.file
        self._in_memory = None

    def _make(self, act: Callable[[], None], size: int) -> None:
        """Do something that takes bytes of the disk, or of memory once the disk takes none."""
        if not self.on_disk or not self._made_on_disk(act, size):
            act()

    def _made_on_disk(self, act: Callable[[], None], size: int) -> bool:
        """Do something that takes bytes of the disk; else go on in memory, and return False."""
        try:
            self._quota.with_room(size if self._quota.counts(self._reserved) else 0, act)
        except OSError as error:
            if error.errno not in REFUSING:
                raise
            self._move(error)
            return False
        return True

    def _create(self) -> None:
        while True:
            number, path = tempfile.mkstemp(suffix=".part", dir=self._incoming)
            self.file, self._path = Descriptor(number), Path(path)
            fcntl.flock(number, fcntl.LOCK_SH)
            # Another mount that looks around just now may have taken it for a leftover.
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

    def _move(self, error: OSError) -> None:
        """Go on in memory."""
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
