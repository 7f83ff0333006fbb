"""Tell the kernel to ask anew for the attributes of a path: fuse_invalidate_path of libfuse 3.

The kernel drops the attributes and the pages that it caches for the file, and every answer about
the file that is on its way and whose request began before. It keeps the size that it has for reads
and mappings of an open file until the next answer, and the name: an open(2) soon after need not
come with a lookup.

Dropping pages waits for reads that are in flight (invalidate_inode_pages2_range), in a system call
that no signal ends. So call this only for a file that nothing has open; else the process could not
even be killed before the server answers those reads.

Threads: any number at once; libfuse has a lock of its own for its table of paths.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
from typing import Any

log = logging.getLogger(__name__)


class PathInvalidation:
    """Make the kernel forget the attributes of single paths.

    Args:
        library: libfuse, loaded.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        # 3.2 added it; a version number would not tell of a build that leaves it out.
        self._invalidate: Any = getattr(library, "fuse_invalidate_path", None)
        if self._invalidate is not None:
            self._invalidate.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
            self._invalidate.restype = ctypes.c_int
        self._fuse: int | None = None

    @property
    def supported(self) -> bool:
        """Whether this libfuse can do it, which libfuse 2 can't."""
        return self._invalidate is not None

    def mounted(self, fuse: int | None) -> None:
        """Store libfuse's handle of the mount, its ``struct fuse *``."""
        self._fuse = fuse

    def invalidate(self, path: str) -> bool:
        """Make the kernel ask for the attributes of a path when it needs them the next time.

        Args:
            path: absolute in the mount, as the kernel passed it.

        Returns:
            Whether the kernel has no attributes for the path any more. False where libfuse can't
            tell it, before the filesystem is mounted, and where the kernel refuses.
        """
        if not self.supported or self._fuse is None:
            return False
        code = -int(self._invalidate(self._fuse, os.fsencode(path)))
        # Neither libfuse nor the kernel knows the path: nothing is cached for it.
        if code in {0, errno.ENOENT}:
            return True
        log.debug("the kernel can't be told to ask anew: %s", os.strerror(code))
        return False
