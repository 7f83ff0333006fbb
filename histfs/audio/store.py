"""The audio store: what is on disk, what is on its way, and what is yet to be fetched.

Threads: any number at once. `_lock` guards the table of downloads; a handle's own `_lock` guards
which file it reads. Neither is held while anybody waits.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from histfs.audio.disk import Descriptor, Disk, translated
from histfs.audio.download import Download
from histfs.core.errors import BadAnswer, HistfsError
from histfs.core.flights import Flights
from histfs.core.item import Item
from histfs.core.nodes import OpenFile
from histfs.core.source import Source
from histfs.core.waiting import Waiter

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

    def size(self, item: Item, waiter: Waiter) -> int:
        """Return the exact size where it is known, else an estimate, or fetch to know it."""
        if item.size is not None:
            return item.size
        if self._exact:
            return self.open(item, waiter).size
        # Two answers at once, an estimate here and the exact size by the open file, would make the
        # kernel cut the file for the one who reads it.
        with self._lock:
            download = self._downloads.get(item.key)
        known = download.size if download else None
        return item.estimate if known is None else known

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open a clip: from disk, or on its way, or to be fetched when it is first read.

        Only a clip whose exact size isn't known yet is fetched here: a program that opened it will
        believe the size that fstat gives.
        """
        found = self.disk.open(item.key)
        if found is not None:
            size = os.fstat(found.number).st_size
            if item.size in (None, size):
                if item.size is None:
                    self._set_size(item.key, size)
                return _Handle(self, item, size, found)
            log.warning("the cached audio of %s is damaged: fetching it again", item.key)
            self.disk.drop(item.key)
        if item.size is not None:
            return _Handle(self, item, item.size, None)
        download = self.fetch(item)
        return _Handle(self, item, download.wait_for_size(waiter), download)

    def fetch(self, item: Item) -> Download:
        """Start to fetch a clip, or join the one who does."""
        with self._lock:
            download = self._downloads.get(item.key)
            if download is None:
                download = Download(item, self._source, self.disk, self._landing(item))
                self._downloads[item.key] = download
                self._flights.fly(("audio", item.key), lambda: self._run(item.key, download))
            return download

    def on_disk(self, item: Item) -> Descriptor | None:
        """Open a clip if it is on disk."""
        return self.disk.open(item.key)

    def _run(self, key: str, download: Download) -> None:
        try:
            download.run()
        finally:
            with self._lock:
                self._downloads.pop(key, None)

    def _landing(self, item: Item) -> Callable[[int], None]:
        def landed(size: int) -> None:
            if item.size not in (None, size):
                log.warning("the audio of %s has %d bytes, not %d", item.key, size, item.size)
            try:
                self._set_size(item.key, size)
            except HistfsError as error:
                log.warning("the size of %s can't be kept: %s", item.key, error)

        return landed


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
            if content.wait_for_size(waiter) != self._size:
                raise BadAnswer(f"the audio of {self._item.key} has changed: open it again")
            return content.read(offset, size, waiter)
        with translated("can't be read", self._store.disk.root):
            return os.pread(content.number, size, offset)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._content = None

    def _open(self) -> Descriptor | Download:
        with self._lock:
            if self._content is None:
                self._content = self._store.on_disk(self._item) or self._store.fetch(self._item)
            return self._content
