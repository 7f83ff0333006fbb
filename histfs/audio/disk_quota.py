"""The cap on what a cache takes, which all processes that share the cache keep together.

    ROOT/used               the bytes of all files below, 8 bytes; empty when they must be counted
    ROOT/audio/7f/KEY       a whole clip; its mtime is when it was last used
    ROOT/incoming/….part    a clip on its way, as large as what is set aside for it

Whoever has one of these files open holds a shared lock (flock) on it, which the kernel takes back
from a process that was killed; a file is evicted, or cleaned away, by who gets an exclusive one.
A file grows, moves and goes, and `used` changes with it, in one step under the lock of `used`: no
two processes take the same room.

Threads: any number at once, in any number of processes. `_lock`, and then the lock of `used`, guard
all state. They are held as long as it takes to look at all files: at the start, and now and then
when clips are evicted.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import heapq
import logging
import math
import os
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from histfs.audio.file_descriptors import FULL, REFUSING, Descriptor

#: How many clips are looked up at once as the next ones to go, and for how many seconds they are
#: taken for the oldest; one that was used meanwhile stays all the same.
_CANDIDATES = 1024
_TRUSTED = 60.0

_NUMBER = struct.Struct("<Q")

log = logging.getLogger(__name__)


class _CachedClip(NamedTuple):
    """A clip when it was looked at: nanoseconds since the epoch, bytes, path."""

    used: int
    size: int
    path: str


@dataclass(slots=True)
class _ByteCount:
    """The bytes of all files."""

    used: int


class DiskQuota:
    """The bytes of a cache, and their cap.

    Methods raise OSError as the disk does.

    Args:
        root: the directory of the cache; ``audio`` and ``incoming`` are there.
        cap: bytes. It is exceeded only by what is open or on its way. No clip makes all others go
            before it is known to be worth it: one that is on its way counts up to half of the cap,
            and then again when it is whole. One that is larger than the cap doesn't count at all:
            it is the first to go as soon as it is not in use.

    Attributes:
        squeezed: when the newest of those clips was used that had to go as the disk was full, in
            nanoseconds since the epoch; 0 while there are none.
    """

    def __init__(self, root: Path, cap: int) -> None:
        self.evicted_newest = 0
        self._ledger = root / "used"
        self._audio = root / "audio"
        self._incoming = root / "incoming"
        self._cap = cap
        # Clips larger than the cap, by their paths.
        self._oversized: set[str] = set()
        self._lock = threading.Lock()
        # The last is the first to go.
        self._oldest: list[_CachedClip] = []
        self._walked = -math.inf
        self._horizon = 0

    def start(self) -> None:
        """Remove what killed processes left behind, count all files, and enforce the cap."""
        with self._counted() as count:
            count.used = self._walk()
            self._make_room(count, 0)

    @property
    def used(self) -> int:
        """The bytes of all files, as they are now; nothing is waited for."""
        oversized = sum(_size(Path(path)) for path in list(self._oversized))
        with contextlib.suppress(OSError):
            kept = _unpacked(self._ledger.read_bytes())
            if kept is not None:
                return kept + oversized
        with self._counted() as count:
            return count.used + oversized

    def resize(self, file: Descriptor, size: int) -> None:
        """Set aside so many bytes for a file in all, for which others have to make room.

        Args:
            file: which grows, or is cut.
            size: in bytes.
        """
        with self._counted() as count:
            before = os.fstat(file.number).st_size
            try:
                if size > before:
                    self._make_room(count, self._of_part(size) - self._of_part(before))
                    _allocate(file.number, before, size)
                else:
                    os.ftruncate(file.number, size)
            finally:
                after = os.fstat(file.number).st_size
                count.used += self._of_part(after) - self._of_part(before)

    def move(self, source: Path, target: Path) -> None:
        """Put a file in the place of another, if there is one."""
        with self._counted() as count:
            replaced, size = _size(target), _size(source)
            source.rename(target)
            count.used += self._of_clip(size) - self._of_part(size) - self._of_clip(replaced)
            if size > self._cap:
                self._oversized.add(str(target))
            # What was open while it came may be closed by now.
            self._make_room(count, 0)

    def remove(self, path: Path) -> None:
        """Remove a file, whoever has it open; it may be gone."""
        with self._counted() as count:
            size = _size(path)
            path.unlink(missing_ok=True)
            is_part = path.parent == self._incoming
            count.used -= self._of_part(size) if is_part else self._of_clip(size)

    def with_room(self, size: int, act: Callable[[], None]) -> None:
        """Do something, and once more when the disk was full and clips could make room.

        Args:
            size: the bytes that it takes; 0 where it is worth no other clip.
            act: what to do; it can be done twice.
        """
        try:
            act()
        except OSError as error:
            if error.errno not in FULL or not size or not self._squeeze(size):
                raise
            act()

    def counts(self, size: int) -> bool:
        """Say whether a part of so many bytes makes others go."""
        return self._of_part(size) == size

    def ranked(self, moment: int) -> None:
        """Note that a clip is now said to have been used at a moment, nanoseconds since the epoch.

        It may have become older than those that would be the next to go.
        """
        if moment < self._horizon:
            self._walked = -math.inf

    @contextlib.contextmanager
    def _counted(self) -> Iterator[_ByteCount]:
        """Lend the count, and lock out all others; what becomes of it is kept."""
        with self._lock, contextlib.ExitStack() as stack:
            number = self._open_ledger()
            if number is None:
                yield _ByteCount(self._walk())
                return
            # Not a `Descriptor`: the traceback of an error would hold it, and the lock with it.
            stack.callback(os.close, number)
            fcntl.flock(number, fcntl.LOCK_EX)
            kept = _unpacked(os.pread(number, _NUMBER.size + 1, 0))
            count = _ByteCount(self._walk() if kept is None else kept)
            try:
                yield count
            finally:
                if count.used != kept:
                    _write(number, _NUMBER.pack(max(0, count.used)))

    def _of_part(self, size: int) -> int:
        """Return how many bytes count of a clip on its way."""
        return size if size <= self._cap // 2 else 0

    def _of_clip(self, size: int) -> int:
        """Return how many bytes count of a whole clip."""
        return size if size <= self._cap else 0

    def _open_ledger(self) -> int | None:
        """Open the count; None where no file can be made, and so none will grow either."""
        try:
            return os.open(self._ledger, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno in REFUSING:
                return None
            raise

    def _make_room(self, count: _ByteCount, size: int) -> None:
        """Evict clips until so many bytes fit under the cap, or nothing is left to evict.

        Args:
            count: the bytes of all files.
            size: bytes that are to come; less than none where they count no longer.
        """
        self._oversized = {path for path in self._oversized if _is_kept(path)}
        if count.used + size > self._cap:
            for _ in self._evicted(count):
                if count.used + size <= self._cap:
                    break

    def _squeeze(self, size: int) -> bool:
        """Evict clips of so many bytes, and say whether any were found.

        Where all clips together are not that large, none need go.
        """
        freed = 0
        with self._counted() as count:
            for clip in self._evicted(count) if size <= count.used else ():
                if clip is not None:
                    freed += clip.size
                    self.evicted_newest = max(self.evicted_newest, clip.used)
                if freed >= size:
                    break
        return freed > 0

    def _evicted(self, count: _ByteCount) -> Iterator[_CachedClip | None]:
        """Evict clips, those that were not used for longest first, and yield each.

        After a look at all files, when the count is another, None is yielded.
        """
        found = True
        while found:
            walked = not self._oldest or time.monotonic() - self._walked > _TRUSTED
            if walked:
                count.used = self._walk()
                yield None
            found = not walked
            while self._oldest:
                clip = self._oldest.pop()
                size = _remove_unused(clip.path, clip.used)
                if size is not None:
                    found = True
                    count.used -= self._of_clip(size)
                    yield clip

    def _walk(self) -> int:
        """Look at all files: clean up, find the clips that go next, and return the bytes of all."""
        used = 0
        for part in self._incoming.glob("*.part"):
            size = _size(part)
            if _remove_unused(part) is None:
                used += self._of_part(size)
            else:
                log.info("removed the rest of an unfinished download")

        def clips() -> Iterator[_CachedClip]:
            nonlocal used
            for clip in self._clips():
                if clip.size > self._cap:
                    self._oversized.add(clip.path)
                    continue
                used += clip.size
                yield clip

        self._oldest = heapq.nsmallest(_CANDIDATES, clips())[::-1]
        self._horizon = self._oldest[0].used if self._oldest else 0
        self._walked = time.monotonic()
        return used

    def _clips(self) -> Iterator[_CachedClip]:
        with os.scandir(self._audio) as directories:
            for directory in directories:
                if not directory.is_dir(follow_symlinks=False):
                    continue
                with os.scandir(directory) as entries:
                    for entry in entries:
                        with contextlib.suppress(FileNotFoundError):
                            found = entry.stat(follow_symlinks=False)
                            if stat.S_ISREG(found.st_mode):
                                yield _CachedClip(found.st_mtime_ns, found.st_size, entry.path)


def hold(number: int) -> None:
    """Keep an open file from being evicted, until it is closed.

    One that is being evicted at this moment can still be read.
    """
    with contextlib.suppress(OSError):
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _remove_unused(path: Path | str, used: int | None = None) -> int | None:
    """Remove a file that nobody has open.

    Args:
        path: the file; it may be gone.
        used: when it was last used; one that was used since stays.

    Returns:
        Its size in bytes; None when it stays, or was gone.
    """
    try:
        number = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(number)
        if used not in (None, found.st_mtime_ns):
            return None
        os.unlink(path)  # noqa: PTH108 - a path is a string here, there are many
        return found.st_size
    except OSError:
        return None
    finally:
        os.close(number)


def _is_kept(path: str) -> bool:
    """Remove a clip that nobody has open, and say whether it is still there."""
    return _remove_unused(path) is None and os.path.lexists(path)


def _allocate(number: int, start: int, end: int) -> None:
    """Make a file larger; the room is really set aside where the filesystem can do that."""
    try:
        os.posix_fallocate(number, start, end - start)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        os.ftruncate(number, end)


def _unpacked(content: bytes) -> int | None:
    return int(_NUMBER.unpack(content)[0]) if len(content) == _NUMBER.size else None


def _write(number: int, content: bytes) -> None:
    """Write a small file; where that fails it is left empty."""
    try:
        os.pwrite(number, content, 0)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(number, 0)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0
