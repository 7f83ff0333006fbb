"""The FUSE callbacks: each calls the tree and translates its answer, or its exception.

The names and signatures are those of mfusepy and fusepy. libfuse answers operations that are not
defined here (xattrs, locks, fsync) by itself, without a call.

Threads: libfuse calls from any number of threads of its own. `OpenHandles` and `ReportedSizes` have
locks of their own; `_last_file_stat` is one number, which any thread may write.
"""

from __future__ import annotations

import errno
import itertools
import logging
import math
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from histfs.core.errors import HistfsError, NotPermitted, ReadOnly
from histfs.core.filesystem import Filesystem
from histfs.core.large_listing import LargeListing
from histfs.core.names import NAME_MAX, without_words
from histfs.core.nodes import Attributes, DirEntry, OpenFile, PlayedFile
from histfs.core.waiting import Waiter, estimate_suffices, no_thread, set_current_waiter
from histfs.fuse.error_translation import map_errno
from histfs.fuse.estimate_watch import EstimateWatch
from histfs.fuse.open_handles import DirectoryHandle, FileHandle, OpenHandles
from histfs.fuse.reported_sizes import TIMEOUT, ReportedSizes, RequestStart, Shown

#: An entry of a directory as the bindings take it: its name, its struct stat, the offset after it.
Listed = tuple[str, dict[str, int], int]

_BLOCK = 512
_DOTS = (DirEntry(".", stat.S_IFDIR, 0), DirEntry("..", stat.S_IFDIR, 0))
_NANO = 10**9
_NO_FILES: Mapping[str, Attributes] = MappingProxyType({})

log = logging.getLogger(__name__)


