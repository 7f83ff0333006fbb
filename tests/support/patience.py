"""Waiting for what another thread, or another process, does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(call: Callable[[], T], seconds: float = 40.0) -> T:
    """Return what a call returns as soon as that is true, and it doesn't fail."""
    ends = time.monotonic() + seconds
    while True:
        found: T | OSError
        try:
            found = call()
        except OSError as error:
            found = error
        else:
            if found:
                return found
        assert time.monotonic() < ends, f"it did not become true: {found!r}"
        time.sleep(0.01)
