"""The `Filesystem` protocol, which every front end of histfs uses, and the union of several trees.

    /.histfs                        the status file of the mount; not listed
    /FOLDER/…                       the tree in a folder
    /…                              the tree in the root, if there is one

A union is a filesystem itself: the accounts of several profiles, each a union of the trees of its
sources, stand side by side in one.

Threads: any number at once; nothing here changes after it is made.
"""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from histfs.core.errors import (
    IsADirectory,
    NameTooLong,
    NoSuchPath,
    NotADirectory,
    NotALink,
    NotPermitted,
)
from histfs.core.item import Facets, Item
from histfs.core.large_listing import LargeListing
from histfs.core.names import NAME_MAX
from histfs.core.nodes import (
    ROOT_INODE,
    Attributes,
    BytesFile,
    DirEntry,
    FileStream,
    OpenFile,
    WholeFile,
    directory,
    inode_of,
)
from histfs.core.waiting import Waiter

#: The file in the root that `histfs status` reads.
STATUS_NAME = ".histfs"


class Filesystem(Protocol):
    """A filesystem that is addressed by paths: what FUSE, and any other front end, stands on.

    Paths begin with ``/`` at the root; repeated slashes, and one at the end, don't count. ``.`` and
    ``..`` are names like any other, and nothing has them. Names are `str`; bytes that are not UTF-8
    are surrogates, as `os.fsdecode` makes them. Links are not followed: a path that goes on below a
    link raises `NotADirectory`; `resolve_links` follows links for a front end without a kernel.

    Errors: every method may raise, besides what it names itself, and raises nothing but,

    - `NoSuchPath`, `NameTooLong`: nothing has this path; `NotADirectory`: the path, or one above
      it, is a file or a link;
    - `SourceError`, `NotComplete`: the answer is not known, and can't be had now. A listing, or a
      file, is complete or fails: a part is never returned as the whole;
    - `NotForCrawlers`: the answer would need a download, which the caller may not cause;
    - `NoSpace`, `CacheFailed`: the cache's disk failed;
    - `DeadlineExceeded`, `Interrupted`, `TooManyWaiting`: the waiter ended the call.

    All are `HistfsError`; `errors.errno_of` gives the errno of each.

    Threads: any number of threads call any method at once, on one path, too. So do readers of one
    `OpenFile`, or of one `LargeListing`. A `Waiter` belongs to one call.

    Waiting: a call waits for the network, within its waiter, only if the answer is not on this
    machine. `stat`, `stat_files`, `listdir`, `readlink` and `item` may wait for lists of items, and
    for an item's details, but download no audio, unless exact sizes are promised, or the waiter
    says that the caller needs them. `open` may download a file whose size is not known yet,
    `stream` waits for its first bytes, and their reads for what is not in the cache. `unlink`,
    `rmdir` and `delete` may download what the archive lacks, and wait for the DELETE; they alone
    change anything at the source, and the DELETE goes on after a wait that has ended early.

    Attributes: a size may be an estimate until the file was opened. Inodes are the same in every
    process. The front end decides on owner and permissions, and whether anything may be removed.
    """

    def stat(self, path: str, waiter: Waiter) -> Attributes:
        """Return the attributes of a path; of a link its own."""

    def stat_files(self, path: str, waiter: Waiter) -> Mapping[str, Attributes]:
        """Return the attributes of an item's files by name, without those that fail.

        Empty if the path is not the directory, or a folder, of an item. For a front end that is
        about to stat all of them.
        """

    def listdir(self, path: str, waiter: Waiter) -> Sequence[DirEntry] | LargeListing:
        """Return all entries of a directory, without ``.`` and ``..``.

        A directory with more entries than `large_listing.LARGE` is read in parts, each with a
        waiter of its own.
        """

    def readlink(self, path: str, waiter: Waiter) -> str:
        """Return the target of a link, relative to the directory that holds it.

        Raises:
            NotALink: the path is no link.
        """

    def item(self, path: str, waiter: Waiter) -> tuple[Item, Facets] | None:
        """Return the item to which a path belongs, with its facets; None where there is none."""

    def open(self, path: str, waiter: Waiter) -> tuple[Attributes, OpenFile]:
        """Open a file for reading, and return its attributes, with the exact size.

        The file can be read to its end even if its item is deleted meanwhile. The caller closes it.

        Raises:
            IsADirectory: the path is a directory, or a link to one.
        """

    def stream(self, path: str, waiter: Waiter) -> FileStream:
        """Open a file to be read as its bytes come, before its size is known.

        Raises:
            IsADirectory: as `open`.
        """

    def refresh(self, path: str) -> None:
        """Have the listings below a path, and those that a file stands in, requested when needed.

        What is known stays, and is shown while the source does not answer. Sends no request; a path
        that nothing has counts as the nearest directory above it.

        Raises:
            NoSpace, CacheFailed: that can't be noted; nothing else.
        """

    def unlink(self, path: str, waiter: Waiter) -> None:
        """Unlink a file: the audio deletes its item, any other file is hidden in this filesystem.

        Raises:
            NotPermitted: the path is no file of an item.
            NotArchived: the item can't be copied first; nothing was sent.
            DeleteUnconfirmed: whether the item is deleted is not known; the copy is kept.
        """

    def rmdir(self, path: str, waiter: Waiter) -> None:
        """Remove a directory whose contents were removed here; may delete an item without audio.

        Raises:
            DirectoryNotEmpty: there is something in it.
            NotPermitted: it is the root.
            NotArchived, DeleteUnconfirmed: as `unlink`.
        """

    def delete(self, path: str, waiter: Waiter) -> None:
        """Delete the item whose directory, or audio, a path is, and its directory at once.

        Raises:
            IsADirectory: the path is a directory above items.
            NotPermitted: the path is a link, or a file whose unlink deletes nothing.
            NotArchived, DeleteUnconfirmed: as `unlink`.
        """


