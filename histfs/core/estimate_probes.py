"""Choose the clip of which a program is shown a size that is too small.

A size that is too large makes programs fail that cut a clip at the size of its stat. Some programs
fill up what is missing with zeros instead: these come to the end of the clip as right programs do.
They are found by a size that is too small: their last request ends there
(`histfs.core.estimate_readers`). So of the clips that were never here, each thread is shown the
second one too small, and the others too large: what keeps to sizes and handles at least two clips
fails, whichever it does.

Threads: any number at once. `GenerationalCache` has its own lock; a thread asks for itself alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from histfs.core.generational_cache import GenerationalCache

#: Threads that are remembered, in each of two generations.
_THREADS = 2048


class _Seen(NamedTuple):
    """The first two clips whose estimates a thread has been shown."""

    first: str
    second: str | None


class EstimateProbes:
    """The clips that are shown too small, by thread."""

    def __init__(self) -> None:
        self._seen = GenerationalCache[int, _Seen](math.inf, max_entries=_THREADS)

    def is_probe(self, thread: int, key: str) -> bool:
        """Say whether a thread is shown a clip too small; the same for as long as it asks.

        Args:
            thread: its id; 0 for any that can't be told from others, which has no such clip.
            key: of the clip.
        """
        if not thread:
            return False
        seen = self._seen.get(thread)
        if seen is None:
            self._seen.put(thread, _Seen(key, None))
            return False
        if seen.second is None and seen.first != key:
            seen = seen._replace(second=key)
            self._seen.put(thread, seen)
        return seen.second == key
