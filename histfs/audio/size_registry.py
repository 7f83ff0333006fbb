"""The one authority for the size of a clip: exact, announced by the server, or an estimate.

What stat shows of a clip that was never here is an estimate that it hardly exceeds: by its item,
and by how wrong the estimates of clips like it were (`histfs.core.size_margin`). That is learnt
from what comes, and at the first estimate from what the catalog knows of the newest items.

The catalog's `audio` table keeps exact sizes and checksums for ever. This registry caches sizes in
memory, because every stat(2) asks for one. A miss reads the sizes of the neighbours by date, too: a
walk of 10,000 items costs some 160 queries.

What this process learnt takes precedence over the table. Another process of the account may write
to the table at any time; its sizes are seen after `_FRESH` to twice `_FRESH` seconds, or when the
clip is opened from the shared cache on disk.

Threads: any number at once: each cache guards itself, and what is read from the table never
replaces what was learnt. `_lock` guards that the catalog is asked once for what it knows of
estimates; the locks of the catalog and of the caches are taken while it is held.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from histfs.core.errors import HistfsError
from histfs.core.estimate_probes import EstimateProbes, SmallSize
from histfs.core.estimate_readers import buffered_estimate
from histfs.core.generational_cache import GenerationalCache
from histfs.core.item import Item
from histfs.core.size_margin import Likeness, SizeMargins, above_header
from histfs.core.sizes import FileSize, Fingerprint, KnownSize, SizeTable

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
#: Newest items whose sizes tell how wrong estimates are: some 10 ms.
_PAST = 4096

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
        self._read = GenerationalCache[str, KnownSize](_FRESH, clock, max_entries=_ENTRIES)
        self._announced = GenerationalCache[str, int](math.inf, max_entries=_ANNOUNCED)
        #: Another number after this process has learnt a size; two at once may count as one.
        self.learnt = 0
        self._margins = SizeMargins()
        self._probes = EstimateProbes(self._learnt.get)
        self._lock = threading.Lock()
        self._past_is_known = False

    def size(self, item: Item, thread: int = 0) -> FileSize:
        """Return the size of an item's clip, or one that it hardly exceeds.

        One clip of those that a thread asks for hardly falls below the size that is returned
        (`histfs.core.estimate_probes`).

        An announced size is kept after its download broke: a program that opened the clip was told
        this size, and the kernel would cut the file to a smaller estimate.

        Args:
            item: whose clip.
            thread: the id of the one that asks; 0 where it can't be told from others.

        Raises:
            CacheFailed, NoSpace: the catalog can't be read. So do `expected`, `exact` and
                `fingerprint`.
        """
        exact = self.exact(item)
        if exact is not None:
            return FileSize(exact, True)
        announced = self._announced.get(item.key)
        if announced:
            return FileSize(announced, False)
        likeness = self._likeness(item)
        self._learn_past()
        estimate, margins = item.estimate, self._margins

        def lower() -> SmallSize:
            size = margins.lower(likeness, estimate)
            buffered = buffered_estimate(size)
            return SmallSize(buffered or size, buffered is not None)

        small = self._probes.size(thread, item.key, lower)
        return FileSize(margins.upper(likeness, estimate) if small is None else small, False)

    def expected(self, item: Item) -> int:
        """Return the most likely size in bytes of an item's clip."""
        known = self.exact(item) or self._announced.get(item.key)
        if known:
            return known
        likeness = self._likeness(item)
        self._learn_past()
        return self._margins.expected(likeness, item.estimate)

    def exact(self, item: Item) -> int | None:
        """Return the exact size in bytes; None while it isn't known."""
        size = self._learnt.get(item.key)
        return (self._known(item).size if size is None else size) or None

    def fingerprint(self, key: str) -> Fingerprint | None:
        """Return the size and the SHA-256 that the table has for a key, unless they are wrong."""
        return None if self._learnt.get(key) == _UNKNOWN else self._table.fingerprint(key)

    def announce(self, key: str, size: int) -> None:
        """Note the size that the server announces before the clip has come."""
        self._announced.put(key, size)

    def announce_by_header(self, key: str, size: int) -> None:
        """Note the size that a clip's own header tells, unless the server has announced one."""
        if self._announced.get(key) is None:
            self._announced.put(key, above_header(size))

    def learn(self, item: Item, size: int, sha256: bytes | None) -> int | None:
        """Keep an exact size; where the catalog fails it is known to this process alone.

        Args:
            item: whose clip.
            size: in bytes.
            sha256: of the clip as it came; None when it was found on disk, and not read through.

        Returns:
            The exact size that was known before, if it is in memory.
        """
        key = item.key
        before = self._learnt.get(key)
        if before is None:
            read = self._read.get(key)
            before = None if read is None else read.size
        self._learnt.put(key, size)
        if before != size:
            self.learnt += 1
        try:
            likeness = self._likeness(item)
            # Before it is in the catalog, which would tell it once more.
            self._learn_past()
            self._table.set_audio(key, size, sha256)
        except HistfsError as error:
            log.warning("the size of %s can't be kept: %s", key, error)
        else:
            if before != size:
                self._margins.learn(likeness, item.estimate, size)
        return before or None

    def discard(self, key: str) -> None:
        """Forget an exact size that turned out to be wrong, until a new one is learnt."""
        self._learnt.put(key, _UNKNOWN)

    def forget_unverified(self) -> None:
        """Forget the sizes of clips that never came whole: one was told wrong."""
        try:
            self._table.forget_unverified()
        except HistfsError as error:
            log.warning("sizes that may be wrong can't be forgotten: %s", error)
        # The table still has what was learnt from clips that came.
        self._learnt.clear()
        self._read.clear()

    def _known(self, item: Item) -> KnownSize:
        """Return what the table has of an item's clip."""
        return self._read.get(item.key) or self._look_up(item)

    def _look_up(self, item: Item) -> KnownSize:
        if item.attachment is not None:
            found = self._table.fingerprint(item.key)
            near = [KnownSize(item.key, None if found is None else found.size)]
        else:
            near = list(self._table.sizes_near(item, _NEIGHBOURS))
        self._read.put_all({known.key: known for known in near})
        return near[0]

    def _likeness(self, item: Item) -> Likeness:
        """Return what an item has in common with others whose sizes are estimated equally well."""
        known = self._known(item)
        kind = _format(item.content_type, item.output_format)
        return Likeness(kind if item.attachment is None else f"{kind} sent", *known[2:])

    def _learn_past(self) -> None:
        """Learn from the catalog how wrong estimates were, once."""
        if self._past_is_known:
            return
        with self._lock:
            if self._past_is_known:
                return
            for clip in self._table.past_clips(_PAST):
                kind = _format(clip.content_type, clip.output_format)
                likeness = Likeness(kind, clip.origin, clip.voice)
                self._margins.learn(likeness, clip.estimate, clip.size)
            self._past_is_known = True


def _format(content_type: str, output_format: str) -> str:
    return f"{content_type} {output_format}"
