"""The tree of one source: answers filesystem calls by path, without FUSE, network or SQL.

`PathResolver` finds the node of a path; the tree turns nodes into attributes, listings and open
files, and decides what unlink and rmdir do.

Threads: any number at once; no state of its own.
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Callable, Mapping, MutableMapping, Sequence

from histfs.core.deletion import Deletions
from histfs.core.errors import (
    DirectoryNotEmpty,
    HistfsError,
    IsADirectory,
    NoSuchPath,
    NotADirectory,
    NotALink,
    NotPermitted,
    PluginFailed,
)
from histfs.core.files import ItemFile, StreamedFile, size_for
from histfs.core.index import Index
from histfs.core.inodes import TreeInodes
from histfs.core.item import Facets, Item
from histfs.core.large_listing import LargeListing
from histfs.core.listed_directories import ListedDirectories
from histfs.core.names import item_name
from histfs.core.nodes import (
    Attributes,
    BytesFile,
    DirEntry,
    FileStream,
    OpenFile,
    WholeFile,
    directory,
)
from histfs.core.path_nodes import (
    Directory,
    ItemDirectory,
    ItemFileNode,
    ItemFolderNode,
    MoreNode,
    Node,
    Path,
    Root,
)
from histfs.core.path_resolver import PathResolver
from histfs.core.sizes import FileSize
from histfs.core.times import ALWAYS, Zone
from histfs.core.view_listings import Listing, ViewListings
from histfs.core.views import MORE_TEXT, View
from histfs.core.waiting import Waiter


class Tree:
    """The items of one source as a filesystem. Implements `Filesystem`.

    Args:
        index: the items.
        deletions: deletes items.
        views: the folders under the root; the first is where items have their home.
        files: the files of an item's directory, in the order in which it lists them.
        zone: for the times in names.
        links: whether the other views hold links to an item's home, or real directories.
        listings: a bounded cache of listings, by path.
        born: mtime of the root while there are no items, in seconds since the epoch.
        above: the names of the folders in which the root stands; they make its inodes unique.
        check: raises the error that keeps the source from being listed, if there is one.
        names_elsewhere: returns how many names outside of the tree are links to a file.
        listed: notes in which order directories list their items; None where nothing reads ahead.
    """

    def __init__(
        self,
        *,
        index: Index,
        deletions: Deletions,
        views: Sequence[View],
        files: Sequence[ItemFile],
        zone: Zone,
        links: bool,
        listings: MutableMapping[Path, Listing],
        born: int,
        above: Path = (),
        check: Callable[[Waiter], None] = lambda _: None,
        names_elsewhere: Callable[[ItemFileNode], int] = lambda _: 0,
        listed: ListedDirectories | None = None,
    ) -> None:
        self._index = index
        self._deletions = deletions
        self._resolver = PathResolver(
            index=index, deletions=deletions, views=views, files=files, zone=zone, links=links
        )
        self._views = {view.name: view for view in views}
        self._home = views[0]
        self._links = links
        self._zone = zone
        self._born = born
        self.inodes = TreeInodes(index, above)
        listed = listed or ListedDirectories()
        self._listings = ViewListings(
            index, self._resolver, self.inodes, zone, listings, listed=listed
        )
        self._check = check
        self._names_elsewhere = names_elsewhere

    def stat(self, path: str, waiter: Waiter) -> Attributes:
        """Return the attributes of a path."""
        node = self._resolver.resolve(path, waiter)
        match node:
            case Root():
                return directory(self.inodes.root(), self._newest_of_all())
            case Directory():
                newest = self._born if node.newest is None else node.newest
                return directory(self.inodes.directory(node.view, node.path), newest)
            case ItemDirectory():
                inode = self.inodes.item(self._views[node.path[0]], node)
                lasting = self._resolver.is_lasting(path)
                if not node.is_link:
                    return directory(inode, node.item.date, is_lasting=lasting)
                size = len(self._target(node, waiter).encode())
                return Attributes(stat.S_IFLNK, inode, 1, size, node.item.date, is_lasting=lasting)
            case ItemFolderNode():
                return directory(self.inodes.folder("folder", node.path), node.item.date)
            case ItemFileNode():
                attributes = self._stat_file(node, waiter)
                return self._lasting(path.rpartition("/")[0], attributes)
            case MoreNode():
                return self._more_attributes(node)

    def stat_files(self, path: str, waiter: Waiter) -> dict[str, Attributes]:
        """Return the attributes of an item's files by name, without those that fail."""
        found: dict[str, Attributes] = {}
        inode = None
        for name, child in self._children(self._resolver.resolve(path, waiter)).items():
            if isinstance(child, ItemFileNode):
                inode = inode or self.inodes.files_of(child.item)
                with contextlib.suppress(HistfsError):
                    attributes = self._stat_file(child, waiter, inode(child))
                    found[name] = self._lasting(path, attributes)
        return found

    def listdir(self, path: str, waiter: Waiter) -> Sequence[DirEntry] | LargeListing:
        """Return all entries of a directory, without ``.`` and ``..``."""
        node = self._resolver.resolve(path, waiter)
        match node:
            case Root():
                self._check(waiter)
                views = (view for view in self._views.values() if view.listed)
                return [self._listings.entry(view, (view.name,)) for view in views]
            case Directory():
                listing = self._listings.list(node, waiter)
                self._resolver.expect(node)
                return listing
            case ItemDirectory(is_link=False) | ItemFolderNode():
                return self._list_item(node)
            case _:
                raise NotADirectory(path)

    def readlink(self, path: str, waiter: Waiter) -> str:
        """Return the target of a link, relative to the directory that holds it."""
        node = self._resolver.resolve(path, waiter)
        if isinstance(node, ItemDirectory) and node.is_link:
            return self._target(node, waiter)
        raise NotALink(path)

    def item(self, path: str, waiter: Waiter) -> tuple[Item, Facets] | None:
        """Return the item to which a path belongs, with its facets; None where there is none."""
        node = self._resolver.resolve(path, waiter)
        if not isinstance(node, ItemDirectory | ItemFolderNode | ItemFileNode):
            return None
        return node.item, self._index.facets(node.item)

    def open(self, path: str, waiter: Waiter) -> tuple[Attributes, OpenFile]:
        """Open a file for reading, and return its attributes."""
        node = self._resolver.resolve(path, waiter)
        if isinstance(node, MoreNode):
            return self._more_attributes(node), BytesFile(MORE_TEXT)
        if not isinstance(node, ItemFileNode):
            raise IsADirectory(path)
        file = node.file.open(node.item, waiter)
        attributes = self.file_attributes(node, FileSize(file.size, is_exact=True))
        return self._lasting(path.rpartition("/")[0], attributes), file

    def stream(self, path: str, waiter: Waiter) -> FileStream:
        """Open a file to be read as its bytes come."""
        node = self._resolver.resolve(path, waiter)
        if isinstance(node, ItemFileNode) and isinstance(node.file, StreamedFile):
            return node.file.stream(node.item, waiter)
        return WholeFile(self.open(path, waiter)[1])

    def refresh(self, path: str) -> None:
        """Have the listings below a path requested when they are needed."""
        name, *at = path.strip("/").split("/")
        view = self._views.get(name)
        # What stands below a day, an item and its files, depends on the day.
        spans = () if view is None else (view.span(tuple(at[:n])) for n in range(len(at), -1, -1))
        self._index.mark_stale(next((span for span in spans if span is not None), ALWAYS))

    def unlink(self, path: str, waiter: Waiter) -> None:
        """Unlink a file: the audio deletes the item, any other file is hidden in this mount."""
        node = self._resolver.resolve(path, waiter)
        if not isinstance(node, ItemFileNode):
            # A view's link stays as long as its item; directories are for rmdir.
            raise NotPermitted(path)
        item = node.item
        if node.file.deletes and self._deletions.tombstone(item.key) is None:
            files = [node.file, *self._resolver.folder_files(item)]
            self._deletions.delete(item, files, node.name, self._places(item), waiter)
        else:
            self._deletions.hide(item, node.name)

    def rmdir(self, path: str, waiter: Waiter) -> None:
        """Remove the directory of an item, or of a view, whose contents were deleted here."""
        node = self._resolver.resolve(path, waiter)
        match node:
            case ItemDirectory(is_link=False, item=item):
                deleted = self._deletions.tombstone(item.key) is not None
                children = self._resolver.children(item).values()
                # A folder of a deleted item may have appeared after `rm -r` had read the directory:
                # the details were fetched for the copy. Only files count then.
                kept = any(not (deleted and isinstance(c, ItemFolderNode)) for c in children)
                if kept or not (deleted or self._deletions.hidden(item)):
                    raise DirectoryNotEmpty(path)
                if not deleted:
                    # All files were unlinked, and none of them deleted the item: it has no audio.
                    self._deletions.delete(item, (), "", self._places(item), waiter)
                self._deletions.drop_tombstone(item)
            case ItemFolderNode():
                if self._resolver.members(node):
                    raise DirectoryNotEmpty(path)
                self._deletions.hide(node.item, node.name)
            case Directory():
                if node.view.newest(node.at, self._index) is not None or not node.at:
                    raise DirectoryNotEmpty(path)
                self._deletions.drop_directory_tombstone(node.path)
            case Root():
                raise NotPermitted(path)
            case _:
                raise NotADirectory(path)

    def delete(self, path: str, waiter: Waiter) -> None:
        """Delete the item whose directory, or audio, a path is; leaves no tombstone of the item."""
        node = self._resolver.resolve(path, waiter)
        match node:
            case Root() | Directory():
                raise IsADirectory(path)
            case ItemFolderNode() | MoreNode() | ItemDirectory(is_link=True):
                raise NotPermitted(path)
            case ItemFileNode(file=file) if not file.deletes:
                raise NotPermitted(path)
        item = node.item
        if self._deletions.tombstone(item.key) is not None:
            raise NoSuchPath(path)
        children = self._resolver.children(item).values()
        audio = (c for c in children if isinstance(c, ItemFileNode) and c.file.deletes)
        # An item without audio is deleted with its directory.
        files, name = next((([child.file], child.name) for child in audio), ([], ""))
        self._deletions.delete(item, files, name, self._places(item), waiter)
        self._deletions.drop_tombstone(item)

    def _children(self, node: Node) -> Mapping[str, ItemFileNode | ItemFolderNode]:
        """Return what the directory, or the folder, of an item holds; nothing for other nodes."""
        match node:
            case ItemDirectory(is_link=False):
                return self._resolver.children(node.item, node.path)
            case ItemFolderNode():
                return self._resolver.members(node)
            case _:
                return {}

    def files(self, item: Item) -> Mapping[str, ItemFileNode]:
        """Return the files in an item's directory that are not hidden, by their listed names."""
        children = self._resolver.children(item).items()
        return {name: node for name, node in children if isinstance(node, ItemFileNode)}

    def _lasting(self, directory: str, attributes: Attributes) -> Attributes:
        """Return the attributes of a file in an item's directory, marked if they are lasting."""
        if attributes.size_is_exact and self._resolver.is_lasting(directory):
            return attributes._replace(is_lasting=True)
        return attributes

    def _stat_file(self, node: ItemFileNode, waiter: Waiter, inode: int = 0) -> Attributes:
        try:
            size = size_for(node.file, node.item, waiter)
        except NoSuchPath:
            # `rm -r` stats the files of a deleted item, whose details may be gone.
            if self._deletions.tombstone(node.item.key) is None:
                raise
            size = FileSize(0, is_exact=False)
        return self.file_attributes(node, size, inode)

    def file_attributes(self, node: ItemFileNode, size: FileSize, inode: int = 0) -> Attributes:
        """Return the attributes of an item's file.

        Args:
            node: the file.
            size: its size.
            inode: its inode; 0 where it is not known yet.
        """
        inode = inode or self.inodes.file(node)
        links = self._link_count(node.item) + self._names_elsewhere(node)
        return Attributes(stat.S_IFREG, inode, links, size.size, node.item.date, size.is_exact)

    def _link_count(self, item: Item) -> int:
        """Return the number of real directories in which an item's files stand."""
        if self._links:
            return 1
        # At least one for each view: a deleted item has no places any more.
        real = (view for view in self._views.values() if not self._resolver.links(view))
        return sum(max(len(self._places_in(view, item)), 1) for view in real)

    def _places(self, item: Item) -> list[Path]:
        """Return the directories that hold an item or a link to it, as far as they are known."""
        complete = self._index.complete(ALWAYS)
        views = (view for view in self._views.values() if complete or not view.whole_history)
        return [(view.name, *at) for view in views for at in self._places_in(view, item)]

    def _places_in(self, view: View, item: Item) -> Sequence[Path]:
        """Return the directories of a view that hold an item; none if the view's plugin fails."""
        # A fault of one view must not fail a call on an item in another view.
        with contextlib.suppress(PluginFailed):
            return view.places(item, self._index)
        return ()

    def _more_attributes(self, node: MoreNode) -> Attributes:
        inode = self.inodes.folder("more", node.path)
        return Attributes(stat.S_IFREG, inode, 1, len(MORE_TEXT), self._newest_of_all())

    def _list_item(self, node: ItemDirectory | ItemFolderNode) -> list[DirEntry]:
        inode = self.inodes.files_of(node.item)
        return [
            DirEntry(name, stat.S_IFDIR, self.inodes.folder("folder", child.path))
            if isinstance(child, ItemFolderNode)
            else DirEntry(name, stat.S_IFREG, inode(child))
            for name, child in self._children(node).items()
        ]

    def _target(self, node: ItemDirectory, waiter: Waiter) -> str:
        item = node.item
        if self._home.whole_history and not self._home.complete((), self._index):
            self._home.ensure((), self._index, waiter)
        name = item_name(item.date, item.slug, item.key, self._zone)
        home = (*(self._home.home(item, self._index) or ()), name)
        up = [".."] * (len(node.path) - 2)
        if node.path[0] != self._home.name:
            up += ["..", self._home.name]
        return "/".join([*up, *home])

    def _newest_of_all(self) -> int:
        return self._born if (newest := self._index.newest(ALWAYS)) is None else newest
