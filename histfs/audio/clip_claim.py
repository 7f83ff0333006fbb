"""The claim of a download: of the processes that share a cache, one fetches a clip.

    ROOT/claims             the process that fetches a clip holds a lock of one byte of it, whose
                            place is a hash of the clip's key
    ROOT/fetching/KEY       its mtime tells that the process receives bytes; there from the moment
                            that a download takes long

The lock is one of an open file (F_OFD_SETLK, fcntl(2), Linux): the kernel releases those of a
killed process, and two downloads of one process exclude each other, too. A file for each lock
would cost more than all else of a download on the disk: the disk's journal has to take it when it
is made and when it is removed, before the clip itself can be written. The lock is never waited
for: a download that is claimed elsewhere looks again and again whether it still is. Elsewhere than
on Linux nothing is claimed.

Threads: a claim belongs to its download's thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

#: Seconds between two notes that bytes come.
_NOTE_INTERVAL = 0.5
#: Seconds between two looks whether another process still has the claim, and seconds without
#: progress there after which it is not waited for.
_POLL, _STALL_TIMEOUT = 0.02, 10.0
#: The command that takes a lock, and a ``struct flock``: kind, SEEK_SET, start, length, no process.
_TAKE = getattr(fcntl, "F_OFD_SETLK", None)
_FLOCK = struct.Struct("@hhqqi4x")


class ClipClaim:
    """The claim of one clip.

    Args:
        locks: the file of all locks.
        path: of the file whose mtime tells of progress; its name is that of the clip.
    """

    def __init__(self, locks: Path, path: Path) -> None:
        self._locks = locks
        self._path = path
        self._number: int | None = None
        self._noted_at = 0.0

    def take(self) -> bool:
        """Claim the clip, and return whether no other process has.

        Where the disk takes no files, nothing is claimed: each process fetches for itself then.
        """
        if self._number is not None or _TAKE is None:
            return True
        try:
            number = os.open(self._locks, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return True
        try:
            fcntl.fcntl(number, _TAKE, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, self._place(), 1, 0))
        except OSError as error:
            os.close(number)
            return not isinstance(error, BlockingIOError)
        self._number = number
        self._noted_at = time.monotonic()
        return True

    def wait(self, check: Callable[[], None], on_progress: Callable[[], None]) -> bool:
        """Claim the clip as soon as no other process has.

        Args:
            check: called at each look; it raises where the wait is to end.
            on_progress: called when the other process has received bytes.

        Returns:
            Whether the clip is claimed; not where the other process has made no progress for 10 s.
        """
        stalled_at, progress = time.monotonic() + _STALL_TIMEOUT, 0
        while not self.take():
            check()
            noted = self._last_progress()
            if noted != progress:
                progress, stalled_at = noted, time.monotonic() + _STALL_TIMEOUT
                on_progress()
            if time.monotonic() >= stalled_at:
                return False
            time.sleep(_POLL)
        return True

    def _last_progress(self) -> int:
        """Return when the other process received bytes, in nanoseconds since the epoch."""
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return 0

    def note_progress(self) -> None:
        """Note that bytes come."""
        now = time.monotonic()
        if self._number is not None and now - self._noted_at >= _NOTE_INTERVAL:
            self._noted_at = now
            with contextlib.suppress(OSError):
                self._path.touch(0o600)

    def release(self) -> None:
        """End the claim, if there is one."""
        number, self._number = self._number, None
        if number is not None:
            # While it is locked, as the next one may make it anew. Most often there is none.
            with contextlib.suppress(OSError):
                os.unlink(self._path)  # noqa: PTH108 - most often it fails, and this costs less
            os.close(number)

    def _place(self) -> int:
        """Return the place of the byte that is locked; a file may have 2^63 bytes."""
        digest = hashlib.blake2b(self._path.name.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 2
