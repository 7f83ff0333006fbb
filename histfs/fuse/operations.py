"""The FUSE callbacks: each resolves, calls the tree and translates. No decision is made here.

The names and signatures are fusepy's; mfusepy has the same. What isn't defined (xattrs, locks,
flush) libfuse answers by itself, without a call.

Threads: libfuse calls from any number of threads of its own. There is no state but the table of
handles and what was told of sizes, which guard themselves, and one number.
"""

from __future__ import annotations

import errno
import functools
import itertools
import logging
import math
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, TypeVar

from histfs.core.errors import (
    CacheFailed,
    DeadlineExceeded,
    HistfsError,
    NoSpace,
    NotPermitted,
    ReadOnly,
    SourceError,
    errno_of,
)
from histfs.core.filesystem import Filesystem
from histfs.core.large_listing import LargeListing
from histfs.core.names import NAME_MAX, without_words
from histfs.core.nodes import Attributes, DirEntry, OpenFile
from histfs.core.waiting import Waiter, set_current_waiter
from histfs.fuse.open_handles import DirectoryHandle, FileHandle, OpenHandles
from histfs.fuse.reported_sizes import TIMEOUT, ReportedSizes, RequestStart

P = ParamSpec("P")
R = TypeVar("R")
#: An entry of a directory as the bindings take it: its name, its struct stat, the offset after it.
Listed = tuple[str, dict[str, int], int]
Method = Callable[Concatenate["Operations", P], R]

#: What the log tells of a failed call; anything else is an everyday answer such as ENOENT.
_NOTEWORTHY = (SourceError, NoSpace, CacheFailed, DeadlineExceeded)
_BLOCK = 512
_DOTS = (DirEntry(".", stat.S_IFDIR, 0), DirEntry("..", stat.S_IFDIR, 0))
_NANO = 10**9
_NO_FILES: Mapping[str, Attributes] = MappingProxyType({})

log = logging.getLogger(__name__)


