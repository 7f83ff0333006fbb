"""Wait for an effect of another thread or process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(call: Callable[[], T], seconds: float = 40.0) -> T:
    """Return the result of a call as soon as it is true; an OSError counts as not true.

    Raises:
        AssertionError: It did not become true within the seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        found: T | OSError
        try:
            found = call()
        except OSError as error:
            found = error
        else:
            if found:
                return found
        assert time.monotonic() < deadline, f"it did not become true: {found!r}"
        time.sleep(0.01)
