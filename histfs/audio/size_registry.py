"""The one authority for the size of a clip: exact, announced by the server, or an estimate.

The catalog's `audio` table keeps exact sizes and checksums for ever. This registry caches sizes in
memory, because every stat(2) asks for one. A miss reads the sizes of the neighbours by date, too: a
walk of 10,000 items costs some 160 queries.

What this process learnt takes precedence over the table. Another process of the account may write
to the table at any time; its sizes are seen after `_FRESH` to twice `_FRESH` seconds, or when the
clip is opened from the shared cache on disk.

Threads: any number at once, without a lock of its own: each cache guards itself, and what is read
from the table never replaces what was learnt.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from histfs.core.errors import HistfsError
from histfs.core.generational_cache import GenerationalCache
from histfs.core.item import Item
from histfs.core.sizes import FileSize, Fingerprint, SizeTable

#: Sizes in memory, some 200 bytes each; up to twice as many in each of two caches.
_ENTRIES = 16_384
#: Announced sizes in memory: of clips whose download has not ended, or broke.
_ANNOUNCED = 4096
#: Seconds for which a row of the table is believed, or that there is none.
_FRESH = 10.0
#: Neighbours on each side whose sizes are read along with one that is missing.
_NEIGHBOURS = 64
#: Stands for a size that isn't known; no clip is empty.
_UNKNOWN = 0

log = logging.getLogger(__name__)


class SizeRegistry:
    """Knows the sizes of clips, and of attachments.

    Args:
        table: keeps exact sizes for ever.
        clock: seconds, monotonic.
    """

    def __init__(self, table: SizeTable, clock: Callable[[], float] = time.monotonic) -> None:
        self._table = table
        # `_UNKNOWN` in the first one: the table's row is wrong, as the cached clip was no audio.
        self._learnt = GenerationalCache[str, int](math.inf, max_entries=_ENTRIES)
        self._read = GenerationalCache[str, int](_FRESH, clock, max_entries=_ENTRIES)
        self._announced = GenerationalCache[str, int](math.inf, max_entries=_ANNOUNCED)
        #: Another number after this process has learnt a size; two at once may count as one.
        self.learnt = 0

    def size(self, item: Item) -> FileSize:
        """Return the best known size of an item's clip.

        An announced size is kept after its download broke: a program that opened the clip was told
        this size, and the kernel would cut the file to a smaller estimate.

        Raises:
            CacheFailed, NoSpace: the catalog can't be read. So do `exact` and `fingerprint`.
        """
        exact = self.exact(item)
        if exact is not None:
            return FileSize(exact, True)
        return FileSize(self._announced.get(item.key) or item.estimate, False)

    def exact(self, item: Item) -> int | None:
        """Return the exact size in bytes; None while it isn't known."""
        size = self._learnt.get(item.key)
        if size is None:
            size = self._read.get(item.key)
        if size is None:
            size = self._look_up(item)
        return size or None

    def fingerprint(self, key: str) -> Fingerprint | None:
        """Return the size and the SHA-256 that the table has for a key, unless they are wrong."""
        return None if self._learnt.get(key) == _UNKNOWN else self._table.fingerprint(key)

    def announce(self, key: str, size: int) -> None:
        """Note the size that the server announces before the clip has come."""
        self._announced.put(key, size)

    def learn(self, key: str, size: int, sha256: bytes | None) -> int | None:
        """Keep an exact size; where the catalog fails it is known to this process alone.

        Args:
            key: the item's key.
            size: in bytes.
            sha256: of the clip as it came; None when it was found on disk, and not read through.

        Returns:
            The exact size that was known before, if it is in memory.
        """
        before = self._learnt.get(key)
        if before is None:
            before = self._read.get(key)
        self._learnt.put(key, size)
        if before != size:
            self.learnt += 1
        try:
            self._table.set_audio(key, size, sha256)
        except HistfsError as error:
            log.warning("the size of %s can't be kept: %s", key, error)
        return before or None

    def discard(self, key: str) -> None:
        """Forget an exact size that turned out to be wrong, until a new one is learnt."""
        self._learnt.put(key, _UNKNOWN)

    def _look_up(self, item: Item) -> int:
        if item.attachment is not None:
            found = self._table.fingerprint(item.key)
            sizes = {item.key: _UNKNOWN if found is None else found.size}
        else:
            near = self._table.sizes_near(item, _NEIGHBOURS)
            sizes = {key: size or _UNKNOWN for key, size in near}
        self._read.put_all(sizes)
        return sizes[item.key]
