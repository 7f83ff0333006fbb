"""The claim of a download: of the processes that share a cache, one fetches a clip.

    ROOT/fetching/KEY       locked (flock) by the process that fetches the clip

The kernel releases the lock of a killed process. The lock is never waited for: a download that is
claimed elsewhere looks again and again whether it still is. The mtime of the file tells that the
other process receives bytes.

Threads: a claim belongs to its download's thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

#: Seconds between two notes that bytes come.
_NOTE_INTERVAL = 0.5
#: Seconds between two looks whether another process still has the claim, and seconds without
#: progress there after which it is not waited for.
_POLL, _STALL_TIMEOUT = 0.02, 10.0


class ClipClaim:
    """The claim of one clip.

    Args:
        path: of its lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number: int | None = None
        self._noted_at = 0.0

    def take(self) -> bool:
        """Claim the clip, and return whether no other process has.

        Where the disk takes no files, nothing is claimed: each process fetches for itself then.
        """
        while self._number is None:
            try:
                number = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError:
                return True
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The one who had it may have removed it since.
                if os.fstat(number).st_nlink:
                    self._number, number = number, -1
            except BlockingIOError:
                return False
            except OSError:
                return True
            finally:
                if number >= 0:
                    os.close(number)
        # The file is new, or the mtime of an old one counts as progress at the first look.
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
                os.utime(self._number)

    def release(self) -> None:
        """End the claim, if there is one."""
        number, self._number = self._number, None
        if number is not None:
            # Removed while it is locked: who opens it then sees that it is gone.
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            os.close(number)
