"""Choose the clip of which a program is shown a size that is too small.

A size that is too large makes programs fail that cut a clip at the size of its stat. Some programs
fill up what is missing with zeros instead: these come to the end of the clip as right programs do.
They are found by a size that is too small: their last request ends there
(`histfs.core.estimate_readers`). So of the clips that were never here, each thread is shown one too
small, not the first one, and the others too large: what keeps to sizes and handles several clips
fails, whichever it does.

Of a program that reads by the buffers of its standard library only some sizes can be told. Where it
isn't found, its copy of that clip is cut. So the clip is the second or a later one that is large
enough for such a size; where the first ones are small, it is one of them all the same. One that
turns out to be no larger than it was shown has told nothing: the next one takes its place.

No server of the network is shown one too small: it announces that size, sends the clip, and its
client takes what was announced for all of it.

Threads: any number at once. `GenerationalCache` has its own lock; a thread asks for itself alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from histfs.core.generational_cache import GenerationalCache

#: Threads that are remembered, in each of two generations.
_THREADS = 2048


#: Clips that a thread is shown too large where all of them are small: no more, as what a program
#: reads next is on its way by then, and soon has an exact size.
_SMALL = 2
#: A size that is too small has more bytes than the first buffer, by which nothing can be told.
_LEAST = 4096


class _Seen(NamedTuple):
    """The clips whose estimates a thread has been shown.

    Attributes:
        before: those that were shown too large, until there is a probe.
        probe: the one that is shown too small; None until there is one.
        size: that is shown of it, in bytes.
    """

    before: frozenset[str]
    probe: str | None = None
    size: int = 0


class SmallSize(NamedTuple):
    """A size that a clip hardly falls below.

    Attributes:
        size: in bytes.
        is_told: whether a program is found that reads by this size, with buffers or without.
    """

    size: int
    is_told: bool


class EstimateProbes:
    """The clips that are shown too small, by thread.

    Args:
        exact: returns the exact size of a clip in bytes, by its key; None while it isn't known.
    """

    def __init__(self, exact: Callable[[str], int | None]) -> None:
        self._exact = exact
        self._seen = GenerationalCache[int, _Seen](math.inf, max_entries=_THREADS)

    def size(self, thread: int, key: str, lower: Callable[[], SmallSize]) -> int | None:
        """Return the size of a clip that a thread is shown too small; None for any other clip.

        It is the same clip for as long as the thread asks.

        Args:
            thread: its id; 0 for any that can't be told from others, which has no such clip.
            key: of the clip.
            lower: returns a size that is too small; called where it is needed.
        """
        if not thread:
            return None
        seen = self._seen.get(thread) or _Seen(frozenset())
        if seen.probe is not None and seen.probe != key:
            exact = self._exact(seen.probe)
            if exact is None or exact > seen.size:
                return None
            seen = _Seen(frozenset([seen.probe]))
        if key in seen.before:
            return None
        size, is_told = lower()
        if seen.probe is None:
            before = len(seen.before)
            chosen = (is_told and before > 0) or (before >= _SMALL and size > _LEAST)
            seen = _Seen(seen.before, key, size) if chosen else _Seen(seen.before | {key})
            self._seen.put(thread, seen)
        return size if seen.probe == key else None
