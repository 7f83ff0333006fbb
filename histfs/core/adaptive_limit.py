"""How many requests a server allows at once, learnt from its answers.

Servers rarely document that number. The limit starts with the number that the user chose and then
follows the answers (additive increase, multiplicative decrease, as in RFC 5681):

- A refusal (429) halves the limit, or takes it back to the level from which it had just grown.
  Refusals of requests that were sent before the cut carry no new information and are ignored.
- One less than the level that was refused becomes the *ceiling*. Up to it the limit grows with each
  success. Beyond it the limit is probed: by one after each `_PROBE_INTERVAL` seconds without a
  refusal, because a refused probe costs requests.
- A number that the server states in a header bounds the limit from then on.

Threads: one at a time; `Limiter` calls everything here with its lock held.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

#: Seconds without a refusal after which one request more than the ceiling is tried; doubled each
#: time that the probe is refused.
_PROBE_INTERVAL, _MAX_PROBE_INTERVAL = 60.0, 960.0
#: Successes at a level after which a refusal there counts as chance: the server still counts a
#: request that has just ended, or another process of the account has sent one.
_SUSTAINED = 10

log = logging.getLogger(__name__)


class AdaptiveLimit:
    """The number of requests at once that is allowed at present.

    Args:
        maximum: requests at once that the user allows.
        clock: seconds, monotonic.

    Attributes:
        epoch: number of cuts of the limit so far. A request notes it when it starts.
    """

    def __init__(self, maximum: int, clock: Callable[[], float]) -> None:
        self.epoch = 0
        self._maximum = maximum
        self._clock = clock
        self._limit = float(maximum)
        # None before the first refusal, and when probes have passed `maximum`.
        self._ceiling: int | None = None
        self._stated: int | None = None
        # Successes in a row at the present level; and the level below, once the limit has grown.
        self._successes = 0
        self._proven = 0
        self._refused_at = clock()
        self._probe_interval = _PROBE_INTERVAL
        self._probing = False

    @property
    def allowed(self) -> int:
        """Requests at once, without the spare one."""
        limit = int(self._limit)
        return limit if self._stated is None else min(limit, self._stated)

    @property
    def has_spare(self) -> bool:
        """Whether nothing that is known of the server forbids one request more than `allowed`."""
        return self._ceiling is None and (self._stated is None or self._stated > self._maximum)

    def state_maximum(self, number: int) -> None:
        """Bound the limit by the number that the server states, at least 1."""
        self._stated = max(1, number)

    def succeeded(self, level: int, epoch: int) -> None:
        """Learn from a request that was answered.

        Args:
            level: requests under way when it was sent, itself included.
            epoch: `epoch` when it was sent.
        """
        # A level that was not reached has not been tried.
        if epoch != self.epoch or level < int(self._limit):
            return
        self._successes += 1
        if self._ceiling is not None and level >= self._ceiling:
            if self._successes >= _SUSTAINED:
                self._probing = False
            self._raise_ceiling(self._ceiling)
        before = int(self._limit)
        grown = self._limit + 1 / self._limit
        self._limit = min(grown, self._maximum, grown if self._ceiling is None else self._ceiling)
        if int(self._limit) > before:
            self._proven = before
            self._successes = 0

    def _raise_ceiling(self, ceiling: int) -> None:
        now = self._clock()
        if now - self._refused_at < self._probe_interval:
            return
        self._refused_at = now
        self._probing = True
        self._successes = 0
        self._ceiling = ceiling + 1 if ceiling < self._maximum else None

    def refused(self, level: int, epoch: int) -> None:
        """Learn from a request that was refused (429).

        Args:
            level: requests under way when it was sent or now, whichever is more.
            epoch: `epoch` when it was sent.
        """
        if epoch != self.epoch:
            return
        if self._successes < _SUSTAINED:
            lower = max(1, min(level - 1, self._maximum))
            self._ceiling = lower if self._ceiling is None else min(lower, self._ceiling)
            if self._probing:
                self._probe_interval = min(2 * self._probe_interval, _MAX_PROBE_INTERVAL)
        if level <= self._proven:
            self._proven = 0
        self._limit = max(1.0, min(self._limit, level) / 2, self._proven)
        self._probing = False
        self._successes = 0
        self.epoch += 1
        self._refused_at = self._clock()
        log.debug("refused with %d requests under way: now %d are allowed", level, self.allowed)
