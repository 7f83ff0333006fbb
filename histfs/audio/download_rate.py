"""The rate of a download that no reader waits for, and whether it stands still.

Threads: the download's own thread alone.
"""

from __future__ import annotations

import time

#: Bytes a second, over a window of seconds, below which a download without a waiting reader ends.
#: A faster one goes on: it is a prefetch, or its bytes may be read again.
_MIN_RATE, _WINDOW = 1000, 10.0
#: The age in seconds from which the other minimum rate holds.
_LATE, _LATE_MIN_RATE = 600.0, 64_000
#: A download stands still when it has received fewer bytes than that in so many seconds. Before the
#: first byte the seconds are at least twice what the last downloads had to wait for it.
_STILL, _STILL_SECONDS = 1000, 1.0
#: The most seconds of waiting for a first byte that are taken for usual.
_USUAL = 5.0


class DownloadRate:
    """Measures the rate of a download while no reader waits for it."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._began = 0.0
        self._received = self._unpacked = 0

    def is_fast_enough(self, received: int, unpacked: int) -> bool:
        """Note received bytes, and say whether the rate is high enough to go on."""
        now = time.monotonic()
        if self._since is None:
            self._since = self._began = now
        self._received += received
        self._unpacked += unpacked
        elapsed = now - self._began
        if elapsed < _WINDOW:
            return True
        least = _MIN_RATE if now - self._since < _LATE else _LATE_MIN_RATE
        enough = max(self._received, self._unpacked) >= least * elapsed
        self._began, self._received, self._unpacked = now, 0, 0
        return enough


class FirstBytes:
    """How long downloads wait for their first byte.

    Threads: any; a lost update of the number does no harm.
    """

    def __init__(self) -> None:
        self._seconds = 0.0

    @property
    def stall_timeout(self) -> float:
        """Seconds after which a download without a byte stands still."""
        return max(_STILL_SECONDS, 2 * self._seconds)

    def note(self, seconds: float) -> None:
        """Note how long a download has waited; the longest wait counts, and fades slowly."""
        self._seconds = max(min(seconds, _USUAL), 0.9 * self._seconds)


class Stillness:
    """Tells whether a download stands still.

    Args:
        first_bytes: of all downloads.
    """

    def __init__(self, first_bytes: FirstBytes) -> None:
        self._first_bytes = first_bytes
        self._started = self._since = time.monotonic()
        self._received = 0
        self._begun = False

    def note(self, received: int) -> bool:
        """Note received bytes, and say whether the download stands still."""
        now = time.monotonic()
        if received and not self._begun:
            self._begun = True
            self._first_bytes.note(now - self._started)
        self._received += received
        if self._received >= _STILL:
            self._since, self._received = now, 0
            return False
        stall_timeout = _STILL_SECONDS if self._begun else self._first_bytes.stall_timeout
        return now - self._since >= stall_timeout

    def resumed(self) -> None:
        """Note that the download did not read, or was waited for, until now."""
        self._since = time.monotonic()
