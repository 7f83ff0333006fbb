"""Attributes, directory entries and open files, and the derivation of inode numbers."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from typing import NamedTuple, Protocol

from histfs.core.waiting import Waiter

ROOT_INODE = 1


class Attributes(NamedTuple):
    """The result of stat(2), without what depends on the mount (owner, permissions).

    Attributes:
        kind: S_IFDIR, S_IFREG or S_IFLNK.
        inode: 63 bits, the same after a remount.
        links: the link count.
        size: in bytes.
        mtime: in seconds since the epoch.
        size_is_exact: whether a read gives ``size`` bytes; else ``size`` is an estimate, and the
            file has to be opened to know.
        is_lasting: whether all this, and that the path exists, depends on the source's index alone.
    """

    kind: int
    inode: int
    links: int
    size: int
    mtime: int
    size_is_exact: bool = True
    is_lasting: bool = False


class DirEntry(NamedTuple):
    """One entry of a directory (dentry).

    Attributes:
        name: of the entry.
        kind: as in `Attributes`.
        inode: as in `Attributes`.
        attributes: all of them, if the listing knows them without further cost.
    """

    name: str
    kind: int
    inode: int
    attributes: Attributes | None = None


class OpenFile(Protocol):
    """A file that is open, and stays readable after it is unlinked; any thread may read it."""

    @property
    def size(self) -> int:
        """The size in bytes."""

    def read(self, offset: int, size: int, waiter: Waiter) -> bytes:
        """Return the bytes at an offset, fewer than ``size`` only at the end of the file."""

    def close(self) -> None:
        """Release the file's resources; called once, after the last read."""


class PlayedFile(OpenFile):
    """An open file for a player, which reads it as its bytes come, before its size is known.

    Its size may be an estimate. A read returns bytes as soon as there is one, and none at the end.
    """


class FileStream(Protocol):
    """A file that is read as its bytes come, before its size is known; any thread may read it."""

    @property
    def whole_size(self) -> int | None:
        """The exact size in bytes once all of them are on this machine; None before."""

    def wait_until_whole(self, waiter: Waiter) -> int:
        """Wait until all bytes are on this machine, and return their number."""

    def read(self, offset: int, size: int, waiter: Waiter) -> bytes:
        """Return bytes at an offset as soon as there is one, at most ``size``; none at the end."""

    def close(self) -> None:
        """Release the file's resources; called once, after the last read."""


class WholeFile:
    """An open file whose bytes are all here, as a `FileStream`.

    Args:
        file: the file.
    """

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self.read = file.read
        self.close = file.close

    @property
    def whole_size(self) -> int:
        """The size in bytes."""
        return self._file.size

    def wait_until_whole(self, waiter: Waiter) -> int:
        """Return the size; waits for nothing."""
        return self._file.size


class BytesFile:
    """An open file whose bytes are in memory.

    Args:
        content: all of its bytes.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def size(self) -> int:
        """The size in bytes."""
        return len(self._content)

    def read(self, offset: int, size: int, waiter: Waiter) -> bytes:
        """Return the bytes at an offset; waits for nothing."""
        return self._content[offset : offset + size]

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


def inode_of(*names: str) -> int:
    """Return the inode of the node that the names identify.

    It is a hash of them, 63 bits of BLAKE2b, so that programs that compare inodes (restic, borg,
    ``tar -g``) find the same ones after a remount. Never 0 (no inode) nor 1 (the root).

    Args:
        names: identify the node, the first one its kind.
    """
    digest = hashlib.blake2b("\0".join(names).encode("utf-8", "replace"), digest_size=8).digest()
    return max(int.from_bytes(digest, "big") >> 1, 2)


def inodes_of(*names: str) -> Callable[[str], int]:
    """Return a function that computes `inode_of` of these names and one more, at less cost."""
    prefix = hashlib.blake2b(
        "".join(f"{name}\0" for name in names).encode("utf-8", "replace"), digest_size=8
    )

    def inode(name: str) -> int:
        digest = prefix.copy()
        digest.update(name.encode("utf-8", "replace"))
        return max(int.from_bytes(digest.digest(), "big") >> 1, 2)

    return inode


def directory(inode: int, mtime: int, *, is_lasting: bool = False) -> Attributes:
    """Return the attributes of a directory.

    A link count of 1 tells find(1) and fts(3) that it does not count the subdirectories.
    """
    return Attributes(stat.S_IFDIR, inode, 1, 4096, mtime, is_lasting=is_lasting)
