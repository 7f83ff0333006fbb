"""Listings of the directories of views: complete, and kept until something in them changes.

Threads: any number at once. `_lock` guards `_listings`, the cache, and nothing is called while it
is held; there is no other state.
"""

from __future__ import annotations

import itertools
import stat
import threading
from collections.abc import MutableMapping, Sequence
from typing import NamedTuple

from histfs.core.errors import NoSuchPath, NotComplete
from histfs.core.index import Index, Listed
from histfs.core.inodes import TreeInodes
from histfs.core.large_listing import LARGE, Contents, LargeListing
from histfs.core.listed_directories import ListedDirectories, ListedDirectory
from histfs.core.names import item_name
from histfs.core.nodes import DirEntry, directory
from histfs.core.path_nodes import Directory, Path
from histfs.core.path_resolver import PathResolver
from histfs.core.times import Span, Zone
from histfs.core.views import MORE_NAME, ByDate, Search, View
from histfs.core.waiting import Waiter

#: Attempts to read a directory that changes while it is read.
_ATTEMPTS = 10


class Listing(NamedTuple):
    """The entries of a directory.

    Attributes:
        version: of the index from which they were read.
        entries: the entries.
        items: what read-ahead needs of them; None where it knows the order from the catalog.
    """

    version: int
    entries: Sequence[DirEntry] | LargeListing
    items: ListedDirectory | None = None

    @property
    def length(self) -> int:
        """How many entries there are in memory; those of a large directory are not kept here."""
        return 0 if isinstance(self.entries, LargeListing) else len(self.entries)


class ViewListings:
    """Lists the directories of views.

    Args:
        index: the items.
        resolver: tells which entries are links.
        inodes: of the entries.
        zone: for the times in names.
        listings: a bounded cache of listings, by path.
        listed: notes in which order directories list their items.
    """

    def __init__(
        self,
        index: Index,
        resolver: PathResolver,
        inodes: TreeInodes,
        zone: Zone,
        listings: MutableMapping[Path, Listing],
        *,
        listed: ListedDirectories,
    ) -> None:
        self._index = index
        self._resolver = resolver
        self._inodes = inodes
        self._zone = zone
        self._listings = listings
        self._listed = listed
        self._lock = threading.Lock()

    def list(self, node: Directory, waiter: Waiter) -> Sequence[DirEntry] | LargeListing:
        """Return all entries of a directory of a view; of a large one they are read in parts.

        Raises:
            NoSuchPath: the view has no such directory.
            NotComplete: it changes faster than it can be listed.
            SourceError: its items are not known, and can't be listed.
            Interrupted, DeadlineExceeded: the wait ended first.
        """
        view, at = node.view, node.at
        span = view.span(at)
        if span is None:
            raise NoSuchPath("/".join(node.path))
        view.ensure(at, self._index, waiter)
        for _ in range(_ATTEMPTS):
            version = self._index.version
            with self._lock:
                cached = self._listings.get(node.path)
            if cached is not None and self._index.unchanged(span, cached.version):
                return self._noted(node, cached)
            listing = self._read(node, span, version)
            # A listing read during a change may mix two states, and be complete in neither.
            complete = view.complete(at, self._index)
            same = version == self._index.version or self._index.unchanged(span, version)
            if complete and same:
                if not isinstance(listing.entries, LargeListing):
                    with self._lock:
                        self._listings[node.path] = listing
                return self._noted(node, listing)
            view.ensure(at, self._index, waiter)
        raise NotComplete(f"{'/'.join(node.path)} changes faster than it can be listed")

    def _noted(self, node: Directory, listing: Listing) -> Sequence[DirEntry] | LargeListing:
        if listing.items is not None:
            self._listed.note(node.path, listing.items)
        return listing.entries

    def _read(self, node: Directory, span: Span, version: int) -> Listing:
        """Read a directory of a view, which depends on `span`; of a large one the beginning."""
        view, at = node.view, node.at
        if len(at) < view.depth:
            names = view.subdirectories(at, self._index)
            return Listing(version, [self.entry(view, (*node.path, name)) for name in names])
        only_links, linked = self._resolver.links(view), self._resolver.linked(view, at)
        link_inode = self._inodes.items_in(view, node.path, is_link=True)
        item_inode = self._inodes.items_in(view, node.path, is_link=False)

        def entry(item: Listed, name: str | None = None) -> DirEntry:
            name = name or item_name(item.date, item.slug, item.key, self._zone)
            if only_links or item.key in linked:
                return DirEntry(name, stat.S_IFLNK, link_inode(item.date, item.key))
            inode = item_inode(item.date, item.key)
            attributes = directory(inode, item.date, is_lasting=True)
            return DirEntry(name, stat.S_IFDIR, inode, attributes)

        if view.aliased:
            aliases = list(view.aliases(at, self._index))
            entries = [entry(item, name) for name, item in aliases]
            return Listing(version, entries, _items(view, entries, [item for _, item in aliases]))
        rest = view.items(at, self._index)
        first = list(itertools.islice(rest, LARGE + 1))
        if len(first) > LARGE:
            contents = Contents(view, at, self._index, span, entry)
            return Listing(version, LargeListing(contents, first, rest, version))
        entries = list(map(entry, first))
        items = _items(view, entries, first)
        if isinstance(view, Search) and view.more(at, self._index):
            inode = self._inodes.folder("more", (*node.path, MORE_NAME))
            entries.append(DirEntry(MORE_NAME, stat.S_IFREG, inode))
        return Listing(version, entries, items)

    def entry(self, view: View, path: Path) -> DirEntry:
        """Return the entry of a directory of a view."""
        return DirEntry(path[-1], stat.S_IFDIR, self._inodes.directory(view, path))


def _items(
    view: View, entries: Sequence[DirEntry], items: Sequence[Listed]
) -> ListedDirectory | None:
    """Return the items of a listing; None where the catalog knows their order itself."""
    if isinstance(view, ByDate):
        return None
    return ListedDirectory([entry.name for entry in entries], items)