class Subtree(NamedTuple):
    """A tree in a folder.

    Attributes:
        tree: the contents of the folder.
        is_available: says whether the folder exists; may wait for the network.
        is_listed: whether the root lists the folder; it exists in any case.
    """

    tree: Filesystem
    is_available: Callable[[Waiter], bool] = lambda _: True
    is_listed: bool = True


class UnionFilesystem:
    """Several trees as one. Implements `Filesystem`.

    Args:
        root: the tree in the root; None for an empty root.
        folders: the other trees by the name of their folder, in the order of the listing.
        born: mtime of nodes without a time of their own, in seconds since the epoch.
        status: renders the status file; None if this is not the root of the mount.
        above: the names of the folders in which the root stands; they make its inodes unique.
    """

    def __init__(
        self,
        root: Filesystem | None,
        folders: Mapping[str, Subtree],
        *,
        born: int,
        status: Callable[[], bytes] | None = None,
        above: tuple[str, ...] = (),
    ) -> None:
        self._root = root
        self._folders = dict(folders)
        self._own: Filesystem = _EmptyRoot(status, born, above)

    def stat(self, path: str, waiter: Waiter) -> Attributes:
        """Return the attributes of a path."""
        tree, rest = self._route(path, waiter)
        return tree.stat(rest, waiter)

    def stat_files(self, path: str, waiter: Waiter) -> Mapping[str, Attributes]:
        """Return the attributes of an item's files by name, without those that fail."""
        tree, rest = self._route(path, waiter)
        return tree.stat_files(rest, waiter)

    def listdir(self, path: str, waiter: Waiter) -> Sequence[DirEntry] | LargeListing:
        """Return all entries of a directory; in the root the folders come last."""
        tree, rest = self._route(path, waiter)
        listing = tree.listdir(rest, waiter)
        if path.strip("/") or isinstance(listing, LargeListing):
            return listing
        folders = [
            DirEntry(name, stat.S_IFDIR, subtree.tree.stat("/", waiter).inode)
            for name, subtree in self._folders.items()
            if subtree.is_listed and subtree.is_available(waiter)
        ]
        return [*listing, *folders]

    def readlink(self, path: str, waiter: Waiter) -> str:
        """Return the target of a link, relative to the directory that holds it."""
        tree, rest = self._route(path, waiter)
        return tree.readlink(rest, waiter)

    def item(self, path: str, waiter: Waiter) -> tuple[Item, Facets] | None:
        """Return the item to which a path belongs, with its facets; None where there is none."""
        tree, rest = self._route(path, waiter)
        return tree.item(rest, waiter)

    def open(self, path: str, waiter: Waiter) -> tuple[Attributes, OpenFile]:
        """Open a file for reading, and return its attributes."""
        tree, rest = self._route(path, waiter)
        return tree.open(rest, waiter)

    def stream(self, path: str, waiter: Waiter) -> FileStream:
        """Open a file to be read as its bytes come."""
        tree, rest = self._route(path, waiter)
        return tree.stream(rest, waiter)

    def refresh(self, path: str) -> None:
        """Have the listings below a path requested when they are needed."""
        first, _, rest = path.strip("/").partition("/")
        if first in self._folders:
            self._folders[first].tree.refresh(f"/{rest}")
            return
        if self._root is not None:
            self._root.refresh(path)
        for subtree in self._folders.values() if not first else ():
            subtree.tree.refresh("/")

    def unlink(self, path: str, waiter: Waiter) -> None:
        """Unlink a file."""
        tree, rest = self._route(path, waiter)
        tree.unlink(rest, waiter)

    def rmdir(self, path: str, waiter: Waiter) -> None:
        """Remove a directory."""
        tree, rest = self._route(path, waiter)
        tree.rmdir(rest, waiter)

    def delete(self, path: str, waiter: Waiter) -> None:
        """Delete the item whose directory, or audio, a path is."""
        tree, rest = self._route(path, waiter)
        tree.delete(rest, waiter)

    def _route(self, path: str, waiter: Waiter) -> tuple[Filesystem, str]:
        """Return the tree that holds a path, and the path in that tree."""
        first, _, rest = path.lstrip("/").partition("/")
        subtree = self._folders.get(first)
        if subtree is not None and subtree.is_available(waiter):
            return subtree.tree, f"/{rest}"
        if first == STATUS_NAME or self._root is None:
            return self._own, path
        return self._root, path


