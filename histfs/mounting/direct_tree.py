"""An account's tree without a mount, for front ends other than FUSE.

No FUSE library is loaded. A kernel resolves symbolic links for a mount; here `DirectTree` does.

Threads: any number may use a `DirectTree` at once; a file that it opened is for one thread.
"""

from __future__ import annotations

import contextlib
import io
import logging
import posixpath
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from histfs.audio.audio_cache import AudioCache
from histfs.core.errors import DeadlineExceeded, NoSuchPath, NotComplete
from histfs.core.filesystem import Filesystem, resolve_links
from histfs.core.item import Item
from histfs.core.item_row import ItemRow
from histfs.core.large_listing import LargeListing
from histfs.core.name_forms import is_audio_name
from histfs.core.nodes import Attributes, DirEntry, FileStream, OpenFile
from histfs.core.times import ALWAYS, Span, Zone
from histfs.core.waiting import Waiter
from histfs.mounting.account_filesystem import compose, source_at
from histfs.mounting.account_rows import rows
from histfs.mounting.mounted_source import MountedSource
from histfs.mounting.plugin_factory import Tell
from histfs.settings import Settings

#: Seconds in which a clip that was read to its end should be in the cache.
_FLUSH_TIMEOUT = 5.0
#: Bytes that a buffered file reads at once.
_BUFFER = 128 << 10

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DirectTree:
    """The tree of an account.

    Paths begin with ``/``, which is what a mountpoint would show. All methods raise the errors of
    `Filesystem`.

    Attributes:
        filesystem: the tree itself; it does not follow links.
        zone: in which names have their times.
        timeout: seconds after which any call ends.
        probe: asks for the newest items of the source that a path belongs to, where that was not
            done yet; see `AccountFilesystem.probe`.
        sources: of the account, that of its root first.
    """

    filesystem: Filesystem
    zone: Zone
    timeout: float
    probe: Callable[[str, Waiter], None]
    sources: Sequence[MountedSource] = ()

    def known(self) -> int:
        """Return how many items of all sources the catalogs have."""
        return sum(each.store.total() for each in self.sources)

    def audio(self, path: str) -> AudioCache:
        """Return the cache of the audio below a path."""
        return source_at(self.sources, path).audio

    def waiter(self) -> Waiter:
        """Return the deadline of one call."""
        return Waiter(self.timeout)

    def resolve(self, path: str, *, last: bool = True) -> tuple[str, Attributes]:
        """Return a path without links on its way, and the attributes of what is there.

        Args:
            path: the path.
            last: whether a link at the end of the path is followed, too.
        """
        path = posixpath.normpath(f"/{path.lstrip('/')}")
        self.probe(path, self.waiter())
        return resolve_links(self.filesystem, path, self.waiter(), last=last)

    def stat(self, path: str, *, follow_symlinks: bool = True) -> Attributes:
        """Return the attributes of a path."""
        return self.resolve(path, last=follow_symlinks)[1]

    def listdir(self, path: str) -> Iterable[DirEntry]:
        """Return the entries of a directory, without ``.`` and ``..``."""
        listing = self.filesystem.listdir(self.resolve(path)[0], self.waiter())
        return listing.entries(self.waiter) if isinstance(listing, LargeListing) else listing

    def ls(self, path: str = "/") -> list[str]:
        """Return the names in a directory."""
        return [entry.name for entry in self.listdir(path)]

    def items(self, since: int = ALWAYS.start) -> Iterator[ItemRow]:
        """Yield all items of the account as rows of a table, source by source, oldest first.

        The whole history of each source is listed first, unless that is known and fresh; a large
        one takes as long as it goes on. What only an item's details tell is None until they were
        fetched: by a read of its ``meta.json``, or by ``histfs sync``.

        Args:
            since: the first moment that counts, in seconds since the epoch.

        Raises:
            SourceError, NotComplete: the history can't be listed completely.
        """
        for mounted in self.sources:
            if mounted.probe.is_available(self.waiter()):
                mounted.probe.check(self.waiter())
                self.list_all(mounted)
                # A clip that was just read to its end has its size and SHA-256.
                mounted.audio.flush(self.waiter().at_most(_FLUSH_TIMEOUT))
                yield from rows(mounted, self.zone, Span(since, ALWAYS.end))

    def list_all(self, mounted: MountedSource) -> None:
        """Have the whole history of a source listed, for as long as there is progress."""
        before: object = None
        while True:
            try:
                mounted.catalog.ensure(ALWAYS, self.waiter())
            except (NotComplete, DeadlineExceeded):
                progress = (mounted.scanner.progress().down_to, mounted.store.total())
                if progress == before:
                    raise
                before = progress
            else:
                return

    def sha256(self, path: str, *, fetch: bool = False) -> str | None:
        """Return the SHA-256 of an item's audio in hexadecimal digits.

        Args:
            path: of the audio.
            fetch: whether audio whose checksum is not known is fetched.

        Returns:
            None for another file, and where it is not known.
        """
        found = self._audio_of(self.resolve(path)[0])
        if found is None:
            return None
        audio, item = found
        known = audio.sizes.fingerprint(item.key)
        if fetch and (known is None or known.sha256 is None):
            audio.fetch(item, self.waiter())
            known = audio.sizes.fingerprint(item.key)
        return None if known is None or known.sha256 is None else known.sha256.hex()

    def told_size(self, path: str) -> int | None:
        """Return the exact size in bytes of an item's audio if the server tells it by itself.

        Args:
            path: of the audio; no link.

        Returns:
            None for another file, and where the server doesn't tell.
        """
        found = self._audio_of(path)
        return None if found is None else found[0].told.size(found[1], self.waiter())

    def _audio_of(self, path: str) -> tuple[AudioCache, Item] | None:
        """Return the item whose audio has a path, and its cache; None for another file."""
        found = self.filesystem.item(path, self.waiter())
        above, name = posixpath.split(path)
        if found is None or not is_audio_name(name) or not self.sources:
            return None
        item = found[0]
        if not posixpath.basename(above).endswith(f"_{item.key}"):
            return None  # an attachment
        return self.audio(path), item

    def readlink(self, path: str) -> str:
        """Return the target of a link, relative to the directory that holds it."""
        return self.filesystem.readlink(self.resolve(path, last=False)[0], self.waiter())

    def open(self, path: str) -> HistoryFile:
        """Open a file for reading; audio that is not in the cache is fetched as it is read."""
        _, file = self.filesystem.open(self.resolve(path)[0], self.waiter())
        return HistoryFile(file, self.waiter)

    def stream(self, path: str, waiter: Waiter | None = None) -> FileStream:
        """Open a file to be read as its bytes come, before its size is known.

        Args:
            path: of the file.
            waiter: the deadline; None for that of one call.
        """
        return self.filesystem.stream(self.resolve(path)[0], waiter or self.waiter())

    def refresh(self, path: str) -> None:
        """Have the listings below a path requested when they are next needed."""
        self.filesystem.refresh(path)

    def fetch(self, path: str, waiter: Waiter) -> int:
        """Have the audio of an item in the cache, and return its size in bytes.

        Args:
            path: of the audio, or of the item's directory; no link.
            waiter: the deadline.

        Raises:
            NoSpace, CacheFailed: it can't be kept.
            NoSuchPath: no item has this path.
        """
        return self.audio(path).fetch(self._item(path), waiter)

    def set_pinned(self, path: str, pinned: bool) -> bool:
        """Have the cached audio of an item stay in the cache, or let it be evicted again.

        Returns whether that changed anything.

        Args:
            path: as that of `fetch`.
            pinned: whether it stays.
        """
        return self.audio(path).disk.set_pinned(self._item(path).key, pinned)

    def is_pinned(self, path: str) -> bool:
        """Say whether the audio of an item is in the cache for good."""
        return self.audio(path).disk.is_pinned(self._item(path).key)

    def _item(self, path: str) -> Item:
        found = self.filesystem.item(path, self.waiter())
        if found is None:
            raise NoSuchPath(path)
        return found[0]

    def delete(self, path: str) -> None:
        """Delete an item at the source, after a copy of it is in the trash.

        Args:
            path: of the item's directory, or of its audio.
        """
        self.filesystem.delete(self.resolve(path, last=False)[0], self.waiter())


