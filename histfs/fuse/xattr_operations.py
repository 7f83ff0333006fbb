"""The callbacks of a mount that has extended attributes (``-o xattr``).

They are in a class of their own: where no callback is defined, the kernel asks once, and never
again (fuse(4), ENOSYS).

Threads: as `Operations`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from histfs.core.waiting import Waiter
from histfs.fuse.error_translation import map_errno
from histfs.fuse.operations import Operations

#: Returns the attributes of a path by name; raises as `Filesystem.item`.
Lookup = Callable[[str, Waiter], Mapping[str, bytes]]


class XattrOperations(Operations):
    """The callbacks, with those of getxattr(2) and listxattr(2).

    Args:
        lookup: returns the attributes of a path.
        arguments: those of `Operations`.
    """

    def __init__(self, *arguments: Any, lookup: Lookup, **named: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **named)
        self._lookup = lookup

    @map_errno
    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        """Return the value of an attribute; ENODATA if the file doesn't have it."""
        value = self._lookup(path, self._new_waiter()).get(name) if _is_ours(name) else None
        if value is None:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        return value

    @map_errno
    def listxattr(self, path: str) -> Iterable[str]:
        """Return the names of a file's attributes."""
        return list(self._lookup(path, self._new_waiter()))


def _is_ours(name: str) -> bool:
    # The kernel asks for others, too, such as security.selinux: those cost no lookup.
    return name.startswith("user.")
