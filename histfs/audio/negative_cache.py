"""The negative cache: clips that the server refused a moment ago are not requested again at once.

A program that reads a library whose audio is missing would otherwise send two requests with each
open: for the audio, and whether the item is still there.

Threads: any number at once; `_lock` guards all state.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cachetools import TTLCache

from histfs.core.errors import Missing, NoAttachment, NoAudio, NotReady, without_traceback
from histfs.core.item import Item

#: Seconds for which a refusal is believed.
SECONDS = 5.0
#: Refusals that are kept at most.
_ENTRIES = 10_000
#: Refusals of one clip. Any other failure may be gone with the next request.
_KINDS = (Missing, NoAudio, NoAttachment, NotReady)


class NegativeCache:
    """Keeps the errors with which the server refused clips.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        # The revision is part of the key: a changed item may have audio.
        self._refused: TTLCache[tuple[str, int], BaseException] = TTLCache(
            _ENTRIES, SECONDS, timer=clock
        )

    def note(self, item: Item, error: BaseException | None) -> None:
        """Note how a download ended.

        Args:
            item: whose clip.
            error: why it failed; None for a success.
        """
        with self._lock:
            if isinstance(error, _KINDS):
                self._refused[item.key, item.revision] = without_traceback(error)
            else:
                self._refused.pop((item.key, item.revision), None)

    def include(self, item: Item) -> bool:
        """Say whether the server has just refused a clip."""
        with self._lock:
            return (item.key, item.revision) in self._refused

    def check(self, item: Item) -> None:
        """Fail as the last request for a clip did, if the server refused it a moment ago.

        Raises:
            Missing, NoAudio, NoAttachment, NotReady: it did.
        """
        with self._lock:
            error = self._refused.get((item.key, item.revision))
        if error is not None:
            raise without_traceback(error)
