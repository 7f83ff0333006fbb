"""The extensions of clips' names, detected from their first bytes.

Threads: any number at once. The cache guards itself, and `_lock` guards the set of keys that are
not stored yet. The catalog is written with no lock held.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable

from histfs.core.audio_format import actual_extension, declared_extension
from histfs.core.errors import HistfsError
from histfs.core.generational_cache import GenerationalCache
from histfs.core.item import Item
from histfs.core.name_forms import EXTENSIONS
from histfs.core.path_resolver import PATHS

#: Extensions that wait for their download to end, at most; a dropped one is detected again.
_UNSTORED = 2 * PATHS

log = logging.getLogger(__name__)


class FileExtensions:
    """Knows the extensions of clips' names.

    Args:
        store: keeps the extension of a clip, by the item's key, for ever.
    """

    def __init__(self, store: Callable[[str, str], None]) -> None:
        self._store = store
        # The path resolver caches items without a new extension: it is kept here for as many.
        self._detected = GenerationalCache[str, str](math.inf, max_entries=2 * PATHS)
        self._lock = threading.Lock()
        self._unstored: set[str] = set()

    def of(self, item: Item) -> str:
        """Return the extension of a clip's name, without a dot."""
        extension = self._detected.get(item.key) or item.extension
        # A damaged catalog may hold anything, such as a slash.
        if extension in EXTENSIONS:
            return extension
        return declared_extension(item.content_type, item.output_format)

    def detect(self, item: Item, head: bytes) -> None:
        """Detect the extension from the first bytes of a clip; its name has it from now on."""
        extension = actual_extension(head, item.content_type, item.output_format)
        if extension != self.of(item):
            self._detected.put(item.key, extension)
            with self._lock:
                # Of a download that breaks it is never stored.
                if len(self._unstored) >= _UNSTORED:
                    self._unstored.clear()
                self._unstored.add(item.key)

    def store(self, key: str) -> None:
        """Store a detected extension, if there is one; where that fails it is detected again."""
        with self._lock:
            if key not in self._unstored:
                return
            self._unstored.discard(key)
        extension = self._detected.get(key)
        try:
            if extension is not None:
                self._store(key, extension)
        except HistfsError as error:
            log.warning("the extension of the audio of %s can't be kept: %s", key, error)
