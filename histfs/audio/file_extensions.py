"""The endings of clips' names, as their first bytes tell.

Threads: any number at once. What was found guards itself, and `_lock` guards what is yet to be
kept. The catalog is written with no lock held.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable

from histfs.core.audio_format import ENDINGS, declared_ending, right_ending
from histfs.core.errors import HistfsError
from histfs.core.generational_cache import GenerationalCache
from histfs.core.item import Item
from histfs.core.path_resolver import PATHS

#: Endings that wait for their clip to be whole, at the most; what is forgotten is found again.
_UNKEPT = 2 * PATHS

log = logging.getLogger(__name__)


class FileExtensions:
    """What the names of clips end in.

    Args:
        keep: keeps the ending of a clip, by the item's key, for ever.
    """

    def __init__(self, keep: Callable[[str, str], None]) -> None:
        self._keep = keep
        # The tree remembers items from before: of as many it is known here what was found since.
        self._found = GenerationalCache[str, str](math.inf, max_entries=2 * PATHS)
        self._lock = threading.Lock()
        self._unkept: set[str] = set()

    def of(self, item: Item) -> str:
        """Return the ending of a clip's name, without a dot."""
        found = self._found.get(item.key) or item.ending
        # A damaged catalog may hold anything, a slash for one.
        if found in ENDINGS:
            return found
        return declared_ending(item.content_type, item.output_format)

    def found(self, item: Item, head: bytes) -> None:
        """Note the first bytes of a clip; its name is right from now on."""
        ending = right_ending(head, item.content_type, item.output_format)
        if ending != self.of(item):
            self._found.put(item.key, ending)
            with self._lock:
                # Downloads that broke never come to be kept.
                if len(self._unkept) >= _UNKEPT:
                    self._unkept.clear()
                self._unkept.add(item.key)

    def keep(self, key: str) -> None:
        """Keep what was found, if anything was; where that fails it is found again."""
        with self._lock:
            if key not in self._unkept:
                return
            self._unkept.discard(key)
        ending = self._found.get(key)
        try:
            if ending is not None:
                self._keep(key, ending)
        except HistfsError as error:
            log.warning("the ending of the audio of %s can't be kept: %s", key, error)
