"""Paths: what each of them stands for.

    /                               the views
    /VIEW/…                         a view's directories, `View.depth` levels of them
    /VIEW/…/ITEM                    an item's directory in the first view, elsewhere a link to it;
                                    a link, too, where the first view shows it once more
    /VIEW/…/ITEM/FILE               an item file
    /VIEW/…/ITEM/FOLDER/FILE        a file in one of an item's folders

The audio's ending may turn out to be another once it is fetched. Directories list the new name
then; the former one still leads to the file, so that a program that lists first and opens later
finds it.

A walk asks for the same directory again and again, once for each file in it, and the next walk
does: what a path stood for is kept for as long as nothing has changed that it depends on. The size
of an item's audio may become known meanwhile: `AudioStore` remembers those.

Threads: any number at once; `GenerationalCache` guards itself, and there is no other state.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

from histfs.core.deletion import Deletions
from histfs.core.errors import NameTooLong, NoSuchPath, NotADirectory
from histfs.core.files import AudioFile, ItemFile, ItemFolder, by_name
from histfs.core.generational_cache import GenerationalCache
from histfs.core.index import Index
from histfs.core.item import Item
from histfs.core.names import NAME_MAX, item_name, key_in, moments_in
from histfs.core.times import ALWAYS, Span, Zone
from histfs.core.views import MORE_NAME, Search, View
from histfs.core.waiting import Waiter

#: Paths of which it is remembered what they stand for, less than 1 KB each; up to twice as many.
PATHS = 8192
#: Seconds for which that is so of a directory. Whether there is one may depend on more than the
#: index: a search is forgotten after a while.
_MEMORY = 1.0

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Root:
    """The root."""


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory of a view, and the date of its newest item; None while there are no items."""

    view: View
    path: Path
    newest: int | None

    @property
    def at(self) -> Path:
        """The directory as the view names it."""
        return self.path[1:]


@dataclass(frozen=True, slots=True)
class ItemDirectory:
    """An item's directory, or the link that stands for it in another view."""

    item: Item
    path: Path
    is_link: bool


@dataclass(frozen=True, slots=True)
class ItemFileNode:
    """One file of an item.

    Attributes:
        item: the item.
        file: the file.
        name: its path in the item's directory, with its lasting name, which may not be the listed
            one; see `PathResolver.lasting_name`.
    """

    item: Item
    file: ItemFile
    name: str


@dataclass(frozen=True, slots=True)
class ItemFolderNode:
    """A folder in an item's directory, its name there, and its whole path."""

    item: Item
    folder: ItemFolder
    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class MoreNode:
    """The file which says that a search found more items than are shown, and its path."""

    path: Path


Node = Root | Directory | ItemDirectory | ItemFolderNode | ItemFileNode | MoreNode


class _CachedNode(NamedTuple):
    """What a path stood for, when, and what of the index, as it was then, that depends on."""

    node: Directory | ItemDirectory
    at: float
    span: Span
    version: int


