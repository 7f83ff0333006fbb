"""The whole filesystem: the trees of several sources, each in a folder or in the root.

A forest is a tree itself, so that the accounts of several profiles stand side by side in one.

    /.histfs                        what the mount says of itself; not listed
    /FOLDER/…                       another tree
    /…                              the tree that stands in the root, if there is one
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
    OpenFile,
    directory,
    inode_of,
)
from histfs.core.waiting import Waiter

#: The file in the root that `histfs status` reads.
STATUS_NAME = ".histfs"


class Filesystem(Protocol):
    """What a filesystem is asked about paths; they begin with ``/``, at the folder."""

    def stat(self, path: str, waiter: Waiter) -> Attributes:
        """Return the attributes of a path.

        Raises:
            NoSuchPath, NotADirectory, NameTooLong: nothing has this path. So do all methods.
            SourceError, NotComplete: whether anything has it can't be told. So do all methods.
        """

    def stat_files(self, path: str, waiter: Waiter) -> Mapping[str, Attributes]:
        """Return the attributes of an item's files by name, as far as they can be told."""

    def listdir(self, path: str, waiter: Waiter) -> Sequence[DirEntry] | LargeListing:
        """Return all entries of a directory, without ``.`` and ``..``."""

    def readlink(self, path: str, waiter: Waiter) -> str:
        """Return the target of a link, relative to the directory that holds it."""

    def item(self, path: str, waiter: Waiter) -> tuple[Item, Facets] | None:
        """Return whose directory, link or file a path is, as far as it is known; None for none."""

    def open(self, path: str, waiter: Waiter) -> tuple[Attributes, OpenFile]:
        """Open a file for reading, and tell what it is."""

    def unlink(self, path: str, waiter: Waiter) -> None:
        """Unlink a file."""

    def rmdir(self, path: str, waiter: Waiter) -> None:
        """Remove a directory."""

    def delete(self, path: str, waiter: Waiter) -> None:
        """Delete the item whose directory, or audio, a path is, as `unlink` of its audio does.

        Raises:
            IsADirectory: it is a directory above items.
            NotPermitted: it is a link, or a file without which the item can be.
            NotArchived, SourceError: it can't be copied first, or the source did not delete it.
        """


class Subtree(NamedTuple):
    """A tree in a folder.

    Attributes:
        tree: what the folder holds.
        shown: says whether there is such a folder at all; may have to ask.
    """

    tree: Filesystem
    shown: Callable[[Waiter], bool] = lambda _: True


class UnionFilesystem:
    """Several trees as one. Implements `Filesystem`.

    Args:
        root: stands in the root; None for nothing.
        folders: the other trees by the name of their folder, in the order in which these are
            listed.
        born: mtime of what has no other, in seconds since the epoch.
        status: renders what the mount says of itself; None when this isn't the mount's root.
        above: the names of the folders in which the root stands.
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
        tree, rest = self._tree(path, waiter)
        return tree.stat(rest, waiter)

    def stat_files(self, path: str, waiter: Waiter) -> Mapping[str, Attributes]:
        """Return the attributes of an item's files by name, as far as they can be told."""
        tree, rest = self._tree(path, waiter)
        return tree.stat_files(rest, waiter)

    def listdir(self, path: str, waiter: Waiter) -> Sequence[DirEntry] | LargeListing:
        """Return all entries of a directory: in the root the folders come last."""
        tree, rest = self._tree(path, waiter)
        listing = tree.listdir(rest, waiter)
        if path.strip("/") or isinstance(listing, LargeListing):
            return listing
        folders = [
            DirEntry(name, stat.S_IFDIR, grafted.tree.stat("/", waiter).inode)
            for name, grafted in self._folders.items()
            if grafted.shown(waiter)
        ]
        return [*listing, *folders]

    def readlink(self, path: str, waiter: Waiter) -> str:
        """Return the target of a link, relative to the directory that holds it."""
        tree, rest = self._tree(path, waiter)
        return tree.readlink(rest, waiter)

    def item(self, path: str, waiter: Waiter) -> tuple[Item, Facets] | None:
        """Return whose directory, link or file a path is, as far as it is known; None for none."""
        tree, rest = self._tree(path, waiter)
        return tree.item(rest, waiter)

    def open(self, path: str, waiter: Waiter) -> tuple[Attributes, OpenFile]:
        """Open a file for reading, and tell what it is."""
        tree, rest = self._tree(path, waiter)
        return tree.open(rest, waiter)

    def unlink(self, path: str, waiter: Waiter) -> None:
        """Unlink a file."""
        tree, rest = self._tree(path, waiter)
        tree.unlink(rest, waiter)

    def rmdir(self, path: str, waiter: Waiter) -> None:
        """Remove a directory."""
        tree, rest = self._tree(path, waiter)
        tree.rmdir(rest, waiter)

    def delete(self, path: str, waiter: Waiter) -> None:
        """Delete the item whose directory, or audio, a path is."""
        tree, rest = self._tree(path, waiter)
        tree.delete(rest, waiter)

    def _tree(self, path: str, waiter: Waiter) -> tuple[Filesystem, str]:
        """Return the tree in which a path lies, and what the path is there."""
        first, _, rest = path.lstrip("/").partition("/")
        grafted = self._folders.get(first)
        if grafted is not None and grafted.shown(waiter):
            return grafted.tree, f"/{rest}"
        if first == STATUS_NAME or self._root is None:
            return self._own, path
        return self._root, path