def _map_errno(method: Method[P, R]) -> Method[P, R]:
    """Translate whatever a callback raises into the OSError that libfuse's bindings take."""

    @functools.wraps(method)
    def guarded(self: Operations, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except HistfsError as error:
            if isinstance(error, _NOTEWORTHY):
                log.warning("%s %r: %s", method.__name__, _logged(args), error)
            raise OSError(errno_of(error), str(error)) from None
        except OSError:
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and _is_main_thread():
                raise
            # The bindings end the mount for what is no Exception, such as SystemExit.
            log.exception("%s %r failed unexpectedly", method.__name__, _logged(args))
            raise OSError(errno.EIO, "unexpected error") from None
        finally:
            set_current_waiter(None)

    return guarded


def _is_main_thread() -> bool:
    """Say whether this thread is the one that Python interrupts at Ctrl-C."""
    return threading.get_ident() == threading.main_thread().ident


def _logged(args: tuple[object, ...]) -> str:
    """Return the path that a call is about, as far as it may be in a log."""
    return without_words(args[0]) if args and isinstance(args[0], str) else ""


class Operations:
    """What libfuse calls.

    Args:
        tree: answers.
        waiter: makes the patience of one call, in the thread of the call.
        read_only: whether everything that would write is refused as such.
        uid: owner of every node.
        gid: group of every node.
        umask: permissions that no node has.
        ahead: whether attributes of files may be looked up before anybody asks for them.
        started: called once the mount is there, in libfuse's context.
        configure: sets a libfuse 3 connection up.
        caller: returns the id of the thread whose call is served.
        clock: seconds, monotonic.
    """

    use_ns = True
    # Files are read and listed by handle: no path is made for that, and none is there after unlink.
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
        self._told = ReportedSizes(caller, clock)
        self._ahead = ahead
        self._clock = clock
        # When somebody has last asked for the attributes of a file; any thread may write it.
        self._last_look = -math.inf
        self.started = False

    # The mount

    def init(self, path: str) -> None:
        """The filesystem is mounted."""
        self.started = True
        self._on_start()

    def init_with_config(self, connection: Any, config: Any) -> None:  # noqa: ANN401
        """The same, as mfusepy calls it; ``config`` is None with libfuse 2."""
        if config is not None:
            self._configure(connection, config)
        self.init("/")

    @_map_errno
    def statfs(self, path: str) -> dict[str, int]:
        """Tell the limit of names; there is no room to write in, and no end to what is read."""
        return {"f_bsize": 4096, "f_frsize": 4096, "f_namemax": NAME_MAX}

    # Reading

    @_map_errno
    def getattr(self, path: str | None, handle: int | None = None) -> dict[str, int]:
        """stat(2), or fstat(2) by handle."""
        if handle or path is None:
            return self._stat(self._attributes_of(self._handles.file(handle or 0)))
        turn = self._told.turn()
        attributes = self._tree.stat(path, self._patience())
        if attributes.kind == stat.S_IFREG:
            attributes = self._tell(path, attributes, turn)
            self._last_look = self._clock()
        return self._stat(attributes)

    @_map_errno
    def readlink(self, path: str) -> str:
        """readlink(2)."""
        return self._tree.readlink(path, self._patience())

    @_map_errno
    def opendir(self, path: str) -> int:
        """Make the listing: unlike readdir this holds no lock of the kernel while it waits."""
        listing = self._tree.listdir(path, self._patience())
        return self._handles.add_directory(DirectoryHandle(path, listing))

    @_map_errno
    def readdir(
        self, path: str | None, handle: int, offset: int = 0, plus: bool = False
    ) -> Iterator[Listed]:
        """Give the listing that opendir made, from an offset on.

        Where the kernel takes attributes with the names, a walk need not ask for each. Those of
        files are looked up for it only while somebody looks at files, which find(1) does not.

        Args:
            path: not used.
            handle: from opendir.
            offset: how many entries the kernel has.
            plus: whether the kernel takes attributes.

        Returns:
            Of each entry its name, all of its attributes or only kind and inode, and the offset
            after it. That is 0 where there are no attributes: libfuse then takes all entries at
            once, and keeps them. (It drops attributes then, up to 3.16.)
        """
        opened = self._handles.directory(handle)
        if isinstance(opened.listing, LargeListing):
            return self._part(opened.listing, offset, plus)
        return self._whole(opened.path, opened.listing, offset, plus)

    @_map_errno
    def releasedir(self, path: str | None, handle: int) -> None:
        """closedir(3)."""
        self._handles.remove_directory(handle)

    @_map_errno
    def open(self, path: str, flags: int) -> int:
        """open(2), for reading."""
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC):
            self._refuse(path)
        attributes, file = self._tree.open(path, self._patience())
        self._see_to_size(path, file)
        return self._handles.add_file(FileHandle(path, attributes, file))

    @_map_errno
    def read(self, path: str | None, size: int, offset: int, handle: int) -> bytes:
        """pread(2)."""
        return self._handles.file(handle).read(offset, size, self._patience())

    @_map_errno
    def release(self, path: str | None, handle: int) -> None:
        """The last close(2)."""
        self._told.closed(self._handles.remove_file(handle).path)

    # Removing

    @_map_errno
    def unlink(self, path: str) -> None:
        """unlink(2): of the audio, the delete endpoint."""
        self._refuse_if_read_only(path)
        self._tree.unlink(path, self._patience())

    @_map_errno
    def rmdir(self, path: str) -> None:
        """rmdir(2)."""
        self._refuse_if_read_only(path)
        self._tree.rmdir(path, self._patience())

    # Everything that would write

    @_map_errno
    def _refuse(self, path: str, *args: object) -> int:
        self._refuse_if_read_only(path)
        raise NotPermitted(f"{path}: this filesystem has no such operation")

    create = mknod = mkdir = symlink = link = rename = _refuse
    chmod = chown = truncate = write = utimens = _refuse

    def _refuse_if_read_only(self, path: str) -> None:
        if self._read_only:
            raise ReadOnly(path)

    def _patience(self) -> Waiter:
        """Return the patience of the call that this thread serves, from now on."""
        waiter = self._waiter()
        set_current_waiter(waiter)
        return waiter

    def _tell(self, path: str, attributes: Attributes, turn: RequestStart) -> Attributes:
        """Return the attributes that the kernel is told of a file."""
        return attributes._replace(size=self._told.tell(path, attributes.size, turn))

    def _see_to_size(self, path: str, file: OpenFile) -> None:
        """See to it that the kernel has the size of a file that is opened."""
        delay = self._told.opened(path, file.size)
        if delay is not None:
            file.close()
            time.sleep(delay)
            raise OSError(errno.ESTALE, "its size is another by now")

    def _attributes_of(self, opened: FileHandle) -> Attributes:
        return opened.attributes._replace(size=opened.file.size)

    def _part(self, listing: LargeListing, offset: int, plus: bool) -> Iterator[Listed]:
        """Read a part of a large listing: always with offsets, or libfuse would keep all of it."""
        part = listing.read(max(offset - len(_DOTS), 0), self._waiter())
        return self._placed(itertools.chain(_DOTS[offset:], part), offset, plus)

    def _whole(
        self, path: str, listing: Sequence[DirEntry], offset: int, plus: bool
    ) -> Iterator[Listed]:
        known = any(entry.attributes for entry in listing[:1])
        looking = self._ahead and self._clock() - self._last_look < TIMEOUT
        if offset or (plus and (known or looking)):
            rest = range(max(offset - len(_DOTS), 0), len(listing))
            files = self._files_in(path) if plus and looking and rest else {}
            entries = itertools.chain(_DOTS[offset:], map(listing.__getitem__, rest))
            return self._placed(entries, offset, plus, files)
        return ((entry.name, _kind_of(entry), 0) for entry in itertools.chain(_DOTS, listing))

    def _placed(
        self,
        entries: Iterable[DirEntry],
        offset: int,
        plus: bool,
        files: Mapping[str, Attributes] = _NO_FILES,
    ) -> Iterator[Listed]:
        """Yield entries with the offsets behind them.

        Args:
            entries: what comes from the offset on.
            offset: how many entries come before them.
            plus: whether the kernel takes attributes.
            files: the attributes of files, by name.
        """
        for position, entry in enumerate(entries, offset + 1):
            attributes = entry.attributes or files.get(entry.name)
            told = self._stat(attributes) if plus and attributes else _kind_of(entry)
            yield entry.name, told, position

    def _files_in(self, path: str) -> Mapping[str, Attributes]:
        """Look an item's files up; the kernel asks by itself for those that are missing."""
        turn = self._told.turn()
        try:
            files = self._tree.stat_files(path, self._patience())
        except HistfsError:
            return {}
        told = {}
        for name, attributes in files.items():
            told[name] = self._tell(f"{path}/{name}", attributes, turn)
        return told

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
