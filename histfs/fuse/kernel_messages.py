"""Messages to the kernel that libfuse's path interface has no function for.

The kernel takes with each reply for how long it may cache the name and the attributes
(fuse_entry_out, fuse_attr_out), and with each open directory whether it may cache the listing
(fuse_open_out). libfuse takes the timeouts from one configuration for all files, and before 3.17 it
drops what opendir says. But it can write its replies through a function of the caller
(fuse_session_custom_io, since 3.13), and it writes the reply to a call in the thread of the call.
So the callback stores what it wants, and that function writes it into the reply's bytes. Their
layout is that of linux/fuse.h, an interface of the kernel that does not change.

The same replies say which node ids libfuse has given to paths. With a node's id the kernel can be
told to forget its attributes alone (FUSE_NOTIFY_INVAL_INODE): it keeps the pages, and waits for no
reader, as it may for libfuse's fuse_invalidate_path.

Threads: any number at once, but of calls of the kernel alone: libfuse closes the descriptor, whose
number may then be that of another file, when these have ended. What a callback wants belongs to its
thread.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

#: A value from ctypes.
_Foreign: TypeAlias = Any
#: Takes paths, each with the id of its node.
TakeNodes: TypeAlias = Callable[[Iterable[tuple[str, int]]], None]

#: The first libfuse with fuse_session_custom_io, and the first in which it takes a size, too.
_HAS_CUSTOM_IO, _TAKES_SIZE = (3, 13), (3, 17)

# struct fuse_out_header: u32 len, s32 error, u64 unique. A notification has its kind in place of
# an error, and no unique number.
_HEADER = struct.Struct("=IiQ")
# One struct iovec of writev(2), or two: address and size.
_VECTORS = struct.Struct("@PN"), struct.Struct("@PNPN")
# struct fuse_notify_inval_inode_out: u64 node id, s64 offset, s64 length. A negative offset keeps
# the pages.
_INVALIDATE_INODE, _INODE = 2, struct.Struct("=Qqq")
# struct fuse_entry_out: 128 bytes, the answer to LOOKUP, begins with the id of the node.
_ENTRY_OUT, _ENTRY_VALID, _ENTRY_NSEC = 128, 16, 32
# struct fuse_attr_out: 104 bytes, the answer to GETATTR.
_ATTR_OUT = 104
# The timeout of attributes: where it begins in either, and where its nanoseconds are.
_ATTRIBUTES_AT = {_ENTRY_OUT: (24, 36), _ATTR_OUT: (0, 8)}
# struct fuse_direntplus: a fuse_entry_out, the header of a dirent with the length of the name, and
# the name; aligned to 8 bytes.
_NODE_AND_LENGTH, _NAME_AT = struct.Struct("=Q136xI"), 152
# struct fuse_open_out: 16 bytes, the answer to OPENDIR.
_OPEN_OUT, _OPEN_FLAGS = 16, 8
_KEEP_CACHE, _CACHE_DIR = 1 << 1, 1 << 3
_NANO = 10**9

_WRITEV = ctypes.CFUNCTYPE(
    ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, use_errno=True
)

log = logging.getLogger(__name__)


class _CustomIo(ctypes.Structure):
    """struct fuse_custom_io of fuse_lowlevel.h."""

    _fields_ = (
        ("writev", _WRITEV),
        ("read", ctypes.c_void_p),
        ("splice_receive", ctypes.c_void_p),
        ("splice_send", ctypes.c_void_p),
        ("clone_fd", ctypes.c_void_p),
    )


class _Wanted(threading.local):
    """What the callback of this thread wants: a function of its reply's body, or nothing."""

    change: Callable[[int, int], None] | None = None


