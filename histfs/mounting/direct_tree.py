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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from histfs.core.filesystem import Filesystem, resolve_links
from histfs.core.large_listing import LargeListing
from histfs.core.nodes import Attributes, DirEntry, FileStream, OpenFile
from histfs.core.times import Zone
from histfs.core.waiting import Waiter
from histfs.mounting.account_filesystem import compose
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
        known: returns how many items of all sources the catalogs have.
        probe: asks for the newest items of the source that a path belongs to, where that was not
            done yet; see `AccountFilesystem.probe`.
    """

    filesystem: Filesystem
    zone: Zone
    timeout: float
    probe: Callable[[str, Waiter], None]
    known: Callable[[], int]

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

    def readlink(self, path: str) -> str:
        """Return the target of a link, relative to the directory that holds it."""
        return self.filesystem.readlink(self.resolve(path, last=False)[0], self.waiter())

    def open(self, path: str) -> io.BufferedReader:
        """Open a file for reading; audio that is not in the cache is fetched as it is read."""
        _, file = self.filesystem.open(self.resolve(path)[0], self.waiter())
        return io.BufferedReader(_RawFile(file, self.waiter), _BUFFER)

    def stream(self, path: str, waiter: Waiter | None = None) -> FileStream:
        """Open a file to be read as its bytes come, before its size is known.

        Args:
            path: of the file.
            waiter: the deadline; None for that of one call.
        """
        return self.filesystem.stream(self.resolve(path)[0], waiter or self.waiter())

    def delete(self, path: str) -> None:
        """Delete an item at the source, after a copy of it is in the trash.

        Args:
            path: of the item's directory, or of its audio.
        """
        self.filesystem.delete(self.resolve(path, last=False)[0], self.waiter())


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

        def known() -> int:
            return sum(each.store.total() for each in filesystem.sources)

        yield DirectTree(tree, filesystem.zone, settings.timeout, filesystem.probe, known)
        waiter = Waiter(_FLUSH_TIMEOUT)
        for mounted in filesystem.sources:
            mounted.audio.flush(waiter)
