"""The path resolver: finds the node of a path.

    /                               the views
    /VIEW/…                         a view's directories, `View.depth` levels of them
    /VIEW/…/ITEM                    an item's directory in the first view; a link to it in the
                                    other views, and in further directories of the first view
    /VIEW/…/ITEM/FILE               an item file
    /VIEW/…/ITEM/FOLDER/FILE        a file in one of an item's folders

The audio's extension may change when the audio is fetched. Directories then list the new name; the
old name still resolves, for programs that list first and open later.

A walk resolves the same directory for each file in it, so nodes of directories are cached. An entry
is valid while the index is unchanged in the span on which the entry depends. An item carries no
size of its audio, which may become known meanwhile.

Once a day was listed, the first item of it that is resolved resolves the others, for a walk.

Threads: any number at once; the caches are the only state, and guard themselves.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence, Set
from typing import NamedTuple

from histfs.core.deletion import Deletions
from histfs.core.errors import NameTooLong, NoSuchPath, NotADirectory
from histfs.core.files import AudioFile, ItemFile, ItemFolder, by_name
from histfs.core.generational_cache import GenerationalCache
from histfs.core.index import Index
from histfs.core.item import Item
from histfs.core.name_forms import key_in
from histfs.core.names import NAME_MAX, item_name, moments_in
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
from histfs.core.times import ALWAYS, Span, Zone
from histfs.core.views import MORE_NAME, ByDate, Search, View
from histfs.core.waiting import Waiter

#: Paths in a generation of the cache of nodes, less than 1 KB each; it holds two generations.
PATHS = 8192
#: Listed days, by path: from when on items are still to be resolved; and how many are at once.
_LISTED, _TOGETHER = 1024, 1000
#: Seconds for which the node of a view's directory is valid. It may depend on more than the index:
#: the hits of a search are dropped after a while.
_DIRECTORY_TTL = 1.0


class _CachedNode(NamedTuple):
    """A node in the cache.

    Attributes:
        node: the node.
        created: when a view's directory was resolved, in seconds of the monotonic clock.
        span: of the index, on which it depends.
        version: of the index, at which it was known to be valid.
    """

    node: Directory | ItemDirectory
    created: float
    span: Span
    version: int


class PathResolver:
    """Finds the nodes of paths.

    Args:
        index: the items.
        deletions: knows the tombstones and the hidden files of this mount.
        views: the folders under the root; the first is where items have their home.
        files: the files of an item's directory, in the order in which it lists them.
        zone: for the times in names.
        links: whether the other views hold links to an item's home, or real directories.
        clock: seconds, monotonic.
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._index = index
        self._deletions = deletions
        self._views = {view.name: view for view in views}
        self._home = views[0]
        self._files = files
        self._zone = zone
        self._links = links
        self._clock = clock
        self._nodes = GenerationalCache[str, _CachedNode](math.inf, max_entries=PATHS)
        self._listed = GenerationalCache[str, int](math.inf, max_entries=_LISTED)

    def resolve(self, path: str, waiter: Waiter) -> Node:
        """Return the node of a path.

        Args:
            path: from the root, which is ``/`` or empty.
            waiter: limits the wait for what is not known yet.

        Raises:
            NoSuchPath, NotADirectory, NameTooLong: nothing has this path.
            SourceError, NotComplete: whether anything has this path is not known.
        """
        node = self._cached(path)
        if node is not None:
            return node
        # The common case: a file of an item whose directory was resolved a moment ago.
        parent, _, name = path.rpartition("/")
        child = self._child(self._cached(parent), name)
        if child is not None:
            return child
        parts = tuple(filter(None, path.split("/")))
        if not parts:
            return Root()
        if _has_long(parts, path):
            raise NameTooLong(path)
        view = self._views.get(parts[0])
        if view is None:
            raise NoSuchPath(path)
        bottom = 1 + view.depth
        if isinstance(view, Search) and parts[bottom : bottom + 1] == (MORE_NAME,):
            return self._resolve_more(view, parts, waiter)
        node = self._resolve_cached(view, parts[: bottom + 1], waiter)
        if len(parts) <= bottom + 1:
            return node
        if not isinstance(node, ItemDirectory) or node.is_link:
            raise NotADirectory(path)
        name, *rest = parts[bottom + 1 :]
        child = self._child(node, name) or self._unknown_folder(node, name, waiter)
        if child is None:
            raise NoSuchPath(path)
        return self._descend(child, rest, path)

    def is_lasting(self, path: str) -> bool:
        """Say whether a path that was resolved, of an item, depends on the index alone."""
        return self._nodes.get(path) is not None

    def expect(self, node: Directory) -> None:
        """Note that a directory was listed: its items may be resolved next."""
        view = node.view
        if view is self._home and isinstance(view, ByDate) and len(node.at) == view.depth:
            self._listed.put("/" + "/".join(node.path), ALWAYS.start)

    def links(self, view: View) -> bool:
        """Say whether a view holds links alone; a view that doesn't show every item always does."""
        return view is not self._home and (self._links or not view.total)

    def linked(self, view: View, at: Path) -> Set[str]:
        """Return the keys of the items that are links in a directory of the home view."""
        if self._links and view is self._home:
            return view.linked(at, self._index)
        return frozenset()

    def children(self, item: Item, path: Path = ()) -> dict[str, ItemFileNode | ItemFolderNode]:
        """Return the files and folders that an item's directory shows, by their listed names.

        Args:
            item: the item.
            path: of its directory, for the paths of the folders.
        """
        named = self._files_of(item).items()
        return {name: self._node(item, path, name, file) for name, file in named}

    def members(self, folder: ItemFolderNode) -> dict[str, ItemFileNode]:
        """Return the files that a folder of an item shows, by their names in the folder."""
        item, hidden = folder.item, self._deletions.hidden(folder.item)
        nodes = {
            name: ItemFileNode(item, file, f"{folder.name}/{name}")
            for name, file in folder.folder.members(item).items()
        }
        return {name: node for name, node in nodes.items() if node.name not in hidden}

    def folder_files(self, item: Item) -> list[ItemFile]:
        """Return the files in an item's folders that are not hidden."""
        children = self.children(item).values()
        folders = (child for child in children if isinstance(child, ItemFolderNode))
        return [node.file for each in folders for node in self.members(each).values()]

    def _files_of(self, item: Item) -> dict[str, ItemFile]:
        """Return the files and folders of an item that are not hidden, by their listed names."""
        named, hidden = by_name(self._files, item), self._deletions.hidden(item)
        if not hidden:
            return named
        return {
            name: file
            for name, file in named.items()
            if _lasting_name(item, name, file) not in hidden
        }

    def _node(
        self, item: Item, path: Path, name: str, file: ItemFile
    ) -> ItemFileNode | ItemFolderNode:
        if isinstance(file, ItemFolder):
            return ItemFolderNode(item, file, name, (*path, name))
        return ItemFileNode(item, file, _lasting_name(item, name, file))

    def _child(self, node: Node | None, name: str) -> ItemFolderNode | ItemFileNode | None:
        """Return a file or folder of an item's directory, by its listed or its lasting name."""
        if not isinstance(node, ItemDirectory) or node.is_link:
            return None
        item, files = node.item, self._files_of(node.item)
        file = files.get(name)
        if file is None:
            lasting = ((_lasting_name(item, listed, file), file) for listed, file in files.items())
            file = next((file for known, file in lasting if known == name), None)
        return None if file is None else self._node(item, node.path, name, file)

    def _unknown_folder(
        self, node: ItemDirectory, name: str, waiter: Waiter
    ) -> ItemFolderNode | ItemFileNode | None:
        """Return a folder of an item of which it is not known yet whether it exists.

        A listing shows the folder only once that is known; a lookup of its name finds it out.
        """
        item = node.item
        for file in self._files:
            if isinstance(file, ItemFolder) and file.name == name:
                unknown = self._index.full_revision(item) is None
                if unknown and self._deletions.tombstone(item.key) is None:
                    file.ensure_members(item, waiter)
                    return self._child(node, name)
        return None

    def _descend(
        self, node: ItemFolderNode | ItemFileNode, rest: Sequence[str], path: str
    ) -> ItemFolderNode | ItemFileNode:
        """Return the node that the rest of a path leads to from an item's file or folder."""
        if not rest:
            return node
        if isinstance(node, ItemFileNode):
            raise NotADirectory(path)
        member = self.members(node).get(rest[0])
        if member is None:
            raise NoSuchPath(path)
        return self._descend(member, rest[1:], path)

    def _resolve_more(self, view: Search, parts: Path, waiter: Waiter) -> MoreNode:
        at = parts[1:2]
        view.ensure(at, self._index, waiter)
        if not view.more(at, self._index):
            raise NoSuchPath("/".join(parts))
        if len(parts) > 1 + view.depth + 1:
            raise NotADirectory("/".join(parts))
        return MoreNode(parts)

    def _resolve_cached(self, view: View, parts: Path, waiter: Waiter) -> Directory | ItemDirectory:
        """Return the node of a view's directory, or of an item's; cache it."""
        path = "/" + "/".join(parts)
        cached = self._cached(path)
        if cached is not None:
            return cached
        version = self._index.recent_version
        node: Directory | ItemDirectory
        if len(parts) <= 1 + view.depth:
            node = self._resolve_directory(view, parts, waiter)
            at, deleted = node.at, self._deletions.directory_tombstone(parts) is not None
        elif self._resolve_together(view, parts[:-1], version) and (cached := self._cached(path)):
            return cached
        else:
            node = self._resolve_item(view, parts, waiter)
            at, deleted = parts[1:-1], self._deletions.tombstone(node.item.key) is not None
        span = view.span(at)
        # A tombstone expires, with no change of the index.
        if span is not None and not deleted:
            self._nodes.put(path, _CachedNode(node, self._clock(), span, version))
        return node

    def _resolve_together(self, view: View, directory: Path, version: int) -> bool:
        """Resolve items of a day that was listed; return whether there were any left."""
        path, at = "/" + "/".join(directory), directory[1:]
        since = self._listed.get(path)
        span = None if since is None else view.span(at)
        if since is None or span is None or since >= span.end:
            return False
        wanted = Span(max(since, span.start), span.end)
        items = list(itertools.islice(self._index.items(wanted), _TOGETHER))
        for item in items:
            if self._deletions.tombstone(item.key) is None and view.holds(at, item, self._index):
                name = item_name(item.date, item.slug, item.key, self._zone)
                node = ItemDirectory(item, (*directory, name), is_link=False)
                self._nodes.put(f"{path}/{name}", _CachedNode(node, 0.0, span, version))
        is_full = len(items) == _TOGETHER
        self._listed.put(path, max(items[-1].date, wanted.start + 1) if is_full else span.end)
        return True

    def _cached(self, path: str) -> Directory | ItemDirectory | None:
        """Return the node of a path from the cache, if it is still valid."""
        cached = self._nodes.get(path)
        if cached is None:
            return None
        version = self._index.recent_version
        if version != cached.version:
            if not self._index.unchanged(cached.span, cached.version):
                return None
            self._nodes.put(path, cached._replace(version=version))
        if isinstance(cached.node, Directory):
            return cached.node if self._clock() - cached.created < _DIRECTORY_TTL else None
        # A deleted item is still in the index if the catalog could not be written.
        deleted = self._deletions.tombstone(cached.node.item.key) is not None
        return None if deleted else cached.node

    def _resolve_directory(self, view: View, parts: Path, waiter: Waiter) -> Directory:
        at = parts[1:]
        span = view.span(at)
        if span is None:
            raise NoSuchPath("/".join(parts))
        if not at:
            return Directory(view, parts, self._index.newest(ALWAYS))
        newest = view.newest(at, self._index) if view.knows_newest(at, self._index) else None
        if newest is None and (tombstone := self._deletions.directory_tombstone(parts)):
            newest = tombstone.mtime
        if newest is None:
            view.ensure_newest(at, self._index, waiter)
            newest = view.newest(at, self._index)
        if newest is None:
            raise NoSuchPath("/".join(parts))
        return Directory(view, parts, newest)

    def _resolve_item(self, view: View, parts: Path, waiter: Waiter) -> ItemDirectory:
        at, name = parts[1:-1], parts[-1]
        dates = self._dates(view, at, name)
        if not (view.aliased or dates):
            raise NoSuchPath("/".join(parts))
        if view.whole_history and not view.complete(at, self._index):
            view.ensure(at, self._index, waiter)
        item = self._find(view, at, name, dates)
        if item is None:
            # It may be newer than the last refresh.
            view.ensure(at, self._index, waiter)
            item = self._find(view, at, name, dates)
        if item is None:
            raise NoSuchPath("/".join(parts))
        if self._deletions.tombstone(item.key) is not None:
            # `rm -r` must find the rest of a deleted item in its directory. Links are gone.
            if self.links(view) or not self._was_home(item, parts[:-1]):
                raise NoSuchPath("/".join(parts))
            return ItemDirectory(item, parts, is_link=False)
        if not view.holds(at, item, self._index):
            raise NoSuchPath("/".join(parts))
        elsewhere = self._links and view is self._home and view.home(item, self._index) != at
        return ItemDirectory(item, parts, self.links(view) or elsewhere)

    def _was_home(self, item: Item, directory: Path) -> bool:
        """Say whether a directory held a deleted item's own directory, not a link to it."""
        tombstone = self._deletions.tombstone(item.key) if self._links else None
        held = tombstone.directories if tombstone else ()
        return directory == next((path for path in held if path[0] == self._home.name), directory)

    def _find(self, view: View, at: Path, name: str, dates: Sequence[int]) -> Item | None:
        """Find the item with a name in a directory, among the dates that the name stands for."""
        if view.aliased:
            aliases = view.aliases(at, self._index)
            listed = next((listed for alias, listed in aliases if alias == name), None)
            return listed and self._index.find(listed.key, listed.date)
        key = key_in(name) or ""
        found = (self._index.find(key, date) for date in dates)
        item = next(filter(None, found), None)
        if item is None and (tombstone := self._deletions.tombstone(key)):
            item = tombstone.item
        own = item and item_name(item.date, item.slug, item.key, self._zone)
        return item if own == name else None

    def _dates(self, view: View, at: Path, name: str) -> list[int]:
        """Return the dates that an item with this name may have; none if no item is called so."""
        span = view.span(at)
        if span is None or key_in(name) is None:
            return []
        return [date for date in moments_in(name, self._zone) if span.holds(date)]


def _lasting_name(item: Item, listed: str, file: ItemFile) -> str:
    """Return the lasting name of a file; see `ItemFileNode`."""
    return file.lasting_name(item) if isinstance(file, AudioFile) else listed


def _has_long(parts: Path, path: str) -> bool:
    """Say whether a component exceeds `NAME_MAX`; most paths are shorter as a whole."""
    if len(path) <= NAME_MAX and path.isascii():
        return False
    return any(len(part.encode("utf-8", "surrogateescape")) > NAME_MAX for part in parts)
