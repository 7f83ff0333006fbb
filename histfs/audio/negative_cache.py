"""Clips that the server said a moment ago it does not have: it is not asked again at once.

A program that goes through a library whose audio is missing would otherwise send two requests with
each open: for the audio, and whether the item is still there.

Threads: any number at once; `_lock` guards all state.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cachetools import TTLCache

from histfs.core.errors import Missing, NoAttachment, NoAudio, NotReady, without_traceback
from histfs.core.item import Item

#: Seconds for which such an answer is believed.
SECONDS = 5.0
#: Answers that are remembered, at the most.
_MOST = 10_000
#: Answers about one clip. Any other failure may be gone with the next request.
_KINDS = (Missing, NoAudio, NoAttachment, NotReady)


class NegativeCache:
    """Remembers why clips can't be had.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        # A changed item may have audio: its revision is a part of the key.
        self._refused: TTLCache[tuple[str, int], BaseException] = TTLCache(
            _MOST, SECONDS, timer=clock
        )

    def note(self, item: Item, error: BaseException | None) -> None:
        """Remember how fetching a clip ended.

        Args:
            item: whose clip.
            error: why it failed; None when it didn't.
        """
        with self._lock:
            if isinstance(error, _KINDS):
                self._refused[item.key, item.revision] = without_traceback(error)
            else:
                self._refused.pop((item.key, item.revision), None)

    def include(self, item: Item) -> bool:
        """Say whether the server has just said that it has no such clip."""
        with self._lock:
            return (item.key, item.revision) in self._refused

    def check(self, item: Item) -> None:
        """Fail as the last request for a clip did, if that was a moment ago.

        Raises:
            Missing, NoAudio, NoAttachment, NotReady: the server had no such clip.
        """
        with self._lock:
            error = self._refused.get((item.key, item.revision))
        if error is not None:
            raise without_traceback(error)
