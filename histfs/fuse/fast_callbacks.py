"""The binding's FUSE class, with getattr, readdir and the entry into Python made faster.

A walk of a tree consists of getattr and readdir. For each, both bindings look up every field of a
struct stat by name, test whether it is there, and make a new struct for each directory entry.

libfuse calls from threads of its own. For such a call Python makes a thread state and drops it at
the end, with the memory of its frames: two system calls (mmap, munmap) and a flush of every
processor's page tables per call, two fifths of the time of a walk. One more PyGILState_Ensure,
which is never released, keeps the state (Python/C API, "Non-Python created threads").

Threads: the callbacks run in any number of libfuse's threads. `_ThreadStates._lock` guards the
count of kept states; no other lock is taken while it is held.
"""

from __future__ import annotations

import ctypes
import threading
from types import ModuleType
from typing import Any, TypeAlias

#: A value from ctypes, or from a library without types.
_Foreign: TypeAlias = Any

_NANO = 10**9
_TIMES = [(f"st_{name}spec", f"st_{name}") for name in ("mtime", "ctime", "atime")]
# enum fuse_readdir_flags and enum fuse_fill_dir_flags of libfuse 3 (fuse.h): the kernel takes
# attributes with the names; the entry has them.
_READDIR_PLUS = 1 << 0
_FILL_DIR_PLUS = 1 << 1
#: Thread states that are kept at the most, some 20 KB each: one for each thread of libfuse 3. They
#: outlive their threads, and libfuse 2 ends and starts threads at will.
_MAX_STATES = 1024


def fuse_class(module: ModuleType) -> _Foreign:
    """Return a faster subclass of a binding's FUSE class.

    Args:
        module: the binding. fusepy and mfusepy have the same methods, except for readdir.
    """
    states = _ThreadStates()
    stat_size, new_stat = ctypes.sizeof(module.c_stat), module.c_stat

    class Fuse(module.FUSE):  # type: ignore[misc, name-defined]
        def _wrapper(self, call: _Foreign, *arguments: _Foreign) -> int:
            states.keep()
            return super()._wrapper(call, *arguments)  # type: ignore[no-any-return]

        def fgetattr(self, path: bytes | None, buffer: _Foreign, info: _Foreign) -> int:
            handle = info.contents.fh if info else None
            attributes = self.operations.getattr(_decode(path), handle)
            ctypes.memset(buffer, 0, stat_size)
            _fill(buffer.contents, attributes)
            return 0

        def open(self, path: bytes, info: _Foreign) -> int:
            opened = self.operations.open(_decode(path), info.contents.flags)
            info.contents.fh = opened
            # Each read comes here then, whatever size the kernel has, and may be short.
            info.contents.direct_io = self.operations.is_played(opened)
            info.contents.nonseekable = self.operations.is_pipe(opened)
            # libfuse 3.11; earlier ones have no such field, and each close comes here.
            info.contents.noflush = not self.operations.is_watched(opened)
            return 0

        def _readdir(  # noqa: PLR0917 - libfuse's
            self,
            path: bytes | None,
            buffer: _Foreign,
            fill: _Foreign,
            offset: int,
            info: _Foreign,
            flags: int | None = None,
        ) -> int:
            plus = flags == _READDIR_PLUS
            listed = self.operations.readdir(_decode(path), info.contents.fh, offset, plus)
            entry = new_stat()
            for name, attributes, position in listed:
                complete = "st_size" in attributes
                if complete:
                    _fill(entry, attributes)
                else:
                    entry.st_mode = attributes["st_mode"]
                    entry.st_ino = attributes.get("st_ino", 0)
                encoded = name.encode("utf-8", "surrogateescape")
                # libfuse 2 passes no flags and takes none.
                fill_flags = () if flags is None else (_FILL_DIR_PLUS if plus and complete else 0,)
                if fill(buffer, encoded, entry, position, *fill_flags):
                    break
            return 0

        if hasattr(module.FUSE, "readdir_fuse_3"):
            readdir_fuse_2 = readdir_fuse_3 = _readdir
        else:  # fusepy
            readdir = _readdir

    return Fuse


class _ThreadStates:
    """Python's thread states of libfuse's threads, kept from one call to the next."""

    def __init__(self) -> None:
        self._thread = threading.local()
        self._lock = threading.Lock()
        self._count = 0

    def keep(self) -> None:
        """Keep the state of the calling thread; later calls cost nothing."""
        if hasattr(self._thread, "kept"):
            return
        with self._lock:
            if self._count >= _MAX_STATES:
                return
            self._count += 1
        self._thread.kept = True
        ctypes.pythonapi.PyGILState_Ensure()


def _decode(path: bytes | None) -> str | None:
    return None if path is None else path.decode("utf-8", "surrogateescape")


def _fill(target: _Foreign, attributes: dict[str, int]) -> None:
    """Fill a struct stat, all of whose bytes are 0."""
    target.st_mode = attributes["st_mode"]
    target.st_ino = attributes["st_ino"]
    target.st_nlink = attributes["st_nlink"]
    target.st_size = attributes["st_size"]
    target.st_blocks = attributes["st_blocks"]
    target.st_uid = attributes["st_uid"]
    target.st_gid = attributes["st_gid"]
    for field, name in _TIMES:
        moment = getattr(target, field)
        moment.tv_sec, moment.tv_nsec = divmod(attributes[name], _NANO)