class Operations:
    """The callbacks of a mount.

    Args:
        tree: the filesystem.
        waiter: makes the deadline and interrupt of one call, in the thread of the call.
        read_only: whether every write fails with EROFS.
        uid: owner of every node.
        gid: group of every node.
        umask: permission bits that no node has.
        ahead: whether a listing may look up the attributes of files.
        started: called once the filesystem is mounted, in libfuse's context.
        configure: configures a libfuse 3 connection.
        caller: returns the id of the thread whose call is served.
        invalidate: makes the kernel forget the attributes of a path, and says whether it has.
        watch: fails programs that read a file by an estimate of its size.
        listens: says whether the caller gets a file that is read as it comes as from a pipe.
        clock: returns seconds, monotonic.

    Attributes:
        started: whether the filesystem has been mounted.
    """

    use_ns = True
    # read, readdir and fstat go by handle: libfuse makes no path, and there is none after unlink.
    flag_nullpath_ok = 1
    flag_nopath = 1

    def __init__(
        self,
        tree: Filesystem,
        *,
        waiter: Callable[[], Waiter],
        read_only: bool,
        uid: int,
        gid: int,
        umask: int,
        ahead: bool,
        started: Callable[[], None],
        configure: Callable[[Any, Any], None],
        caller: Callable[[], int],
        invalidate: Callable[[str], bool] = lambda path: False,
        watch: EstimateWatch,
        listens: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tree = tree
        self._waiter = waiter
        self._read_only = read_only
        self._owner = {"st_uid": uid, "st_gid": gid}
        self._modes = {
            stat.S_IFDIR: stat.S_IFDIR | (0o555 if read_only else 0o755) & ~umask,
            stat.S_IFREG: stat.S_IFREG | 0o444 & ~umask,
            stat.S_IFLNK: stat.S_IFLNK | 0o777,
        }
        self._on_start = started
        self._configure = configure
        self._handles = OpenHandles()
        self._reported = ReportedSizes(caller, clock, invalidate=invalidate)
        self._watch = watch
        self._ahead = ahead
        self._listens = listens
        self._clock = clock
        # When the attributes of a file were last asked for by path.
        self._last_file_stat = -math.inf
        self.started = False

    # The mount

    def init(self, path: str) -> None:
        """Note that the filesystem is mounted."""
        self.started = True
        self._on_start()

    def init_with_config(self, connection: Any, config: Any) -> None:  # noqa: ANN401
        """Do the same for mfusepy; ``config`` is None with libfuse 2."""
        if config is not None:
            self._configure(connection, config)
        self.init("/")

    @map_errno
    def statfs(self, path: str) -> dict[str, int]:
        """Return the limit of names; the filesystem has no size and no free space."""
        return {"f_bsize": 4096, "f_frsize": 4096, "f_namemax": NAME_MAX}

    # Reading

    @map_errno
    def getattr(self, path: str | None, handle: int | None = None) -> dict[str, int]:
        """Answer stat(2), or fstat(2) by handle."""
        if handle or path is None:
            return self._stat(self._attributes_of(self._handles.file(handle or 0)))
        start = self._reported.start()
        attributes = self._tree.stat(path, self._new_waiter())
        if attributes.kind == stat.S_IFREG:
            attributes = self._report(path, attributes, start)
            self._last_file_stat = self._clock()
        return self._stat(attributes)

    @map_errno
    def readlink(self, path: str) -> str:
        """Answer readlink(2)."""
        return self._tree.readlink(path, self._new_waiter())

    @map_errno
    def opendir(self, path: str) -> int:
        """Make the listing: unlike readdir, opendir holds no lock of the kernel while it waits."""
        self._watch.expire()
        listing = self._tree.listdir(path, self._new_waiter())
        return self._handles.add_directory(DirectoryHandle(path, listing))

    @map_errno
    def readdir(
        self, path: str | None, handle: int, offset: int = 0, plus: bool = False
    ) -> Iterator[Listed]:
        """Return the listing that opendir made, from an offset on.

        Where the kernel takes attributes with the names (readdirplus), a walk needs no stat for
        each. Attributes of files are looked up only while some program calls stat for files, which
        find(1) does not.

        Args:
            path: not used.
            handle: from opendir.
            offset: how many entries the kernel has.
            plus: whether the kernel takes attributes.

        Returns:
            For each entry its name, all of its attributes or only kind and inode, and the offset
            after it. The offset is 0 where there are no attributes: libfuse then takes all entries
            at once, and keeps them. (Up to 3.16 it drops attributes then.)
        """
        opened = self._handles.directory(handle)
        if isinstance(opened.listing, LargeListing):
            return self._read_large(opened.listing, offset, plus)
        return self._read_listing(opened.path, opened.listing, offset, plus)

    @map_errno
    def releasedir(self, path: str | None, handle: int) -> None:
        """Answer closedir(3)."""
        self._handles.remove_directory(handle)

    @map_errno
    def open(self, path: str, flags: int) -> int:
        """Answer open(2), for reading."""
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC):
            self._refuse(path)
        self._watch.fail_if_owed(path)
        waiter = self._new_waiter()
        # What the caller has seen; others may see more while this waits.
        shown = self._reported.shown(path)
        attributes, file = self._tree.open(path, waiter)
        handle = self._report_open(path, attributes, file, shown, waiter)
        return self._handles.add_file(handle)

    def is_watched(self, handle: int) -> bool:
        """Say whether its close(2) is of interest, which needs a call by the kernel."""
        return self._handles.file(handle).watched is not None

    def is_played(self, handle: int) -> bool:
        """Say whether an open file is read as it comes, without the page cache (direct I/O)."""
        return self._handles.file(handle).played

    def is_pipe(self, handle: int) -> bool:
        """Say whether the caller can't seek in a file that it has just opened, as in a pipe."""
        return self.is_played(handle) and self._listens()

    @map_errno
    def read(self, path: str | None, size: int, offset: int, handle: int) -> bytes:
        """Answer pread(2)."""
        opened = self._handles.file(handle)
        self._watch.check(opened.watched)
        return opened.read(offset, size, self._new_waiter())

    @map_errno
    def flush(self, path: str | None, handle: int) -> None:
        """Answer each close(2) of an open file."""
        self._watch.flushed(self._handles.file(handle).watched)

    @map_errno
    def release(self, path: str | None, handle: int) -> None:
        """Answer the last close(2) of an open file."""
        closed = self._handles.remove_file(handle)
        self._watch.closed(closed.watched)
        if not closed.played:
            self._reported.closed(closed.path)

    # Removing

    def forget(self, path: str) -> None:
        """Make the kernel ask anew for a path whose file was removed by another of its names."""
        self._reported.forget(path)

    @map_errno
    def unlink(self, path: str) -> None:
        """Answer unlink(2); for the audio that deletes the item at the server."""
        self._refuse_if_read_only(path)
        self._tree.unlink(path, self._new_waiter())

    @map_errno
    def rmdir(self, path: str) -> None:
        """Answer rmdir(2)."""
        self._refuse_if_read_only(path)
        self._tree.rmdir(path, self._new_waiter())

    # Everything that would write

    @map_errno
    def _refuse(self, path: str, *args: object) -> int:
        self._refuse_if_read_only(path)
        raise NotPermitted(f"{path}: this filesystem has no such operation")

    create = mknod = mkdir = symlink = link = rename = _refuse
    chmod = chown = truncate = write = utimens = _refuse

    def _refuse_if_read_only(self, path: str) -> None:
        if self._read_only:
            raise ReadOnly(path)

    def _new_waiter(self) -> Waiter:
        """Start the deadline of the call that this thread serves."""
        waiter = self._waiter()
        set_current_waiter(waiter)
        return waiter

    def _report(self, path: str, attributes: Attributes, start: RequestStart) -> Attributes:
        """Return the attributes of a file with the size to report to the kernel."""
        self._watch.expire()
        exact = attributes.size_is_exact
        size = self._reported.report(path, attributes.size, start, is_exact=exact)
        if size == attributes.size and not exact:
            self._watch.shown(attributes.inode, size)
        return attributes if size == attributes.size else attributes._replace(size=size)

    def _refuse_if_misled(self, path: str, file: OpenFile, shown: Shown, waiter: Waiter) -> None:
        """Raise EIO for a program that believes its stat, where that may have been an estimate."""
        if shown.may_have_misled(file.size) and waiter.needs_size():
            file.close()
            log.warning(
                "open %r: the size that the program was shown is not exact", without_words(path)
            )
            raise OSError(errno.EIO, "the size that was shown before is not exact: try again")

    def _report_open(
        self, path: str, attributes: Attributes, file: OpenFile, shown: Shown, waiter: Waiter
    ) -> FileHandle:
        """Return the handle of an open file; ESTALE for a stale size: the kernel looks again."""
        self._refuse_if_misled(path, file, shown, waiter)
        if isinstance(file, PlayedFile):
            # It is read to its true end, whatever size the kernel has; and its size may become
            # another one with each clip that comes, also between a look and the next open.
            return FileHandle(path, attributes, file, played=True)
        # Before the open is reported: what the kernel asks for then must not be cached, either.
        try:
            watched = self._watch.opening(path, attributes.inode, file.size, waiter.needs_size)
        except OSError:
            file.close()
            raise
        refusal = self._reported.opened(path, file.size)
        if refusal is not None:
            time.sleep(refusal.delay)
            if refusal.final:
                file.close()
                raise OSError(errno.ESTALE, "its size has changed")
        return FileHandle(path, attributes, file, watched)

    def _attributes_of(self, opened: FileHandle) -> Attributes:
        """Return the attributes of an open file, which the kernel asks for before a read, too."""
        self._watch.check(opened.watched)
        return opened.attributes._replace(size=opened.file.size)

    def _read_large(self, listing: LargeListing, offset: int, plus: bool) -> Iterator[Listed]:
        """Read a part of a large listing, with offsets: else libfuse would keep all of it."""
        part = listing.read(max(offset - len(_DOTS), 0), self._waiter())
        return self._with_offsets(itertools.chain(_DOTS[offset:], part), offset, plus)

    def _read_listing(
        self, path: str, listing: Sequence[DirEntry], offset: int, plus: bool
    ) -> Iterator[Listed]:
        known = any(entry.attributes for entry in listing[:1])
        stat_files = self._ahead and self._clock() - self._last_file_stat < TIMEOUT
        if offset or (plus and (known or stat_files)):
            rest = range(max(offset - len(_DOTS), 0), len(listing))
            files = self._stat_files(path) if plus and stat_files and rest else {}
            entries = itertools.chain(_DOTS[offset:], map(listing.__getitem__, rest))
            return self._with_offsets(entries, offset, plus, files)
        return ((entry.name, _kind_of(entry), 0) for entry in itertools.chain(_DOTS, listing))

    def _with_offsets(
        self,
        entries: Iterable[DirEntry],
        offset: int,
        plus: bool,
        files: Mapping[str, Attributes] = _NO_FILES,
    ) -> Iterator[Listed]:
        """Yield the entries from an offset on, each with the offset after it."""
        for position, entry in enumerate(entries, offset + 1):
            attributes = entry.attributes or files.get(entry.name)
            shown = self._stat(attributes) if plus and attributes else _kind_of(entry)
            yield entry.name, shown, position

    def _stat_files(self, path: str) -> Mapping[str, Attributes]:
        """Look up the files of an item that have exact sizes; the kernel asks for the others.

        The kernel would show an estimate to programs that need the exact size.
        """
        start = self._reported.start()
        # What comes with the names is cached for any program: nothing is fetched for this one.
        waiter = self._new_waiter()
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

    def _stat(self, attributes: Attributes) -> dict[str, int]:
        kind, inode, links, size, mtime, _ = attributes
        moment = mtime * _NANO
        return {
            "st_mode": self._modes[kind],
            "st_ino": inode,
            "st_nlink": links,
            "st_size": size,
            "st_blocks": -(-size // _BLOCK),
            "st_mtime": moment,
            "st_ctime": moment,
            "st_atime": moment,
            **self._owner,
        }


def _kind_of(entry: DirEntry) -> dict[str, int]:
    return {"st_mode": entry.kind, "st_ino": entry.inode}
