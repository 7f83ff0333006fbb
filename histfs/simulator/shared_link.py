"""A link that all answers share: together they get no more than its rate.

Threads: any number at once. `_lock` guards all state, and is never held while anything waits.
"""

from __future__ import annotations

import threading
import time

#: The most bytes that the kernel takes from an answer before its client reads them. With more, a
#: client that stops to read would use the link for long.
SEND_BUFFER = 16 << 10


class SharedLink:
    """Gives pieces of answers their times, in turn.

    Args:
        rate: bytes per second of all answers together; None is unlimited.
    """

    def __init__(self, rate: float | None) -> None:
        self.rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0

    def delay(self, size: int) -> float:
        """Take the next free time for a piece, and return the seconds until it has passed.

        Args:
            size: of the piece, in bytes.
        """
        if self.rate is None:
            return 0.0
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + size / self.rate
            return self._free_at - now