class KernelMessages:
    """Changes the replies of one mount, and tells the kernel what to forget.

    Args:
        library: libfuse, loaded; None where there is none.
        version: of it, major and minor.

    Attributes:
        attached: whether replies can be changed.
        caches_attributes: whether the kernel may cache any attributes at present.
    """

    def __init__(
        self, library: ctypes.CDLL | None = None, version: tuple[int, int] = (0, 0)
    ) -> None:
        self._library = library
        self._version = version
        self._wanted = _Wanted()
        libc = ctypes.CDLL(None, use_errno=True)
        self._writev: _Foreign = libc.writev
        self._writev.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
        self._writev.restype = ctypes.c_ssize_t
        # libfuse has copies of the addresses: the functions have to live as long as the session.
        read = ctypes.cast(libc.read, ctypes.c_void_p)
        self._io = _CustomIo(_WRITEV(self._write), read, None, None, None)
        self._descriptor: int | None = None
        self.caches_attributes = True

    @property
    def attached(self) -> bool:
        """Whether replies can be changed."""
        return self._descriptor is not None

    def attach(self, session: int | None) -> None:
        """Have the replies of a mounted session written here, if this libfuse can.

        Args:
            session: the address of its ``struct fuse_session``.
        """
        install: _Foreign = getattr(self._library, "fuse_session_custom_io", None)
        if self._library is None or session is None or install is None:
            return
        if self._version < _HAS_CUSTOM_IO:
            return
        handle = ctypes.c_void_p(session)
        descriptor = self._library.fuse_session_fd(handle)
        takes_size = self._version >= _TAKES_SIZE
        size = (ctypes.c_size_t(ctypes.sizeof(_CustomIo)),) if takes_size else ()
        code = install(handle, ctypes.byref(self._io), *size, descriptor)
        if code:
            log.debug("libfuse takes no function for its replies: %d", code)
        else:
            self._descriptor = descriptor

    def cache_attributes(
        self, looked_up: float, stat: float, path: str = "", take: TakeNodes | None = None
    ) -> None:
        """Set how long the kernel caches the answer of this thread's call.

        Args:
            looked_up: seconds for name and attributes if it is a lookup.
            stat: seconds for the attributes if it is a stat of a known node.
            path: of the node.
            take: takes the path and the id of its node if it is a lookup.
        """

        def change(body: int, size: int) -> None:
            places = _ATTRIBUTES_AT.get(size)
            if places is None:
                return
            seconds = looked_up if size == _ENTRY_OUT else stat
            cached = seconds if self.caches_attributes else 0.0
            _put_seconds(cached, body + places[0], body + places[1])
            if size == _ENTRY_OUT:
                _put_seconds(looked_up, body + _ENTRY_VALID, body + _ENTRY_NSEC)
                if take is not None:
                    take([(path, ctypes.c_uint64.from_address(body).value)])

        self._want(change)

    def take_nodes(self, paths: Sequence[str | None], take: TakeNodes) -> None:
        """Take the ids of the nodes in the answer of this thread's call, a readdirplus.

        Args:
            paths: of the entries that are added, in their order; None for one that is of no
                interest. It may grow until the answer is sent, which may hold fewer.
            take: takes the paths and the ids of their nodes.
        """

        def change(body: int, size: int) -> None:
            content, at = ctypes.string_at(body, size), 0
            nodes = []
            for path in paths:
                if at >= size:
                    break
                node, length = _NODE_AND_LENGTH.unpack_from(content, at)
                if path is not None:
                    nodes.append((path, node))
                at += (_NAME_AT + length + 7) & ~7
            take(nodes)

        self._want(change)

    def cache_listing(self, *, keep: bool) -> None:
        """Have the kernel cache the listing of the directory that this thread's call opens.

        Args:
            keep: whether what it has cached of it already is still right.
        """

        def change(body: int, size: int) -> None:
            if size == _OPEN_OUT:
                flags = ctypes.c_uint32.from_address(body + _OPEN_FLAGS)
                flags.value |= _CACHE_DIR | (_KEEP_CACHE if keep else 0)

        self._want(change)

    def _want(self, change: Callable[[int, int], None]) -> None:
        """Have the reply to this thread's call changed, if replies are written here."""
        if self._descriptor is not None:
            self._wanted.change = change

    def forget_attributes(self, node: int) -> None:
        """Make the kernel ask for the attributes of a node when it needs them the next time.

        Args:
            node: its id, from `take_nodes` or `cache_attributes`. In a thread that serves a call.
        """
        if self._descriptor is None:
            return
        body = _INODE.pack(node, -1, 0)
        header = _HEADER.pack(_HEADER.size + len(body), _INVALIDATE_INODE, 0)
        try:
            os.write(self._descriptor, header + body)
        except OSError as error:
            # The kernel has no such node, or the mount has ended.
            if error.errno not in {errno.ENOENT, errno.ENODEV, errno.ENOTCONN}:
                log.warning("the kernel can't be told to ask anew: %s", error)

    def _write(self, descriptor: int, vectors: int, count: int, _: int | None) -> int:
        """Write a message to the kernel, as writev(2) does, with the change that its call wants."""
        change = self._wanted.change
        if change is not None:
            layout = _VECTORS[count > 1]
            header, _, *body = layout.unpack(ctypes.string_at(vectors, layout.size))
            _, error, unique = _HEADER.unpack(ctypes.string_at(header, _HEADER.size))
            # Else it is a notification, which the call has sent in between.
            if unique:
                self._wanted.change = None
                if body and not error:
                    _apply(change, *body)
        return self._writev(descriptor, vectors, count)  # type: ignore[no-any-return]


def _apply(change: Callable[[int, int], None], body: int, size: int) -> None:
    """Change a reply; it is sent in any case, since its caller waits for it."""
    try:
        change(body, size)
    except Exception:
        log.exception("a reply to the kernel could not be changed")


def _put_seconds(seconds: float, at: int, nanoseconds_at: int) -> None:
    whole = int(seconds)
    ctypes.c_uint64.from_address(at).value = whole
    ctypes.c_uint32.from_address(nanoseconds_at).value = int((seconds - whole) * _NANO)
