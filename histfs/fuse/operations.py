"""The FUSE callbacks: each calls the tree and translates its answer, or its exception.

The names and signatures are those of mfusepy and fusepy. libfuse answers operations that are not
defined here (xattrs, locks, fsync) by itself, without a call.

Threads: libfuse calls from any number of threads of its own. `OpenHandles` and `ReportedSizes` have
locks of their own, as has `KernelCache`.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from histfs.core.errors import NotPermitted, ReadOnly
from histfs.core.filesystem import Filesystem
from histfs.core.names import NAME_MAX, without_words
from histfs.core.nodes import Attributes, OpenFile, PlayedFile
from histfs.core.waiting import Waiter, set_current_waiter
from histfs.fuse.directory_reader import DirectoryReader, Listed
from histfs.fuse.error_translation import map_errno
from histfs.fuse.estimate_watch import EstimateWatch
from histfs.fuse.kernel_cache import KernelCache, Version
from histfs.fuse.kernel_messages import KernelMessages
from histfs.fuse.open_handles import FileHandle, OpenHandles
from histfs.fuse.reported_sizes import TIMEOUT, ReportedSizes, RequestStart, Shown
from histfs.fuse.stat_fields import StatFields

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
        messages: changes replies to the kernel, and tells it what to forget; None where no libfuse
            is attached.
        listing_ttl: seconds for which a listing is fresh, and the kernel may cache what is lasting.
        index_version: returns the version of the index, on which what is lasting depends.
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
        messages: KernelMessages | None = None,
        listing_ttl: float = 0.0,
        index_version: Callable[[], Hashable] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tree = tree
        self._waiter = waiter
        self._read_only = read_only
        self._fields = StatFields(read_only=read_only, uid=uid, gid=gid, umask=umask)
        self._on_start = started
        self._configure = configure
        self._handles = OpenHandles()
        self._messages = messages or KernelMessages()
        self._kernel = KernelCache(
            listing_ttl, index_version, self._messages.forget_attributes, clock
        )
        self._reported = ReportedSizes(caller, clock, invalidate=invalidate, kept=self._kernel.size)
        self._directories = DirectoryReader(
            tree,
            waiter=self._new_waiter,
            fields=self._fields,
            kernel=self._kernel,
            start=self._reported.start,
            report=self._report,
            ahead=ahead,
            clock=clock,
            take_nodes=self._messages.take_nodes,
        )
        self._watch = watch
        self._listens = listens
        self.started = False

    # The mount

    def init(self, path: str) -> None:
        """Note that the filesystem is mounted."""
        self.started = True
        self._on_start()
        if self._messages.attached:
            self._kernel.start()

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
    def getattr(self, path: str | None, handle: int | None = None) -> dict[str, float]:
        """Answer stat(2), or fstat(2) by handle."""
        if handle or path is None:
            return self._stat_open(self._handles.file(handle or 0))
        start, version = self._reported.start(), self._kernel.version()
        attributes = self._tree.stat(path, self._new_waiter())
        if attributes.kind == stat.S_IFREG:
            attributes = self._report(path, attributes, start)
            self._directories.note_file_stat()
        return self._answer(path, attributes, version)

    @map_errno
    def readlink(self, path: str) -> str:
        """Answer readlink(2)."""
        return self._tree.readlink(path, self._new_waiter())

    @map_errno
    def opendir(self, path: str) -> int:
        """Answer opendir(3)."""
        self._watch.expire()
        opened = self._directories.open(path)
        keep = self._directories.keeps_listing(opened)
        if keep is not None:
            self._messages.cache_listing(keep=keep)
        return self._handles.add_directory(opened)

    @map_errno
    def readdir(
        self, path: str | None, handle: int, offset: int = 0, plus: bool = False
    ) -> Iterator[Listed]:
        """Return the entries of a directory from an offset on; see `DirectoryReader.read`."""
        return self._directories.read(self._handles.directory(handle), offset, plus)

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
        self._kernel.changed()

    @map_errno
    def rmdir(self, path: str) -> None:
        """Answer rmdir(2)."""
        self._refuse_if_read_only(path)
        self._tree.rmdir(path, self._new_waiter())
        self._kernel.changed()

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
        if size == attributes.size:
            return attributes
        return attributes._replace(size=size, is_lasting=False)

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
        if watched is not None:
            self._kernel.forget(path)
        refusal = self._reported.opened(path, file.size)
        if refusal is not None:
            time.sleep(refusal.delay)
            if refusal.final:
                file.close()
                raise OSError(errno.ESTALE, "its size has changed")
        return FileHandle(path, attributes, file, watched)

    def _answer(
        self, path: str, attributes: Attributes, version: Version | None
    ) -> dict[str, float]:
        """Return the struct stat of a path, and set for how long the kernel may cache it.

        Raises:
            OSError: ESTALE, the kernel has the path as something else, and looks it up again.
        """
        if self._kernel.has_other_kind(path, attributes.kind):
            self._kernel.forget(path)
            raise OSError(errno.ESTALE, "it was a file of another kind before")
        timeouts = self._kernel.keep(path, attributes, version)
        self._messages.cache_attributes(*timeouts, path, self._kernel.take_nodes)
        return self._fields.of(attributes)

    def _stat_open(self, opened: FileHandle) -> dict[str, float]:
        """Return the struct stat of an open file, which the kernel needs before a read, too."""
        self._watch.check(opened.watched)
        self._messages.cache_attributes(TIMEOUT, TIMEOUT)
        return self._fields.of(opened.attributes._replace(size=opened.file.size))
