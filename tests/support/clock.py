"""A clock for tests."""

from __future__ import annotations


class Clock:
    """A clock that stands still until it is moved.

    Args:
        now: what it shows, in seconds; since the epoch where that matters.
    """

    def __init__(self, now: float = 1_000_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
