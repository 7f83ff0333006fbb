"""The quota of a disk cache, which all processes that share the cache enforce together.

    ROOT/used               the bytes of all files below, 8 bytes; empty when they must be counted
    ROOT/audio/7f/KEY       a complete clip; its mtime is when it was last used, and one that its
                            owner may not write is pinned: it is not evicted
    ROOT/incoming/….part    a running download, as large as the space allocated for it

A process holds a shared lock (flock) on each of these files that it has open; the kernel releases
the locks of a killed process. A file is evicted, or cleaned up, under an exclusive lock. A file and
the count in `used` change in one step under the lock of `used`: no two processes allocate the same
bytes.

Threads: any number at once, in any number of processes. `_lock`, and then the lock of `used`, guard
all state. While they are held only locks of single files are taken, without waiting. They are held
for a scan of all files at the start, and now and then when clips are evicted.
"""

from __future__ import annotations

import contextlib
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

from histfs.audio.file_descriptors import FULL, REFUSING, Descriptor, allocate

#: How many eviction candidates a scan finds, and for how many seconds they are taken for the least
#: recently used; a candidate that was used meanwhile stays.
_CANDIDATES = 1024
_CANDIDATES_TTL = 60.0

_NUMBER = struct.Struct("<Q")

log = logging.getLogger(__name__)


class _CachedClip(NamedTuple):
    """A clip when it was scanned: nanoseconds since the epoch, bytes, path, whether it stays."""

    used: int
    size: int
    path: str
    pinned: bool


@dataclass(slots=True)
class _ByteCount:
    """The bytes of all files."""

    used: int


