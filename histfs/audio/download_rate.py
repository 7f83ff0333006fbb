"""The rate of a download that no reader waits for.

Threads: the download's own thread alone.
"""

from __future__ import annotations

import time

#: Bytes a second, over a window of seconds, below which a download without a waiting reader ends.
#: A faster one goes on: it is a prefetch, or its bytes may be read again.
_MIN_RATE, _WINDOW = 1000, 10.0
#: The age in seconds from which the other minimum rate holds.
_LATE, _LATE_MIN_RATE = 600.0, 64_000


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
