"""An open clip: bytes come from its cached file, or from its download.

`OpenClip` has an exact size, and reads as a file; `StreamedClip` is read before the size is known.

Threads: any number at once. `_Clip._lock` guards which of the two is read; the locks of
`AudioCache.content` are taken while it is held. `OpenClips._lock` guards the table; no other lock
is taken while it is held.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

from histfs.audio.disk_cache import DiskCache
from histfs.audio.download import Download, DownloadAbandoned
from histfs.audio.file_descriptors import Descriptor, translated
from histfs.core.errors import BadAnswer, HistfsError
from histfs.core.item import Item
from histfs.core.waiting import Waiter

T = TypeVar("T")


class ClipProvider(Protocol):
    """What an open clip needs of the cache."""

    disk: DiskCache

    def content(self, item: Item) -> Descriptor | Download:
        """Return a clip's file, or its download: the running one, or a new one."""

    def note_use(self, item: Item, waiter: Waiter) -> None:
        """Note that a client begins to read a clip."""

    def discard_size(self, item: Item, size: int) -> None:
        """Note that a clip has another size in bytes than was known."""


class OpenClips:
    """The clips that are open, by their keys."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, set[_Clip]] = {}

    def add(self, key: str, clip: _Clip) -> None:
        """Note that a clip is open."""
        with self._lock:
            self._open.setdefault(key, set()).add(clip)

    def discard(self, key: str, clip: _Clip) -> None:
        """Note that a clip is closed."""
        with self._lock:
            clips = self._open.get(key, set())
            clips.discard(clip)
            if not clips:
                self._open.pop(key, None)

    def of(self, key: str) -> list[_Clip]:
        """Return the open clips with a key."""
        with self._lock:
            return list(self._open.get(key, ()))


class _Clip:
    """What has a clip open.

    Args:
        provider: gives the clip's bytes when they are first read.
        table: where the clip stands while it is open.
        item: whose clip.
        content: its file or its download, where there is one already.
        noted: whether its use need not be noted (any more).
    """

    def __init__(
        self,
        provider: ClipProvider,
        table: OpenClips,
        item: Item,
        content: Descriptor | Download | None,
        *,
        noted: bool = False,
    ) -> None:
        self._provider = provider
        self._table = table
        self._item = item
        self._lock = threading.Lock()
        self._content = content
        self._noted = noted
        table.add(item.key, self)

    def fetch_all(self, waiter: Waiter) -> None:
        """Have all bytes on this machine."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the file."""
        self._table.discard(self._item.key, self)
        with self._lock:
            self._content = None

    def _from_file(self, file: Descriptor, offset: int, size: int) -> bytes:
        with translated("can't be read", self._provider.disk.root):
            return os.pread(file.number, size, offset)

    def _from(
        self,
        waiter: Waiter,
        file: Callable[[Descriptor], T],
        download: Callable[[Download], T],
    ) -> T:
        """Return what a function makes of the clip's file, or another one of its download."""
        while True:
            content = self._current()
            if not self._noted:
                self._noted = True
                self._provider.note_use(self._item, waiter)
            if isinstance(content, Descriptor):
                return file(content)
            try:
                return download(content)
            except DownloadAbandoned:
                self._forget(content)
            except HistfsError:
                # A read after an error, or after a signal, asks anew.
                self._forget(content)
                raise

    def _current(self) -> Descriptor | Download:
        with self._lock:
            if self._content is None:
                self._content = self._provider.content(self._item)
            return self._content

    def _forget(self, content: Download) -> None:
        with self._lock:
            if self._content is content:
                self._content = None


class OpenClip(_Clip):
    """Implements `histfs.core.nodes.OpenFile`.

    Args:
        provider: gives the clip's bytes when they are first read.
        table: where the clip stands while it is open.
        item: whose clip.
        size: its exact size in bytes.
        content: its file or its download, where there is one already.
        noted: whether its use need not be noted.
    """

    def __init__(
        self,
        provider: ClipProvider,
        table: OpenClips,
        item: Item,
        size: int,
        content: Descriptor | Download | None,
        *,
        noted: bool = False,
    ) -> None:
        self._size = size
        super().__init__(provider, table, item, content, noted=noted)

    @property
    def size(self) -> int:
        """The exact size in bytes."""
        return self._size

    def read(self, offset: int, size: int, waiter: Waiter) -> bytes:
        """Return the bytes at an offset; the first read of an uncached clip downloads it.

        The last byte is returned once the clip has come whole, and has the size that it was opened
        with.
        """
        size = min(size, self._size - offset)
        if size <= 0:
            return b""

        def downloaded(download: Download) -> bytes:
            piece = download.read(offset, size, waiter)
            is_end = offset + size == self._size
            self._check(download.wait_until_whole(waiter) if is_end else download.size)
            return piece

        def cached(file: Descriptor) -> bytes:
            # Where a read has failed the kernel reads once more, and the clip may have come since.
            self._check(os.fstat(file.number).st_size)
            return self._from_file(file, offset, size)

        return self._from(waiter, cached, downloaded)

    def _check(self, whole: int | None) -> None:
        """Raise `BadAnswer` where the clip has another size than it was opened with."""
        if whole not in (None, self._size):
            # Before the client knows: it may open the clip again at once.
            self._provider.discard_size(self._item, self._size)
            raise BadAnswer(f"the audio of {self._item.key} has changed: open it again")

    def fetch_all(self, waiter: Waiter) -> None:
        """Have all bytes on this machine: the last one comes when the others have come."""
        self.read(self._size - 1, 1, waiter)


class StreamedClip(_Clip):
    """Implements `histfs.core.nodes.FileStream`."""

    def begin(self, waiter: Waiter) -> None:
        """Wait for the first byte: what keeps the clip from being read keeps it from being opened.

        The clip is closed where that fails.

        Raises:
            As `AudioCache.open`.
        """
        try:
            self.read(0, 1, waiter)
        except BaseException:
            self.close()
            raise

    @property
    def whole_size(self) -> int | None:
        """The exact size in bytes once all of them are on this machine; None before."""
        with self._lock:
            content = self._content
        if isinstance(content, Descriptor):
            return os.fstat(content.number).st_size
        return None if content is None else content.whole_size

    def wait_until_whole(self, waiter: Waiter) -> int:
        """Wait until all bytes are on this machine, and return their number."""
        return self._from(
            waiter,
            lambda file: os.fstat(file.number).st_size,
            lambda download: download.wait_until_whole(waiter),
        )

    def read(self, offset: int, size: int, waiter: Waiter) -> bytes:
        """Return bytes at an offset as soon as there is one; none only at the end."""
        return self._from(
            waiter,
            lambda file: self._from_file(file, offset, size),
            lambda download: download.read_available(offset, size, waiter),
        )

    def fetch_all(self, waiter: Waiter) -> None:
        """Have all bytes on this machine."""
        self.wait_until_whole(waiter)
