"""Which files and directories are believed: those that nobody but the user and root can change.

The configuration names a server and a command, and the cache says what is in the history. Whoever
can write there, or lead a path there, would decide where the API key goes.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections import deque
from pathlib import Path

#: Symbolic links that the kernel follows in one path (path_resolution(7)).
_LINKS_MAX = 40
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH


def distrust_links(path: Path) -> str | None:
    """Say why the symbolic links on a path are not followed; None where they may be.

    Args:
        path: what is behind its end, or from some part on, needn't be there.

    Raises:
        OSError: a part of it can't be looked at.
    """
    link = _foreign_link(path.absolute())
    if link is None:
        return None
    return (
        f"{path} leads through {link}, a symbolic link of another user ({link.lstat().st_uid}):"
        " give another path"
    )


def distrust_owner(path: Path, found: os.stat_result) -> str | None:
    """Say why what another user owns is not used; None for what root or the user owns."""
    if _is_own(found):
        return None
    return f"{path} belongs to another user ({found.st_uid}): give one that is yours"


def distrust_writers(path: Path, found: os.stat_result) -> str | None:
    """Say why what others can write is not used; None for what they can't.

    In a directory with the sticky bit, such as ``/tmp``, they can't change what isn't theirs.
    """
    sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
    if sticky or not found.st_mode & _WRITABLE:
        return None
    mode = f"{stat.S_IMODE(found.st_mode):04o}"
    return f"{path} can be written by others (mode {mode}): run chmod go-w {shlex.quote(str(path))}"


def distrust_directory(path: Path, *, writers: bool = True) -> str | None:
    """Say why a directory is not used; None where it may be.

    Args:
        path: the directory; it exists.
        writers: whether it is refused when others can write there.

    Raises:
        OSError: it can't be looked at.
    """
    found = path.stat()
    return (
        distrust_links(path)
        or distrust_owner(path, found)
        or (distrust_writers(path, found) if writers else None)
    )


def _is_own(found: os.stat_result) -> bool:
    return found.st_uid in (0, os.geteuid())


def _foreign_link(path: Path) -> Path | None:
    """Return the first symbolic link of another user that is followed on an absolute path."""
    rest, place, links = deque(path.parts[1:]), Path(path.anchor), 0
    while rest:
        part = rest.popleft()
        if part == "..":
            place = place.parent
            continue
        place /= part
        try:
            found = place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISLNK(found.st_mode):
            continue
        if not _is_own(found):
            return place
        links += 1
        if links > _LINKS_MAX:
            return None  # the kernel refuses it
        target = place.readlink()
        place = Path(target.anchor) if target.is_absolute() else place.parent
        rest.extendleft(reversed(target.parts[1:] if target.is_absolute() else target.parts))
    return None
