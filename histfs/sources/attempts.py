"""Attempts of a request that a server refuses with 429.

Threads: an `Attempts` belongs to the thread that sends the request.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from histfs.core.errors import RateLimited
from histfs.core.limiter import Limiter, Slot

#: Seconds before a refused request is sent again, doubled from one refusal to the next.
_BACKOFF, _MAX_BACKOFF = 0.1, 10.0
#: The share of a call's timeout in which a request is sent again, so that the caller gets the error
#: of the source and not the end of its own timeout.
RETRY_SHARE = 0.5


class Attempts:
    """The attempts of one request that a server refuses with 429, with exponential backoff.

    Args:
        limiter: grants the slots.
        audio: as in `Limiter.acquire`.
        timeout: seconds that each attempt may wait for its slot; see `RETRY_SHARE`.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        limiter: Limiter,
        *,
        audio: bool,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limiter = limiter
        self._audio = audio
        self._clock = clock
        self._timeout = timeout
        self._deadline = clock() + RETRY_SHARE * timeout
        self._backoff = _BACKOFF

    def slot(self) -> Slot:
        """Wait for the slot of the next attempt; raises as `Limiter.acquire`."""
        return self._limiter.acquire(audio=self._audio, timeout=self._timeout)

    def pause(self, refusal: RateLimited) -> None:
        """Back off before the next attempt; the caller holds no slot.

        Raises:
            RateLimited: the refusal itself, when no time is left for another attempt.
            Interrupted: the limiter is closed.
        """
        asked = refusal.retry_after or 0.0
        # With jitter: requests that were refused together must not be sent together again.
        seconds = max(self._backoff * random.uniform(0.5, 1.0), asked)
        # No pause for the others, then, either: the next request may be answered.
        if self._clock() + seconds >= self._deadline:
            raise refusal
        self._limiter.hold(asked)
        self._backoff = min(2 * self._backoff, _MAX_BACKOFF)
        self._limiter.pause(seconds)