class HistoryFile(io.BufferedReader):
    """An open file: seekable, with its exact size.

    Args:
        file: the file.
        waiter: makes the deadline of one read.

    Attributes:
        size: in bytes.
    """

    def __init__(self, file: OpenFile, waiter: Callable[[], Waiter]) -> None:
        super().__init__(_RawFile(file, waiter), _BUFFER)
        self.size = file.size


class _RawFile(io.RawIOBase):
    """An open file of a tree as Python's file objects are.

    Args:
        file: the file.
        waiter: makes the deadline of one read.
    """

    def __init__(self, file: OpenFile, waiter: Callable[[], Waiter]) -> None:
        super().__init__()
        self._file = file
        self._waiter = waiter
        self._position = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read from any position."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position, in bytes, and return it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}[whence]
        if start + offset < 0:
            raise ValueError(f"negative position {start + offset}")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer (PEP 688)
        """Read bytes at the position, and return how many."""
        view = memoryview(buffer).cast("B")
        content = self._file.read(self._position, len(view), self._waiter())
        view[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()


@contextlib.contextmanager
def open_tree(settings: Settings, tell: Tell = log.warning) -> Iterator[DirectTree]:
    """Open an account's tree; at the end its threads, files and connections are closed.

    Args:
        settings: the account's.
        tell: takes a line for the user about a plugin that is left out.

    Raises:
        As `compose`.
    """
    with compose(settings, tell) as filesystem:
        tree = filesystem.tree(int(time.time()))
        yield DirectTree(
            tree, filesystem.zone, settings.timeout, filesystem.probe, filesystem.sources
        )
        waiter = Waiter(_FLUSH_TIMEOUT)
        for mounted in filesystem.sources:
            mounted.audio.flush(waiter)
