"""Read the entries of an open directory, with attributes where the kernel takes them.

Where the kernel takes attributes with the names (readdirplus), a walk needs no stat for each.
Attributes of files are looked up only while some program calls stat for files, which find(1) does
not.

Threads: any number at once; `_last_file_stat` is one number, which any thread may write.
"""

from __future__ import annotations

import itertools
import math
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from histfs.core.errors import HistfsError
from histfs.core.filesystem import Filesystem
from histfs.core.large_listing import LargeListing
from histfs.core.nodes import Attributes, DirEntry
from histfs.core.waiting import Waiter, estimate_suffices, no_thread
from histfs.fuse.kernel_cache import KernelCache
from histfs.fuse.kernel_messages import TakeNodes
from histfs.fuse.open_handles import DirectoryHandle
from histfs.fuse.reported_sizes import TIMEOUT, RequestStart
from histfs.fuse.stat_fields import StatFields, kind_of

#: An entry of a directory as the bindings take it: its name, its struct stat, the offset after it.
Listed: TypeAlias = tuple[str, dict[str, float], int]

_DOTS = (DirEntry(".", stat.S_IFDIR, 0), DirEntry("..", stat.S_IFDIR, 0))
_NO_FILES: Mapping[str, Attributes] = MappingProxyType({})


class DirectoryReader:
    """Reads open directories.

    Args:
        tree: the filesystem.
        waiter: starts the deadline of the call that this thread serves.
        fields: makes a struct stat.
        kernel: decides what the kernel may cache.
        start: returns the start of a stat that begins now.
        report: returns the attributes of the file at a path as they are reported to the kernel, by
            a stat that began at a start.
        ahead: whether a listing may look up the attributes of files.
        clock: seconds, monotonic.
        take_nodes: takes the node ids of entries from the answer to this thread's call.
    """

    def __init__(
        self,
        tree: Filesystem,
        *,
        waiter: Callable[[], Waiter],
        fields: StatFields,
        kernel: KernelCache,
        start: Callable[[], RequestStart],
        report: Callable[[str, Attributes, RequestStart], Attributes],
        ahead: bool,
        clock: Callable[[], float],
        take_nodes: Callable[[Sequence[str | None], TakeNodes], None],
    ) -> None:
        self._tree = tree
        self._waiter = waiter
        self._fields = fields
        self._kernel = kernel
        self._start = start
        self._report = report
        self._ahead = ahead
        self._clock = clock
        self._take_nodes = take_nodes
        # When the attributes of a file were last asked for by path.
        self._last_file_stat = -math.inf

    def note_file_stat(self) -> None:
        """Note that some program calls stat for a file."""
        self._last_file_stat = self._clock()

    def stats_files(self) -> bool:
        """Say whether some program calls stat for files, and attributes come with the names."""
        return self._ahead and self._clock() - self._last_file_stat < TIMEOUT

    def open(self, path: str) -> DirectoryHandle:
        """Open a directory: unlike a read of it, that holds no lock of the kernel while it waits.

        Args:
            path: of the directory.
        """
        version = self._kernel.version()
        return DirectoryHandle(path, self._tree.listdir(path, self._waiter()), version)

    def keeps_listing(self, opened: DirectoryHandle) -> bool | None:
        """Say whether the kernel may cache the listing of an open directory.

        Returns:
            None where it may not; else whether the one that it may have cached is right.
        """
        path, listing = opened.path, opened.listing
        if isinstance(listing, LargeListing):
            return None
        return self._kernel.listing(
            path, _names(listing), opened.version, with_files=self.stats_files()
        )

    def read(self, opened: DirectoryHandle, offset: int, plus: bool) -> Iterator[Listed]:
        """Return the entries of an open directory from an offset on.

        Args:
            opened: the directory.
            offset: how many entries the kernel has.
            plus: whether the kernel takes attributes.

        Returns:
            For each entry its name, all of its attributes and the seconds for which the kernel may
            cache them ("timeout"), or only kind and inode, and the offset after it. The offset is 0
            where there are no attributes: libfuse then takes all entries at once, and keeps them.
            (Up to 3.16 it drops attributes then.)
        """
        listing = opened.listing
        if isinstance(listing, LargeListing):
            return self._read_large(opened, listing, offset, plus)
        if offset >= len(_DOTS) + len(listing):
            return iter(())
        known = any(entry.attributes for entry in listing[:1])
        stat_files = plus and self.stats_files()
        if not offset:
            names = _names(listing)
            self._kernel.listed(opened.path, names, opened.version, with_files=stat_files)
        if offset or (plus and known) or stat_files:
            rest = range(max(offset - len(_DOTS), 0), len(listing))
            files = self._stat_files(opened.path) if stat_files else _NO_FILES
            entries = itertools.chain(_DOTS[offset:], map(listing.__getitem__, rest))
            return self._with_offsets(opened, entries, offset, plus, files)
        return ((entry.name, kind_of(entry), 0) for entry in itertools.chain(_DOTS, listing))

    def _read_large(
        self, opened: DirectoryHandle, listing: LargeListing, offset: int, plus: bool
    ) -> Iterator[Listed]:
        """Read a part of a large listing, with offsets: else libfuse would keep all of it."""
        part = listing.read(max(offset - len(_DOTS), 0), self._waiter())
        entries = itertools.chain(_DOTS[offset:], part)
        return self._with_offsets(opened, entries, offset, plus)

    def _with_offsets(
        self,
        opened: DirectoryHandle,
        entries: Iterable[DirEntry],
        offset: int,
        plus: bool,
        files: Mapping[str, Attributes] = _NO_FILES,
    ) -> Iterator[Listed]:
        """Yield the entries from an offset on, each with the offset after it."""
        if not plus:
            yield from ((e.name, kind_of(e), at) for at, e in enumerate(entries, offset + 1))
            return
        directory, paths = opened.path.rstrip("/"), list[str | None]()
        self._take_nodes(paths, self._kernel.take_nodes)
        for position, entry in enumerate(entries, offset + 1):
            attributes = entry.attributes or files.get(entry.name)
            if attributes is None:
                paths.append(None)
                yield entry.name, kind_of(entry), position
                continue
            path, fields = f"{directory}/{entry.name}", self._fields.of(attributes)
            fields["timeout"] = self._kernel.keep(path, attributes, opened.version).looked_up
            paths.append(path)
            yield entry.name, fields, position

    def _stat_files(self, path: str) -> Mapping[str, Attributes]:
        """Look up the files of an item that have exact sizes; the kernel asks for the others.

        The kernel would show an estimate to programs that need the exact size.
        """
        start = self._start()
        # What comes with the names is cached for any program: nothing is fetched for this one.
        waiter = self._waiter()
        waiter.needs_size, waiter.thread = estimate_suffices, no_thread
        try:
            files = self._tree.stat_files(path, waiter)
        except HistfsError:
            return {}
        return {
            name: self._report(f"{path}/{name}", attributes, start)
            for name, attributes in files.items()
            if attributes.size_is_exact
        }


def _names(listing: Sequence[DirEntry]) -> Iterator[str]:
    return (entry.name for entry in listing)
