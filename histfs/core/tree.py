"""The tree of one source: resolves a path to a node and answers what is asked about it.

No FUSE, no network and no SQL here: the driver calls it, `Index` and `AudioStore` answer it.

Threads: any number at once. `_lock` guards the cache of listings, the one state of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import stat
import threading
from collections.abc import Callable, MutableMapping, Sequence
from typing import NamedTuple

from histfs.core.deletion import Deletions
from histfs.core.errors import (
    DirectoryNotEmpty,
    HistfsError,
    IsADirectory,
    NoSuchPath,
    NotADirectory,
    NotALink,
    NotComplete,
    NotPermitted,
    PluginFailed,
)
from histfs.core.files import ItemFile, ItemFolder, KnownSizeFile
from histfs.core.index import Index, Listed
from histfs.core.item import Facets, Item
from histfs.core.large_listing import LARGE, Contents, LargeListing
from histfs.core.names import item_name
from histfs.core.nodes import (
    ROOT_INODE,
    Attributes,
    BytesFile,
    DirEntry,
    OpenFile,
    directory,
    file_inode,
    inode_of,
    inodes_of,
)
from histfs.core.path_resolver import (
    Directory,
    ItemDirectory,
    ItemFileNode,
    ItemFolderNode,
    MoreNode,
    Path,
    PathResolver,
    Root,
)
from histfs.core.sizes import FileSize
from histfs.core.times import ALWAYS, Span, Zone
from histfs.core.views import MORE_NAME, MORE_TEXT, Search, View
from histfs.core.waiting import Waiter

#: How often a directory is read that changes while it is read.
_READINGS = 10


class Listing(NamedTuple):
    """The entries of a directory, and the version of the index of which they are."""

    version: int
    entries: Sequence[DirEntry]


Listings = MutableMapping[Path, Listing]


class Tree:
    """The items of one source, seen through their paths. Implements `core.forest.Folder`.

    Args:
        index: the items.
        removal: deletes them.
        views: the folders under the root; the first is where items have their home.
        files: what an item's directory holds, in the order in which it is listed.
        zone: for the times in names.
        links: whether the other views hold links to an item's home, or real directories.
        listings: a bounded cache of listings, by path.
        born: mtime of the root while there are no items, in seconds since the epoch.
        above: the names of the folders in which the root stands; they make its inodes its own.
        check: raises why nothing of the source can be listed; does nothing where it can.
    """

    def __init__(
        self,
        *,
        index: Index,
        removal: Deletions,
        views: Sequence[View],
        files: Sequence[ItemFile],
        zone: Zone,
        links: bool,
        listings: Listings,
        born: int,
        above: Path = (),
        check: Callable[[Waiter], None] = lambda _: None,
    ) -> None:
        self._index = index
        self._removal = removal
        self._resolver = PathResolver(
            index=index, removal=removal, views=views, files=files, zone=zone, links=links
        )
        self._resolve = self._resolver.resolve
        self._files_of = self._resolver.files_of
        self._lasting_name = self._resolver.lasting_name
        self._views = {view.name: view for view in views}
        self._home = views[0]
        self._real = [view for view in views if not self._resolver.links(view)]
        self._links = links
        self._zone = zone
        self._listings = listings
        self._born = born
        self._above = above
        self._check = check
        self._lock = threading.Lock()

    def stat(self, path: str, waiter: Waiter) -> Attributes:
        """Return the attributes of a path."""
        node = self._resolve(path, waiter)
        match node:
            case Root():
                return directory(self._inode_of("directory"), self._newest_of_all())
            case Directory():
                newest = self._born if node.newest is None else node.newest
                return directory(self._inode_of("directory", *node.path), newest)
            case ItemDirectory():
                if node.is_link:
                    size = len(self._target(node, waiter).encode())
                    return Attributes(stat.S_IFLNK, self._inode(node), 1, size, node.item.date)
                return directory(self._inode(node), node.item.date)
            case ItemFolderNode():
                return directory(self._inode_of("folder", *node.path), node.item.date)
            case ItemFileNode():
                return self._stat_file(node, waiter)
            case MoreNode():
                return self._more_attributes(node)

    def stat_files(self, path: str, waiter: Waiter) -> dict[str, Attributes]:
        """Return the attributes of an item's files by name, as far as they can be told."""
        node = self._resolve(path, waiter)
        files: dict[str, ItemFileNode] = {}
        if isinstance(node, ItemDirectory) and not node.is_link:
            for name, file in self._files_of(node.item).items():
                if not isinstance(file, ItemFolder):
                    lasting = self._lasting_name(node.item, file, name)
                    files[name] = ItemFileNode(node.item, file, lasting)
        elif isinstance(node, ItemFolderNode):
            files = self._resolver.members_of(node)
        found: dict[str, Attributes] = {}
        for name, each in files.items():
            with contextlib.suppress(HistfsError):
                found[name] = self._stat_file(each, waiter)
        return found

    def listdir(self, path: str, waiter: Waiter) -> Sequence[DirEntry] | LargeListing:
        """Return all entries of a directory, without ``.`` and ``..``.

        Raises:
            SourceError, NotComplete: the whole can't be told; a part never is.
        """
        node = self._resolve(path, waiter)
        match node:
            case Root():
                self._check(waiter)
                return [
                    self._entry_of((view.name,)) for view in self._views.values() if view.listed
                ]
            case Directory():
                return self._list_view(node, waiter)
            case ItemDirectory(is_link=False):
                item = node.item
                named = (
                    (name, file, self._lasting_name(item, file, name))
                    for name, file in self._files_of(item).items()
                )
                return [
                    DirEntry(name, stat.S_IFDIR, self._inode_of("folder", *node.path, name))
                    if isinstance(file, ItemFolder)
                    else DirEntry(name, stat.S_IFREG, self._file_inode(item, lasting))
                    for name, file, lasting in named
                ]
            case ItemFolderNode():
                return [
                    DirEntry(name, stat.S_IFREG, self._file_inode(node.item, member.name))
                    for name, member in self._resolver.members_of(node).items()
                ]
            case _:
                raise NotADirectory(path)

    def readlink(self, path: str, waiter: Waiter) -> str:
        """Return the target of a link, relative to the directory that holds it."""
        node = self._resolve(path, waiter)
        if isinstance(node, ItemDirectory) and node.is_link:
            return self._target(node, waiter)
        raise NotALink(path)

    def item(self, path: str, waiter: Waiter) -> tuple[Item, Facets] | None:
        """Return whose directory, link or file a path is, as far as it is known; None for none."""
        node = self._resolve(path, waiter)
        if not isinstance(node, ItemDirectory | ItemFolderNode | ItemFileNode):
            return None
        return node.item, self._index.facets(node.item)

    def open(self, path: str, waiter: Waiter) -> tuple[Attributes, OpenFile]:
        """Open a file for reading, and tell what it is."""
        node = self._resolve(path, waiter)
        if isinstance(node, MoreNode):
            return self._more_attributes(node), BytesFile(MORE_TEXT)
        if not isinstance(node, ItemFileNode):
            raise IsADirectory(path)
        file = node.file.open(node.item, waiter)
        return self._file_attributes(node, FileSize(file.size, is_exact=True)), file

    def unlink(self, path: str, waiter: Waiter) -> None:
        """Unlink a file: the audio takes the item with it, any other is hidden in this mount."""
        node = self._resolve(path, waiter)
        if not isinstance(node, ItemFileNode):
            # A view's link stays for as long as the item does; directories are for rmdir.
            raise NotPermitted(path)
        if node.file.deletes and self._removal.tombstone(node.item.key) is None:
            files = [node.file, *self._attached(node.item)]
            places = self._places(node.item)
            self._removal.delete(node.item, files, node.name, places, waiter)
        else:
            self._removal.hide(node.item, node.name)

    def rmdir(self, path: str, waiter: Waiter) -> None:
        """Remove a directory: only one whose item, or whose last item, was deleted here."""
        node = self._resolve(path, waiter)
        match node:
            case ItemDirectory(is_link=False):
                lingers = self._removal.tombstone(node.item.key) is not None
                left = self._files_of(node.item).values()
                # A folder may have shown up after `rm -r` read the directory, when the details were
                # fetched for the copy: what is left of a deleted item is its files alone.
                kept = any(not (lingers and isinstance(file, ItemFolder)) for file in left)
                if kept or not (lingers or self._removal.hidden(node.item)):
                    raise DirectoryNotEmpty(path)
                if not lingers:
                    # All its files were unlinked, and none was one that deletes: it has no audio.
                    self._removal.delete(node.item, (), "", self._places(node.item), waiter)
                self._removal.remove(node.item)
            case ItemFolderNode():
                if self._resolver.members_of(node):
                    raise DirectoryNotEmpty(path)
                self._removal.hide(node.item, node.name)
            case Directory():
                if node.view.newest(node.at, self._index) is not None or not node.at:
                    raise DirectoryNotEmpty(path)
                self._removal.remove_emptied(node.path)
            case Root():
                raise NotPermitted(path)
            case _:
                raise NotADirectory(path)

    def delete(self, path: str, waiter: Waiter) -> None:
        """Delete the item whose directory, or audio, a path is; nothing of it lingers."""
        node = self._resolve(path, waiter)
        match node:
            case Root() | Directory():
                raise IsADirectory(path)
            case ItemFolderNode():
                raise NotPermitted(path)
            case ItemFileNode(file=file) if not file.deletes:
                raise NotPermitted(path)
            case ItemDirectory(is_link=True) | MoreNode():
                raise NotPermitted(path)
        item = node.item
        if self._removal.tombstone(item.key) is not None:
            raise NoSuchPath(path)
        # An item without audio goes with its directory.
        deleting = [(name, file) for name, file in self._files_of(item).items() if file.deletes]
        files = [file for _, file in deleting[:1]]
        lasting = self._lasting_name(item, files[0], deleting[0][0]) if deleting else ""
        self._removal.delete(item, files, lasting, self._places(item), waiter)
        self._removal.remove(item)

    def _attached(self, item: Item) -> list[ItemFile]:
        """Return the files in an item's folders that were not unlinked."""
        nodes = [
            member
            for name, file in self._files_of(item).items()
            if isinstance(file, ItemFolder)
            for member in self._resolver.members_of(ItemFolderNode(item, file, name, ())).values()
        ]
        return [node.file for node in nodes]

    def _stat_file(self, node: ItemFileNode, waiter: Waiter) -> Attributes:
        try:
            if isinstance(node.file, KnownSizeFile):
                size = node.file.known_size(node.item, waiter)
            else:
                size = FileSize(node.file.size(node.item, waiter), is_exact=False)
        except NoSuchPath:
            # What lingers is there to be unlinked, also where its details are gone.
            if self._removal.tombstone(node.item.key) is None:
                raise
            size = FileSize(0, is_exact=False)
        return self._file_attributes(node, size)

    def _file_attributes(self, node: ItemFileNode, size: FileSize) -> Attributes:
        item, inode = node.item, self._file_inode(node.item, node.name)
        links = self._link_count(item)
        return Attributes(stat.S_IFREG, inode, links, size.size, item.date, size.is_exact)

    def _link_count(self, item: Item) -> int:
        """Return the number of directories, not links, in which an item's files can be reached."""
        if self._links:
            return 1
        # At least one for each view: what was just deleted has no places any more.
        return sum(max(len(self._places_in(view, item)), 1) for view in self._real)

    def _places(self, item: Item) -> list[Path]:
        """Return the directories that hold an item or a link to it, as far as they can be told."""
        complete = self._index.complete(ALWAYS)
        views = (view for view in self._views.values() if complete or not view.whole)
        return [(view.name, *at) for view in views for at in self._places_in(view, item)]

    def _places_in(self, view: View, item: Item) -> Sequence[Path]:
        """Return the directories of a view that hold an item; none where the view fails.

        A view that fails must not keep an item of another view from being read or deleted.
        """
        with contextlib.suppress(PluginFailed):
            return view.places(item, self._index)
        return ()

    # Listing

    def _list_view(self, node: Directory, waiter: Waiter) -> Sequence[DirEntry] | LargeListing:
        span = node.view.span(node.at)
        if span is None:
            raise NoSuchPath("/".join(node.path))
        node.view.prepare(node.at, self._index, waiter)
        for _ in range(_READINGS):
            version = self._index.version
            with self._lock:
                kept = self._listings.get(node.path)
            if kept is not None and self._index.unchanged(span, kept.version):
                return kept.entries
            entries = self._read_view(node, span, version)
            # What was read while it changed may hold a part of what there was at any time.
            listable = node.view.listable(node.at, self._index)
            same = version == self._index.version or self._index.unchanged(span, version)
            if listable and same:
                if isinstance(entries, LargeListing):
                    return entries
                with self._lock:
                    self._listings[node.path] = Listing(version, entries)
                return entries
            node.view.prepare(node.at, self._index, waiter)
        raise NotComplete(f"{'/'.join(node.path)} changes faster than it can be listed")

    def _read_view(
        self, node: Directory, span: Span, version: int
    ) -> Sequence[DirEntry] | LargeListing:
        """Read a directory; of a large one only the beginning.

        Args:
            node: the directory.
            span: on which it depends.
            version: of the index before anything is read.
        """
        view, at = node.view, node.at
        if len(at) < view.depth:
            names = view.subdirectories(at, self._index)
            return [self._entry_of((*node.path, name)) for name in names]
        only_links, linked = self._resolver.links(view), self._resolver.linked(view, at)

        link_inode, item_inode = (
            inodes_of(kind, *self._above, *node.path) for kind in ("link", "item")
        )

        def entry(item: Listed, name: str | None = None) -> DirEntry:
            name = name or item_name(item.date, item.slug, item.key, self._zone)
            if only_links or item.key in linked:
                return DirEntry(name, stat.S_IFLNK, link_inode(item.key))
            inode = item_inode(item.key)
            return DirEntry(name, stat.S_IFDIR, inode, directory(inode, item.date))

        if view.aliased:
            return [entry(item, name) for name, item in view.aliases(at, self._index)]
        rest = view.items(at, self._index)
        first = list(itertools.islice(rest, LARGE + 1))
        if len(first) <= LARGE:
            entries = list(map(entry, first))
            if isinstance(view, Search) and view.more(at, self._index):
                path = (*node.path, MORE_NAME)
                entries.append(DirEntry(MORE_NAME, stat.S_IFREG, self._inode_of("more", *path)))
            return entries
        contents = Contents(view, at, self._index, span, entry)
        return LargeListing(contents, first, rest, version)

    def _more_attributes(self, node: MoreNode) -> Attributes:
        inode = self._inode_of("more", *node.path)
        return Attributes(stat.S_IFREG, inode, 1, len(MORE_TEXT), self._newest_of_all())

    def _entry_of(self, path: Path) -> DirEntry:
        return DirEntry(path[-1], stat.S_IFDIR, self._inode_of("directory", *path))

    def _inode(self, node: ItemDirectory) -> int:
        # An item may stand in several directories of a view, each time with an inode of its own.
        above = node.path[:-1]
        return self._inode_of("link" if node.is_link else "item", *above, node.item.key)

    def _inode_of(self, kind: str, *names: str) -> int:
        return inode_of(kind, *self._above, *names) if self._above or names else ROOT_INODE

    def _file_inode(self, item: Item, name: str) -> int:
        return file_inode((*self._above, item.key), name)

    def _target(self, node: ItemDirectory, waiter: Waiter) -> str:
        item = node.item
        if self._home.whole and not self._home.listable((), self._index):
            self._home.prepare((), self._index, waiter)
        name = item_name(item.date, item.slug, item.key, self._zone)
        home = (*(self._home.home(item, self._index) or ()), name)
        up = [".."] * (len(node.path) - 2)
        if node.path[0] != self._home.name:
            up += ["..", self._home.name]
        return "/".join([*up, *home])

    def _newest_of_all(self) -> int:
        newest = self._index.newest(ALWAYS)
        return self._born if newest is None else newest
