"""How libfuse's calls become Python's: the bindings' way, with what walks call most made faster.

A walk is nothing but getattr and readdir. For each, both bindings look up every field of a struct
stat by name, ask whether it is there, and make a new struct for each entry of a directory.
"""

from __future__ import annotations

import ctypes
from types import ModuleType
from typing import Any, TypeAlias

from histfs.fuse.thread_states import ThreadStates

#: What comes from ctypes, or from a library without types.
_Foreign: TypeAlias = Any

_NANO = 10**9
_TIMES = [(f"st_{name}spec", f"st_{name}") for name in ("mtime", "ctime", "atime")]
# enum fuse_readdir_flags and enum fuse_fill_dir_flags of libfuse 3 (fuse.h): the kernel takes
# attributes with the names, and here they are.
_READDIR_PLUS = 1 << 0
_FILL_DIR_PLUS = 1 << 1


def fuse_class(module: ModuleType) -> _Foreign:
    """Return the FUSE class of a binding, made faster.

    Args:
        module: the binding; fusepy and mfusepy have the same methods.
    """
    threads = ThreadStates()
    stat_size, new_stat = ctypes.sizeof(module.c_stat), module.c_stat

    class Fuse(module.FUSE):  # type: ignore[misc, name-defined]
        def _wrapper(self, call: _Foreign, *arguments: _Foreign) -> int:
            threads.keep()
            return super()._wrapper(call, *arguments)  # type: ignore[no-any-return]

        def fgetattr(self, path: bytes | None, buffer: _Foreign, info: _Foreign) -> int:
            handle = info.contents.fh if info else None
            attributes = self.operations.getattr(_decoded(path), handle)
            ctypes.memset(buffer, 0, stat_size)
            _fill(buffer.contents, attributes)
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
            listed = self.operations.readdir(_decoded(path), info.contents.fh, offset, plus)
            entry = new_stat()
            for name, attributes, position in listed:
                whole = "st_size" in attributes
                if whole:
                    _fill(entry, attributes)
                else:
                    entry.st_mode = attributes["st_mode"]
                    entry.st_ino = attributes.get("st_ino", 0)
                encoded = name.encode("utf-8", "surrogateescape")
                how = () if flags is None else (_FILL_DIR_PLUS if plus and whole else 0,)
                if fill(buffer, encoded, entry, position, *how):
                    break
            return 0

        if hasattr(module.FUSE, "readdir_fuse_3"):
            readdir_fuse_2 = readdir_fuse_3 = _readdir
        else:
            readdir = _readdir

    return Fuse


def _decoded(path: bytes | None) -> str | None:
    return None if path is None else path.decode("utf-8", "surrogateescape")


def _fill(into: _Foreign, attributes: dict[str, int]) -> None:
    """Fill a struct stat, all of whose bytes are 0."""
    into.st_mode = attributes["st_mode"]
    into.st_ino = attributes["st_ino"]
    into.st_nlink = attributes["st_nlink"]
    into.st_size = attributes["st_size"]
    into.st_blocks = attributes["st_blocks"]
    into.st_uid = attributes["st_uid"]
    into.st_gid = attributes["st_gid"]
    for field, name in _TIMES:
        moment = getattr(into, field)
        moment.tv_sec, moment.tv_nsec = divmod(attributes[name], _NANO)