class DiskQuota:
    """The bytes of a cache, and their cap.

    Methods raise OSError as the disk does.

    Args:
        root: the directory of the cache; ``audio`` and ``incoming`` are there.
        cap: bytes. Only open clips and running downloads exceed it. No unfinished download evicts
            everything else: one that is larger than half of the cap does not count until it is
            complete. A clip that is larger than the cap never counts, and is removed as soon as it
            is not in use.

    Attributes:
        cap: as given.
        evicted_newest: the latest time of last use among the clips that were evicted because the
            disk was full, in nanoseconds since the epoch; 0 while there are none.
    """

    def __init__(self, root: Path, cap: int) -> None:
        self.evicted_newest = 0
        self._ledger = root / "used"
        self._audio = root / "audio"
        self._incoming = root / "incoming"
        self.cap = cap
        # Clips larger than the cap, by their paths.
        self._oversized: set[str] = set()
        self._lock = threading.Lock()
        # The next one to evict is the last.
        self._candidates: list[_CachedClip] = []
        self._scanned_at = -math.inf
        self._newest_candidate = 0

    def start(self) -> None:
        """Remove the partial files of killed processes, count all files, and enforce the cap."""
        with self._locked_count() as count:
            count.used = self._scan()
            self._make_room(count, 0)

    @property
    def used(self) -> int:
        """The bytes of all files now; read without a lock where the count is there."""
        oversized = sum(_size(Path(path)) for path in list(self._oversized))
        with contextlib.suppress(OSError):
            recorded = _unpacked(self._ledger.read_bytes())
            if recorded is not None:
                return recorded + oversized
        with self._locked_count() as count:
            return count.used + oversized

    def resize(self, file: Descriptor, size: int) -> None:
        """Allocate bytes for a file, evicting clips where they exceed the cap; or truncate it.

        Args:
            file: a partial file.
            size: all of its bytes.
        """
        with self._locked_count() as count:
            before = os.fstat(file.number).st_size
            try:
                if size > before:
                    self._make_room(
                        count, self._counted_partial(size) - self._counted_partial(before)
                    )
                    allocate(file.number, before, size)
                else:
                    os.ftruncate(file.number, size)
            finally:
                after = os.fstat(file.number).st_size
                count.used += self._counted_partial(after) - self._counted_partial(before)

    def move(self, source: Path, target: Path) -> None:
        """Put a partial file in a clip's place, where there may be another file."""
        with self._locked_count() as count:
            replaced, size = _size(target), _size(source)
            os.rename(source, target)  # noqa: PTH104 - `Path.rename` makes another path
            count.used += (
                self._counted_clip(size)
                - self._counted_partial(size)
                - self._counted_clip(replaced)
            )
            if size > self.cap:
                self._oversized.add(str(target))
            # Clips that were open during the download may be closed by now.
            self._make_room(count, 0)

    def remove(self, path: Path) -> None:
        """Remove a file, also one that is open; it may be gone."""
        with self._locked_count() as count:
            size = _size(path)
            path.unlink(missing_ok=True)
            is_part = path.parent == self._incoming
            count.used -= self._counted_partial(size) if is_part else self._counted_clip(size)

    def set_pinned(self, path: Path, pinned: bool) -> bool:
        """Have a clip stay until it is unpinned, or let it go again.

        Returns:
            Whether that changed anything; not where the clip is gone.
        """
        with self._lock, contextlib.suppress(FileNotFoundError):
            if _is_pinned(path.stat()) is not pinned:
                path.chmod(0o400 if pinned else 0o600)
                # It may be less recently used than the candidates.
                self._scanned_at = -math.inf
                return True
        return False

    def is_pinned(self, path: Path) -> bool:
        """Say whether a clip is there, and pinned."""
        try:
            return _is_pinned(path.stat())
        except FileNotFoundError:
            return False

    @property
    def pinned(self) -> int:
        """The bytes of all pinned clips; all files are scanned for it."""
        return sum(clip.size for clip in self._clips() if clip.pinned)

    def with_room(self, size: int, action: Callable[[], None]) -> None:
        """Run an action, and once more where the disk was full and clips could be evicted.

        Args:
            size: the bytes that it takes; 0 where nothing is to be evicted for it.
            action: it may run twice.
        """
        try:
            action()
        except OSError as error:
            if error.errno not in FULL or not size or not self._evict_for_full_disk(size):
                raise
            action()

    def counts(self, size: int) -> bool:
        """Say whether a partial file of so many bytes counts against the cap."""
        return self._counted_partial(size) == size

    def note_last_used(self, moment: int) -> None:
        """Note that a clip's time of last use was set, in nanoseconds since the epoch.

        The clip may be less recently used than the candidates, which are then looked up again.
        """
        if moment < self._newest_candidate:
            self._scanned_at = -math.inf

    @contextlib.contextmanager
    def _locked_count(self) -> Iterator[_ByteCount]:
        """Lend the count under its lock, and write it back."""
        with self._lock, contextlib.ExitStack() as stack:
            number = self._open_ledger()
            if number is None:
                yield _ByteCount(self._scan())
                return
            # No `Descriptor`: the traceback of an error would keep it open, and the lock held.
            stack.callback(os.close, number)
            fcntl.flock(number, fcntl.LOCK_EX)
            recorded = _unpacked(os.pread(number, _NUMBER.size + 1, 0))
            count = _ByteCount(self._scan() if recorded is None else recorded)
            try:
                yield count
            finally:
                if count.used != recorded:
                    _write(number, _NUMBER.pack(max(0, count.used)))

    def _counted_partial(self, size: int) -> int:
        """Return how many bytes of a partial file count."""
        return size if size <= self.cap // 2 else 0

    def _counted_clip(self, size: int) -> int:
        """Return how many bytes of a complete clip count."""
        return size if size <= self.cap else 0

    def _open_ledger(self) -> int | None:
        """Open the count; None where the disk takes no files, so that none will grow either."""
        try:
            return os.open(self._ledger, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno in REFUSING:
                return None
            raise

    def _make_room(self, count: _ByteCount, size: int) -> None:
        """Evict clips until more bytes fit under the cap, or nothing is left to evict.

        Args:
            count: the bytes of all files.
            size: the bytes to add; negative where bytes stop counting.
        """
        self._oversized = {path for path in self._oversized if _remains(path)}
        if count.used + size > self.cap:
            for _ in self._evicted(count):
                if count.used + size <= self.cap:
                    break

    def _evict_for_full_disk(self, size: int) -> bool:
        """Evict clips of so many bytes, and say whether any were evicted.

        Where all clips together are smaller, none are.
        """
        freed = 0
        with self._locked_count() as count:
            for clip in self._evicted(count) if size <= count.used else ():
                if clip is not None:
                    freed += clip.size
                    self.evicted_newest = max(self.evicted_newest, clip.used)
                if freed >= size:
                    break
        return freed > 0

    def _evicted(self, count: _ByteCount) -> Iterator[_CachedClip | None]:
        """Evict clips, the least recently used first, and yield each.

        After a scan, which corrects the count, None is yielded.
        """
        found = True
        while found:
            rescanned = (
                not self._candidates or time.monotonic() - self._scanned_at > _CANDIDATES_TTL
            )
            if rescanned:
                count.used = self._scan()
                yield None
            found = not rescanned
            while self._candidates:
                clip = self._candidates.pop()
                size = _remove_unused(clip.path, clip.used)
                if size is not None:
                    found = True
                    count.used -= self._counted_clip(size)
                    yield clip

    def _scan(self) -> int:
        """Scan all files: clean up, find the eviction candidates, and return the counted bytes."""
        used = 0
        for part in self._incoming.glob("*.part"):
            size = _size(part)
            if _remove_unused(part) is None:
                used += self._counted_partial(size)
            else:
                log.info("removed the rest of an unfinished download")

        def clips() -> Iterator[_CachedClip]:
            nonlocal used
            for clip in self._clips():
                if clip.size > self.cap:
                    self._oversized.add(clip.path)
                    continue
                used += clip.size
                if not clip.pinned:
                    yield clip

        self._candidates = heapq.nsmallest(_CANDIDATES, clips())[::-1]
        self._newest_candidate = self._candidates[0].used if self._candidates else 0
        self._scanned_at = time.monotonic()
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
                                yield _CachedClip(
                                    found.st_mtime_ns, found.st_size, entry.path, _is_pinned(found)
                                )


def hold(number: int) -> None:
    """Keep an open file from being evicted until it is closed.

    A file that is being evicted at this moment can still be read.
    """
    with contextlib.suppress(OSError):
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _remove_unused(path: Path | str, used: int | None = None) -> int | None:
    """Remove a file that is not open anywhere.

    Args:
        path: the file; it may be gone.
        used: its time of last use; a file that was used since then stays.

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
        if used not in (None, found.st_mtime_ns) or _is_pinned(found):
            return None
        os.unlink(path)  # noqa: PTH108 - a path is a string here, there are many
        return found.st_size
    except OSError:
        return None
    finally:
        os.close(number)


def _is_pinned(found: os.stat_result) -> bool:
    return not found.st_mode & stat.S_IWUSR


def _remains(path: str) -> bool:
    """Remove a clip unless it is open, and say whether it is still there."""
    return _remove_unused(path) is None and os.path.lexists(path)


def _unpacked(content: bytes) -> int | None:
    return int(_NUMBER.unpack(content)[0]) if len(content) == _NUMBER.size else None


def _write(number: int, content: bytes) -> None:
    """Write the count; where that fails leave the file empty."""
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