class _EmptyRoot:
    """A root that holds nothing but the status file. Implements `Filesystem`."""

    def __init__(
        self, status: Callable[[], bytes] | None, born: int, above: tuple[str, ...]
    ) -> None:
        self._has_status = status is not None
        self._render = status or bytes
        self._born = born
        self._inode = inode_of("directory", *above) if above else ROOT_INODE

    def stat(self, path: str, waiter: Waiter) -> Attributes:
        if self._is_root(path):
            return directory(self._inode, self._born)
        return self._file_attributes(len(self._render()))

    def stat_files(self, path: str, waiter: Waiter) -> Mapping[str, Attributes]:
        return {}

    def listdir(self, path: str, waiter: Waiter) -> Sequence[DirEntry]:
        if self._is_root(path):
            return []
        raise NotADirectory(path)

    def readlink(self, path: str, waiter: Waiter) -> str:
        self._is_root(path)
        raise NotALink(path)

    def item(self, path: str, waiter: Waiter) -> tuple[Item, Facets] | None:
        self._is_root(path)
        return None

    def open(self, path: str, waiter: Waiter) -> tuple[Attributes, OpenFile]:
        if self._is_root(path):
            raise IsADirectory(path)
        file = BytesFile(self._render())
        return self._file_attributes(file.size), file

    def stream(self, path: str, waiter: Waiter) -> FileStream:
        return WholeFile(self.open(path, waiter)[1])

    def refresh(self, path: str) -> None:
        pass

    def unlink(self, path: str, waiter: Waiter) -> None:
        self._is_root(path)
        raise NotPermitted(path)

    def rmdir(self, path: str, waiter: Waiter) -> None:
        raise NotPermitted(path) if self._is_root(path) else NotADirectory(path)

    def delete(self, path: str, waiter: Waiter) -> None:
        raise IsADirectory(path) if self._is_root(path) else NotPermitted(path)

    def _is_root(self, path: str) -> bool:
        """Say whether a path is the root, or else the status file; raise if it is neither."""
        parts = list(filter(None, path.split("/")))
        if not parts:
            return True
        if len(parts[0].encode("utf-8", "surrogateescape")) > NAME_MAX:
            raise NameTooLong(path)
        if parts[0] != STATUS_NAME or not self._has_status:
            raise NoSuchPath(path)
        if parts[1:]:
            raise NotADirectory(path)
        return False

    def _file_attributes(self, size: int) -> Attributes:
        return Attributes(stat.S_IFREG, inode_of("status"), 1, size, self._born)


def resolve_links(
    tree: Filesystem, path: str, waiter: Waiter, *, last: bool = False
) -> tuple[str, Attributes]:
    """Return a path without the links in it, and its attributes.

    For a front end without a kernel, which follows links itself.

    Args:
        tree: holds the path.
        path: from the root.
        waiter: limits the waits.
        last: whether the last component is followed, too.

    Raises:
        As `Filesystem.stat`.
    """
    while True:
        try:
            attributes = tree.stat(path, waiter)
        except NotADirectory:
            path = _through_link(tree, path, waiter)
            continue
        if not (last and attributes.kind == stat.S_IFLNK):
            return path, attributes
        path = _joined(path, tree.readlink(path, waiter))


def _through_link(tree: Filesystem, path: str, waiter: Waiter) -> str:
    """Return a path with the last link in it replaced; `NotADirectory` if there is none."""
    parent, rest = posixpath.split(path.rstrip("/"))
    while parent.strip("/"):
        try:
            return _joined(parent, tree.readlink(parent, waiter), rest)
        except (NotALink, NotADirectory):
            parent, name = posixpath.split(parent)
            rest = f"{name}/{rest}"
    raise NotADirectory(path)


def _joined(link: str, *target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(link), *target))