class PathResolver:
    """Finds what paths stand for.

    Args:
        index: the items.
        removal: knows what was deleted or hidden in this mount.
        views: the folders under the root; the first is where items have their home.
        files: what an item's directory holds, in the order in which it is listed.
        zone: for the times in names.
        links: whether the other views hold links to an item's home, or real directories.
        clock: seconds, monotonic.
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._index = index
        self._removal = removal
        self._views = {view.name: view for view in views}
        self._home = views[0]
        self._files = files
        self._zone = zone
        self._links = links
        self._clock = clock
        self._known = GenerationalCache[str, _CachedNode](math.inf, max_entries=PATHS)

    def resolve(self, path: str, waiter: Waiter) -> Node:
        """Return what a path stands for.

        Args:
            path: from the root, which is ``/`` or empty.
            waiter: the patience of the call; waited is only for what isn't known.

        Raises:
            NoSuchPath, NotADirectory, NameTooLong: nothing has this path.
            SourceError, NotComplete: whether anything has it can't be told.
        """
        node = self._remembered(path)
        if node is not None:
            return node
        # Mostly a file of an item whose directory was asked for just now.
        above, _, name = path.rpartition("/")
        found = self._file_in(self._remembered(above), name)
        if found is not None:
            return found
        parts = tuple(filter(None, path.split("/")))
        if not parts:
            return Root()
        if _may_be_long(path) and any(len(_encoded(part)) > NAME_MAX for part in parts):
            raise NameTooLong(path)
        view = self._views.get(parts[0])
        if view is None:
            raise NoSuchPath(path)
        bottom = 1 + view.depth
        if isinstance(view, Search) and parts[bottom : bottom + 1] == (MORE_NAME,):
            return self._more(view, parts, waiter)
        node = self._directory(view, parts[: bottom + 1], waiter)
        if len(parts) <= bottom + 1:
            return node
        if not isinstance(node, ItemDirectory) or node.is_link:
            raise NotADirectory(path)
        name, *rest = parts[bottom + 1 :]
        found = self._file_in(node, name) or self._folder_in(node, name, waiter)
        if found is None:
            raise NoSuchPath(path)
        return self._below(found, rest, path)

    def links(self, view: View) -> bool:
        """Say whether a view shows links alone: one that doesn't show every item always does."""
        return view is not self._home and (self._links or not view.total)

    def linked(self, view: View, at: Path) -> Set[str]:
        """Return the keys of the items that are links in a directory, of a view that has others."""
        if self._links and view is self._home:
            return view.linked(at, self._index)
        return frozenset()

    def files_of(self, item: Item) -> dict[str, ItemFile]:
        """Return the files that an item shows, by name."""
        hidden = self._removal.hidden(item)
        named = by_name(self._files, item)
        if not hidden:
            return named
        return {
            name: file
            for name, file in named.items()
            if self.lasting_name(item, file, name) not in hidden
        }

    def lasting_name(self, item: Item, file: ItemFile, name: str) -> str:
        """Return a name of a file that stays the same when its listed name changes.

        Inodes are made of it, and by it a file is hidden: the audio may get another ending at any
        time, also while its item is being deleted.

        Args:
            item: whose file.
            file: the file.
            name: its listed name.
        """
        return file.lasting_name(item) if isinstance(file, AudioFile) else name

    def members_of(self, node: ItemFolderNode) -> dict[str, ItemFileNode]:
        """Return the files that a folder of an item shows, by their names in the folder."""
        hidden = self._removal.hidden(node.item)
        members = node.folder.members(node.item)
        nodes = {
            name: ItemFileNode(node.item, file, f"{node.name}/{name}")
            for name, file in members.items()
        }
        return {name: each for name, each in nodes.items() if each.name not in hidden}

    def _file_in(self, node: Node | None, name: str) -> ItemFolderNode | ItemFileNode | None:
        """Return a file of an item, if it is its directory, and there is such a file."""
        if not isinstance(node, ItemDirectory) or node.is_link:
            return None
        item = node.item
        files = self.files_of(item)
        file = files.get(name)
        if isinstance(file, ItemFolder):
            return ItemFolderNode(item, file, name, (*node.path, name))
        if file is not None:
            return ItemFileNode(item, file, self.lasting_name(item, file, name))
        lasting = ((self.lasting_name(item, file, listed), file) for listed, file in files.items())
        file = next((file for known, file in lasting if known == name), None)
        return None if file is None else ItemFileNode(item, file, name)

    def _folder_in(
        self, node: ItemDirectory, name: str, waiter: Waiter
    ) -> ItemFolderNode | ItemFileNode | None:
        """Return a folder of an item of which it wasn't known yet whether there is one.

        No listing shows it before that is known; but who asks for it by its name wants to know.
        """
        item = node.item
        for file in self._files:
            if isinstance(file, ItemFolder) and file.name == name:
                unknown = self._index.full_revision(item) is None
                if unknown and self._removal.tombstone(item.key) is None:
                    file.ensure_members(item, waiter)
                    return self._file_in(node, name)
        return None

    def _below(
        self, found: ItemFolderNode | ItemFileNode, rest: Sequence[str], path: str
    ) -> ItemFolderNode | ItemFileNode:
        """Return what the rest of a path leads to from something in an item's directory."""
        if not rest:
            return found
        if isinstance(found, ItemFileNode):
            raise NotADirectory(path)
        member = self.members_of(found).get(rest[0])
        if member is None:
            raise NoSuchPath(path)
        return self._below(member, rest[1:], path)

    def _more(self, view: Search, parts: Path, waiter: Waiter) -> MoreNode:
        """Return the file which says that there is more, where that is so."""
        at = parts[1:2]
        view.prepare(at, self._index, waiter)
        if not view.more(at, self._index):
            raise NoSuchPath("/".join(parts))
        if len(parts) > 1 + view.depth + 1:
            raise NotADirectory("/".join(parts))
        return MoreNode(parts)

    def _directory(self, view: View, parts: Path, waiter: Waiter) -> Directory | ItemDirectory:
        """Return the directory of a view, or of an item, that has a path."""
        path = "/" + "/".join(parts)
        remembered = self._remembered(path)
        if remembered is not None:
            return remembered
        version = self._index.recent_version
        node: Directory | ItemDirectory
        if len(parts) <= 1 + view.depth:
            node = self._resolve_directory(view, parts, waiter)
            at, lingers = node.at, self._removal.emptied(parts) is not None
        else:
            node = self._resolve_item(view, parts, waiter)
            at, lingers = parts[1:-1], self._removal.tombstone(node.item.key) is not None
        span = view.span(at)
        # What lingers ends with the time.
        if span is not None and not lingers:
            self._known.put(path, _CachedNode(node, self._clock(), span, version))
        return node

    def _remembered(self, path: str) -> Directory | ItemDirectory | None:
        """Return what a path stood for when it was resolved, if it still does."""
        known = self._known.get(path)
        if known is None:
            return None
        version = self._index.recent_version
        if version != known.version:
            if not self._index.unchanged(known.span, known.version):
                return None
            self._known.put(path, known._replace(version=version))
        if isinstance(known.node, Directory):
            return known.node if self._clock() - known.at < _MEMORY else None
        # The catalog has what was deleted still, if it could not be written.
        return known.node if self._removal.tombstone(known.node.item.key) is None else None

    def _resolve_directory(self, view: View, parts: Path, waiter: Waiter) -> Directory:
        at = parts[1:]
        span = view.span(at)
        if span is None:
            raise NoSuchPath("/".join(parts))
        if not at:
            return Directory(view, parts, self._index.newest(ALWAYS))
        newest = view.newest(at, self._index) if view.knows_newest(at, self._index) else None
        if newest is None:
            newest = self._removal.emptied(parts)
        if newest is None:
            view.seek(at, self._index, waiter)
            newest = view.newest(at, self._index)
        if newest is None:
            raise NoSuchPath("/".join(parts))
        return Directory(view, parts, newest)

    def _resolve_item(self, view: View, parts: Path, waiter: Waiter) -> ItemDirectory:
        at, name = parts[1:-1], parts[-1]
        dates = self._dates(view, at, name)
        if not (view.aliased or dates):
            raise NoSuchPath("/".join(parts))
        if view.whole and not view.listable(at, self._index):
            view.prepare(at, self._index, waiter)
        item = self._find(view, at, name, dates)
        if item is None:
            # It may have come since the last refresh.
            view.prepare(at, self._index, waiter)
            item = self._find(view, at, name, dates)
        if item is None:
            raise NoSuchPath("/".join(parts))
        if self._removal.tombstone(item.key) is not None:
            # What was deleted lingers so that `rm -r` finds the rest of it. No link leads there.
            if self.links(view) or not self._stood(item, parts[:-1]):
                raise NoSuchPath("/".join(parts))
            return ItemDirectory(item, parts, is_link=False)
        if not view.holds(at, item, self._index):
            raise NoSuchPath("/".join(parts))
        elsewhere = self._links and view is self._home and view.home(item, self._index) != at
        return ItemDirectory(item, parts, self.links(view) or elsewhere)

    def _stood(self, item: Item, directory: Path) -> bool:
        """Say whether a deleted item's own directory, not a link to it, was in a directory."""
        held = self._removal.held(item.key) if self._links else ()
        home = next((path for path in held if path[0] == self._home.name), directory)
        return directory == home

    def _find(self, view: View, at: Path, name: str, dates: Sequence[int]) -> Item | None:
        """Find the item that may have a name in a directory, and the dates that this stands for."""
        if view.aliased:
            aliases = view.aliases(at, self._index)
            listed = next((listed for alias, listed in aliases if alias == name), None)
            return listed and self._index.find(listed.key, listed.date)
        key = key_in(name) or ""
        found = (self._index.find(key, date) for date in dates)
        item = next(filter(None, found), None) or self._removal.tombstone(key)
        own = item and item_name(item.date, item.slug, item.key, self._zone)
        return item if own == name else None

    def _dates(self, view: View, at: Path, name: str) -> list[int]:
        """Return the dates that an item with this name may have; none where it is no item's."""
        span = view.span(at)
        if span is None or key_in(name) is None:
            return []
        return [date for date in moments_in(name, self._zone) if span.holds(date)]


def _may_be_long(path: str) -> bool:
    """Say whether a component may be too long; most paths are short as a whole."""
    return len(path) > NAME_MAX or not path.isascii()


def _encoded(part: str) -> bytes:
    return part.encode("utf-8", "surrogateescape")
