"""The audio store: what is on disk, what is on its way, and what is yet to be fetched.

Threads: any number at once. `_lock` guards the table of downloads and the sizes learnt lately; a
handle's own `_lock` guards which file it reads. Neither is held while anybody waits.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from cachetools import LRUCache

from histfs.audio.disk import Descriptor, Disk, translated
from histfs.audio.download import Download
from histfs.core.errors import BadAnswer, HistfsError, Interrupted
from histfs.core.flights import Flights
from histfs.core.item import Item
from histfs.core.nodes import OpenFile
from histfs.core.source import Source
from histfs.core.waiting import Waiter

#: Sizes learnt lately that are remembered beside the catalog.
_LEARNT = 4096

log = logging.getLogger(__name__)


class CachedAudio:
    """Implements `histfs.core.audio.AudioStore` on a disk.

    Args:
        source: where audio is fetched.
        disk: where it is kept.
        flights: fetches; its number of threads is the number of connections.
        set_size: keeps the exact size of a clip, by key, for ever.
        exact: whether `size` fetches a clip whose exact size isn't known.
    """

    def __init__(
        self,
        source: Source,
        disk: Disk,
        flights: Flights,
        set_size: Callable[[str, int], None],
        exact: bool = False,
    ) -> None:
        self._source = source
        self.disk = disk
        self._flights = flights
        self._set_size = set_size
        self._exact = exact
        self._lock = threading.Lock()
        self._downloads: dict[str, Download] = {}
        self._learnt: LRUCache[str, int] = LRUCache(_LEARNT)

    def size(self, item: Item, waiter: Waiter) -> int:
        """Return the exact size where it is known, else an estimate, or fetch to know it."""
        if item.size is not None:
            return item.size
        if self._exact:
            return self.open(item, waiter).size
        # `item` was read a moment ago. Whoever got the exact size by opening the clip since then
        # must not be told an estimate now: the kernel would cut the file to it.
        with self._lock:
            download = self._downloads.get(item.key)
            size = download.size if download else self._learnt.get(item.key)
        return item.estimate if size is None else size

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open a clip: from disk, or on its way, or to be fetched when it is first read.

        Only a clip whose exact size isn't known yet is fetched here: a program that opened it will
        believe the size that fstat gives.
        """
        content: Descriptor | Download | None = self._on_disk(item)
        if content is None and item.size is not None:
            return _Handle(self, item, item.size, None)
        content = content or self.content(item)
        if isinstance(content, Download):
            return _Handle(self, item, content.wait_for_size(waiter), content)
        size = os.fstat(content.number).st_size
        if item.size is None:
            self._learn(item.key, size)
        return _Handle(self, item, size, content)

    def content(self, item: Item) -> Descriptor | Download:
        """Return a clip's file, or its download: the one under way, or a new one."""
        with self._lock:
            download = self._downloads.get(item.key)
            if download is not None:
                return download
            # A download is put on disk before it leaves the table: here it is in one of them.
            found = self._on_disk(item)
            if found is not None:
                return found
            flight = ("audio", item.key, object())
            download = Download(
                item,
                self._source,
                self.disk,
                landed=lambda size: self._landed(item, size),
                abandoned=lambda: self._flights.abandon(flight),
            )
            self._flights.fly(flight, lambda: self._run(item.key, download))
            self._downloads[item.key] = download
            return download

    def _on_disk(self, item: Item) -> Descriptor | None:
        """Open a clip that is on disk; one that has not the size it must have is removed."""
        found = self.disk.open(item.key)
        if found is None:
            return None
        size = os.fstat(found.number).st_size
        if size and item.size in (None, size):
            return found
        log.warning("the cached audio of %s is damaged: fetching it again", item.key)
        self.disk.drop(item.key)
        return None

    def _run(self, key: str, download: Download) -> None:
        try:
            download.run()
        finally:
            with self._lock:
                self._downloads.pop(key, None)

    def _landed(self, item: Item, size: int) -> None:
        if item.size not in (None, size):
            log.warning("the audio of %s has %d bytes, not %d", item.key, size, item.size)
        self._learn(item.key, size)

    def _learn(self, key: str, size: int) -> None:
        """Keep an exact size; the catalog's disk may be full, and the clip is good all the same."""
        with self._lock:
            self._learnt[key] = size
        try:
            self._set_size(key, size)
        except HistfsError as error:
            log.warning("the size of %s can't be kept: %s", key, error)


class _Handle:
    """An open clip."""

    def __init__(
        self, store: CachedAudio, item: Item, size: int, content: Descriptor | Download | None
    ) -> None:
        self._store = store
        self._item = item
        self._size = size
        self._lock = threading.Lock()
        self._content = content

    @property
    def size(self) -> int:
        """The exact size in bytes."""
        return self._size

    def read(self, offset: int, size: int, waiter: Waiter) -> bytes:
        """Return the bytes at an offset; the first read of a clip that isn't here fetches it."""
        size = min(size, self._size - offset)
        if size <= 0:
            return b""
        content = self._open()
        if isinstance(content, Download):
            return self._read_arriving(content, offset, size, waiter)
        with translated("can't be read", self._store.disk.root):
            return os.pread(content.number, size, offset)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._content = None

    def _read_arriving(self, download: Download, offset: int, size: int, waiter: Waiter) -> bytes:
        try:
            if download.wait_for_size(waiter) != self._size:
                raise BadAnswer(f"the audio of {self._item.key} has changed: open it again")
            return download.read(offset, size, waiter)
        except Interrupted:
            # Whoever reads on after a signal asks anew: what nobody waits for may never start.
            self.close()
            raise

    def _open(self) -> Descriptor | Download:
        with self._lock:
            if self._content is None:
                self._content = self._store.content(self._item)
            return self._content