class _EmptyRoot:
    """A root that holds nothing but what the mount says of itself. Implements `Filesystem`."""

    def __init__(
        self, status: Callable[[], bytes] | None, born: int, above: tuple[str, ...]
    ) -> None:
        self._status = status
        self._born = born
        self._inode = inode_of("directory", *above) if above else ROOT_INODE

    def stat(self, path: str, waiter: Waiter) -> Attributes:
        if not path.strip("/"):
            return directory(self._inode, self._born)
        return self._file_attributes(len(self._content(path)))

    def stat_files(self, path: str, waiter: Waiter) -> Mapping[str, Attributes]:
        return {}

    def listdir(self, path: str, waiter: Waiter) -> Sequence[DirEntry]:
        if path.strip("/"):
            self._content(path)
            raise NotADirectory(path)
        return []

    def readlink(self, path: str, waiter: Waiter) -> str:
        if path.strip("/"):
            self._content(path)
        raise NotALink(path)

    def item(self, path: str, waiter: Waiter) -> tuple[Item, Facets] | None:
        if path.strip("/"):
            self._content(path)
        return None

    def open(self, path: str, waiter: Waiter) -> tuple[Attributes, OpenFile]:
        if not path.strip("/"):
            raise IsADirectory(path)
        file = BytesFile(self._content(path))
        return self._file_attributes(file.size), file

    def unlink(self, path: str, waiter: Waiter) -> None:
        if path.strip("/"):
            self._content(path)
        raise NotPermitted(path)

    def rmdir(self, path: str, waiter: Waiter) -> None:
        if path.strip("/"):
            self._content(path)
            raise NotADirectory(path)
        raise NotPermitted(path)

    def delete(self, path: str, waiter: Waiter) -> None:
        if not path.strip("/"):
            raise IsADirectory(path)
        self.unlink(path, waiter)

    def _content(self, path: str) -> bytes:
        """Return the status, if that is where a path leads."""
        first, *rest = filter(None, path.split("/"))
        if len(first.encode("utf-8", "surrogateescape")) > NAME_MAX:
            raise NameTooLong(path)
        if first != STATUS_NAME or self._status is None:
            raise NoSuchPath(path)
        if rest:
            raise NotADirectory(path)
        return self._status()

    def _file_attributes(self, size: int) -> Attributes:
        return Attributes(stat.S_IFREG, inode_of("status"), 1, size, self._born)


def resolve_links(
    tree: Filesystem, path: str, waiter: Waiter, *, last: bool = False
) -> tuple[str, Attributes]:
    """Return a path without the links on its way, and what is there.

    A mount is never asked for others: the kernel follows links itself.

    Args:
        tree: holds the path.
        path: from the root.
        waiter: the patience of the call.
        last: whether the last name of the path is followed, too.

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
    """Return where a path leads through the link on its way; `NotADirectory` if there is none."""
    above, below = posixpath.split(path.rstrip("/"))
    while above.strip("/"):
        try:
            return _joined(above, tree.readlink(above, waiter), below)
        except (NotALink, NotADirectory):
            above, name = posixpath.split(above)
            below = f"{name}/{below}"
    raise NotADirectory(path)


def _joined(link: str, *target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(link), *target))
