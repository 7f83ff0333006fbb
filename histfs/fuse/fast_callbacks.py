"""The binding's FUSE class, with getattr, readdir and the entry into Python made faster.

A walk of a tree consists of getattr and readdir. For each, both bindings look up every field of a
struct stat by name, test whether it is there, and make a new struct for each directory entry. Here
all fields are packed at once.

libfuse calls from threads of its own. For such a call Python makes a thread state and drops it at
the end, with the memory of its frames: two system calls (mmap, munmap) and a flush of every
processor's page tables per call, two fifths of the time of a walk. One more PyGILState_Ensure,
which is never released, keeps the state (Python/C API, "Non-Python created threads").

Threads: the callbacks run in any number of libfuse's threads. `_ThreadStates._lock` guards the
count of kept states; no other lock is taken while it is held.
"""

from __future__ import annotations

import ctypes
import operator
import struct
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeAlias

#: A value from ctypes, or from a library without types.
_Foreign: TypeAlias = Any

_NANO = 10**9
_NUMBERS = ("st_mode", "st_ino", "st_nlink", "st_size", "st_blocks", "st_uid", "st_gid")
_TIMES = ("st_mtime", "st_ctime", "st_atime")
#: The format of a field by its size in bytes: no number but a time is ever negative.
_UNSIGNED, _SIGNED = {2: "H", 4: "I", 8: "Q"}, {4: "i", 8: "q"}
# enum fuse_readdir_flags and enum fuse_fill_dir_flags of libfuse 3 (fuse.h): the kernel takes
# attributes with the names; the entry has them.
_READDIR_PLUS = 1 << 0
_FILL_DIR_PLUS = 1 << 1
#: fuse_fill_dir_t of libfuse 2: buffer, name, struct stat, offset; libfuse 3 adds flags.
_FILL = ctypes.PYFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_longlong
)
_FILL_WITH_FLAGS = ctypes.PYFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_void_p,
    ctypes.c_longlong,
    ctypes.c_int,
)
#: Thread states that are kept at the most, some 20 KB each: one for each thread of libfuse 3. They
#: outlive their threads, and libfuse 2 ends and starts threads at will.
_MAX_STATES = 1024


def fuse_class(module: ModuleType, set_timeouts: Callable[[float], None]) -> _Foreign:
    """Return a faster subclass of a binding's FUSE class.

    Args:
        module: the binding. fusepy and mfusepy have the same methods, except for readdir.
        set_timeouts: sets for how many seconds the kernel caches the directory entry that is added
            next.
    """
    states = _ThreadStates()
    new_stat, pack = module.c_stat, StatPacker(module.c_stat).pack
    stat_size = ctypes.sizeof(new_stat)

    class Fuse(module.FUSE):  # type: ignore[misc, name-defined]
        def _wrapper(self, call: _Foreign, *arguments: _Foreign) -> int:
            states.keep()
            return super()._wrapper(call, *arguments)  # type: ignore[no-any-return]

        def fgetattr(self, path: bytes | None, buffer: _Foreign, info: _Foreign) -> int:
            handle = info.contents.fh if info else None
            attributes = self.operations.getattr(_decode(path), handle)
            ctypes.memmove(buffer, pack(attributes), stat_size)
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
            at = ctypes.addressof(entry)
            # libfuse 2 passes no flags and takes none.
            add = _filler(fill, _FILL if flags is None else _FILL_WITH_FLAGS)
            for name, attributes, position in listed:
                complete = "st_size" in attributes
                if complete:
                    set_timeouts(attributes["timeout"])
                    ctypes.memmove(at, pack(attributes), stat_size)
                else:
                    entry.st_mode = attributes["st_mode"]
                    entry.st_ino = attributes.get("st_ino", 0)
                encoded = name.encode("utf-8", "surrogateescape")
                fill_flags = () if flags is None else (_FILL_DIR_PLUS if plus and complete else 0,)
                if add(buffer, encoded, at, position, *fill_flags):
                    break
            return 0

        if hasattr(module.FUSE, "readdir_fuse_3"):
            readdir_fuse_2 = readdir_fuse_3 = _readdir
        else:  # fusepy
            readdir = _readdir

    return Fuse


def _filler(fill: _Foreign, prototype: _Foreign) -> _Foreign:
    """Return libfuse's function that adds a directory entry, called with the GIL held.

    No other thread sets the timeouts of its entry in between. The function never waits.
    """
    return prototype(ctypes.cast(fill, ctypes.c_void_p).value)


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


class StatPacker:
    """Makes the bytes of a struct stat, whose layout depends on the machine.

    Args:
        layout: the struct, a class of ctypes.
    """

    def __init__(self, layout: _Foreign) -> None:
        types = {field[0]: field[1] for field in layout._fields_}
        # For each value that `pack` has: where it stands, and its format.
        places = [(field.offset, _UNSIGNED[field.size]) for field in map(_field(layout), _NUMBERS)]
        for name in _TIMES:
            outer = f"{name}spec"
            for field in map(_field(types[outer]), ("tv_sec", "tv_nsec")):
                places.append((getattr(layout, outer).offset + field.offset, _SIGNED[field.size]))
        order = sorted(range(len(places)), key=places.__getitem__)
        self._in_order = operator.itemgetter(*order)
        self._numbers = operator.itemgetter(*_NUMBERS)
        packed = "="
        for offset, code in map(places.__getitem__, order):
            packed += f"{offset - struct.calcsize(packed)}x{code}"
        packed += f"{ctypes.sizeof(layout) - struct.calcsize(packed)}x"
        self._pack = struct.Struct(packed).pack

    def pack(self, attributes: dict[str, int]) -> bytes:
        """Return a struct stat as bytes.

        Args:
            attributes: of a node; times in nanoseconds.
        """
        modified, changed, accessed = map(attributes.__getitem__, _TIMES)
        moment = divmod(modified, _NANO)
        if changed == accessed == modified:
            times = moment * 3
        else:
            times = moment + divmod(changed, _NANO) + divmod(accessed, _NANO)
        return self._pack(*self._in_order(self._numbers(attributes) + times))


def _field(layout: _Foreign) -> Callable[[str], _Foreign]:
    return lambda name: getattr(layout, name)


def _decode(path: bytes | None) -> str | None:
    return None if path is None else path.decode("utf-8", "surrogateescape")
