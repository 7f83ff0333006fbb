"""The inodes of one source's tree: in the order of time, so that programs read in that order.

cp -r, borg and others read a directory in the order of its inodes. So the inode of what belongs to
a moment has that moment in its high bits:

    bits 62-31    the date of the item, or the first moment of a day, a month or a year
    bit 30        0: a file of an item, or the item's directory in by-date
    bits 29-6     then: the number of the item among those of its second
    bits 5-0      then: which of its files
    bits 29-0     if bit 30 is 1: a hash of the path and the key

The number is a hash of the item's key. Where two items of a second have the same one, all but the
first by its key get the next free one: the items of a second are known together, so every mount
that lists them finds the same. Inodes below 2^60 are hashes: of nodes that belong to no moment, and
of dates before 1987 or after 2106.

Threads: any number at once. The caches guard themselves; there is no other state.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from histfs.core.files import AudioFile
from histfs.core.generational_cache import GenerationalCache
from histfs.core.index import Index
from histfs.core.item import Item
from histfs.core.nodes import ROOT_INODE, inode_of, inodes_of
from histfs.core.path_nodes import ItemDirectory, ItemFileNode, Path
from histfs.core.times import Span
from histfs.core.views import ByDate, View

#: The bits of a hashed inode, and of what follows the date.
_HASHED, _AFTER_DATE = 60, 31
#: The dates that inodes can have; every other one would meet the hashes, or need more bits.
_DATES = range(1 << (_HASHED - _AFTER_DATE), 1 << (63 - _AFTER_DATE))
_ELSEWHERE = 1 << 30
_NUMBER_BITS, _FILE_BITS = 24, 6
#: The last bits of an item's files; its directory has 0.
_AUDIO = 1
#: Changes the inode of the audio into that of the audio with a tag; no other file has this bit.
_TAGGED = 1 << (_FILE_BITS - 1)
_FILES = {
    "meta.json": 2,
    "text.txt": 3,
    "summary.json": 4,
    "audio.srt": 5,
    "audio.vtt": 6,
    "audio.lrc": 7,
}
#: A block of 2^17 seconds, some 36 hours, is searched for equal numbers at once.
_BLOCK_BITS = 17
#: Blocks in a generation of the cache, and hashes of keys and names in theirs.
_BLOCKS, _HASHES = 2048, 16_384
_NONE_MOVED: Mapping[tuple[int, str], int] = {}


class _Block(NamedTuple):
    """The items of a block that don't have the number that their key gives.

    Attributes:
        version: of the index, at which this was known to be so.
        moved: their numbers, by date and key.
    """

    version: int
    moved: Mapping[tuple[int, str], int]


class TreeInodes:
    """The inodes of a tree.

    Args:
        index: the items.
        above: the names of the folders in which the tree's root stands.
    """

    def __init__(self, index: Index, above: Path) -> None:
        self._index = index
        self._above = above
        self._blocks = GenerationalCache[int, _Block](math.inf, max_entries=_BLOCKS)
        self._number = lru_cache(_HASHES)(self._hashed_number)
        self._hash = lru_cache(_HASHES)(self._hashed)

    def root(self) -> int:
        """Return the inode of the tree's root."""
        return self._hashed("directory") if self._above else ROOT_INODE

    def folder(self, kind: str, path: Path) -> int:
        """Return the inode of a node that only its path identifies."""
        return self._hashed(kind, *path)

    def directory(self, view: View, path: Path) -> int:
        """Return the inode of a view's directory.

        Args:
            view: the view.
            path: of the directory, from the tree's root.
        """
        hashed = self._hash("directory", *path)
        # The span of another view may move with time.
        span = view.span(path[1:]) if isinstance(view, ByDate) else None
        if span is None or span.start not in _DATES:
            return hashed
        # A year, its first month and the first day of that never share an inode.
        number = hashed % _ELSEWHERE & ~3 | len(path[1:]) & 3
        return span.start << _AFTER_DATE | _ELSEWHERE | number

    def item(self, view: View, node: ItemDirectory) -> int:
        """Return the inode of an item's directory, or of a link to it.

        Args:
            view: the view that shows it.
            node: the directory; the item has another inode in each one that shows it.
        """
        at, item = node.path[:-1], node.item
        return self.items_in(view, at, node.is_link)(item.date, item.key)

    def items_in(self, view: View, path: Path, is_link: bool) -> Callable[[int, str], int]:
        """Return a function that computes `item` of a date and a key, at less cost."""
        # Another view may show an item in several directories.
        single = isinstance(view, ByDate) and not is_link
        kind = "link" if is_link else "item"
        hashed = inodes_of(kind, *self._above, *path)

        def inode(date: int, key: str) -> int:
            if date not in _DATES:
                return _cut(hashed(key))
            if single:
                return self._base(date, key)
            return date << _AFTER_DATE | _ELSEWHERE | hashed(key) % _ELSEWHERE

        return inode

    def file(self, node: ItemFileNode) -> int:
        """Return the inode of an item's file, the same in each directory that shows the item."""
        return self.files_of(node.item)(node)

    def files_of(self, item: Item) -> Callable[[ItemFileNode], int]:
        """Return a function that computes `file` of the files of one item, at less cost."""
        base = self._base(item.date, item.key) if item.date in _DATES else None

        def inode(node: ItemFileNode) -> int:
            number = _AUDIO if isinstance(node.file, AudioFile) else _FILES.get(node.name)
            if number is None or base is None:
                # The names of other packages' files, and of attachments, are theirs to choose.
                return max(self._hash("file", item.key) ^ self._hash("name", node.name), 2)
            return base | number

        return inode

    def tagged(self, node: ItemFileNode) -> int:
        """Return the inode of an item's audio with a tag in front, which is another file."""
        return self.file(node) ^ _TAGGED

    def _base(self, date: int, key: str) -> int:
        """Return the inode of an item's own directory; those of its files follow it."""
        moved = self._moved(date >> _BLOCK_BITS)
        number = moved.get((date, key)) if moved else None
        if number is None:
            number = self._number(key)
        return date << _AFTER_DATE | number << _FILE_BITS

    def _moved(self, block: int) -> Mapping[tuple[int, str], int]:
        """Return the items of a block whose number another item has; there are rarely any."""
        version = self._index.recent_version
        cached = self._blocks.get(block)
        if cached is not None and cached.version == version:
            return cached.moved
        span = Span(block << _BLOCK_BITS, block + 1 << _BLOCK_BITS)
        if cached is None or not self._index.unchanged(span, cached.version):
            cached = _Block(version, self._search(span))
        self._blocks.put(block, cached._replace(version=version))
        return cached.moved

    def _search(self, span: Span) -> Mapping[tuple[int, str], int]:
        moved: dict[tuple[int, str], int] = {}
        taken: set[int] = set()
        second = -1
        for date, key, *_ in self._index.between(span):  # by date, then by key
            if date != second:
                second, taken = date, set()
            wanted = number = self._number(key)
            while number in taken:
                number = (number + 1) % (1 << _NUMBER_BITS)
            taken.add(number)
            if number != wanted:
                moved[date, key] = number
        return moved or _NONE_MOVED

    def _hashed(self, *names: str) -> int:
        kind, *rest = names
        return _cut(inode_of(kind, *self._above, *rest))

    def _hashed_number(self, key: str) -> int:
        digest = hashlib.blake2b("\0".join((*self._above, key)).encode("utf-8", "replace"))
        return int.from_bytes(digest.digest()[:8], "big") >> (64 - _NUMBER_BITS)


def _cut(inode: int) -> int:
    """Return a hash of 63 bits as a hashed inode."""
    return max(inode % (1 << _HASHED), 2)
