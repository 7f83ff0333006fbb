"""The struct stat of a node, as the bindings take it: a dict by the names of its fields.

Threads: any number at once; there is no state.
"""

from __future__ import annotations

import stat

from histfs.core.nodes import Attributes, DirEntry

_BLOCK = 512
_NANO = 10**9


class StatFields:
    """Makes the fields from attributes and from what depends on the mount.

    Args:
        read_only: whether every write fails with EROFS.
        uid: owner of every node.
        gid: group of every node.
        umask: permission bits that no node has.
    """

    def __init__(self, *, read_only: bool, uid: int, gid: int, umask: int) -> None:
        self._owner = {"st_uid": uid, "st_gid": gid}
        self._modes = {
            stat.S_IFDIR: stat.S_IFDIR | (0o555 if read_only else 0o755) & ~umask,
            stat.S_IFREG: stat.S_IFREG | 0o444 & ~umask,
            stat.S_IFLNK: stat.S_IFLNK | 0o777,
        }

    def of(self, attributes: Attributes) -> dict[str, float]:
        """Return all fields of a node, times in nanoseconds."""
        kind, inode, links, size, mtime, *_ = attributes
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


def kind_of(entry: DirEntry) -> dict[str, float]:
    """Return the fields that each directory entry has."""
    return {"st_mode": entry.kind, "st_ino": entry.inode}
