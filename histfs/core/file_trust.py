"""Ownership and permission checks: files that only the user and root can change are trusted.

The configuration names a server and a command, and the cache holds the history. Another user who
can write there, or redirect a path by a symbolic link, would decide where the API key is sent.
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
    """Return why the symbolic links on a path are not trusted; None when they are.

    Args:
        path: a path, which need not exist.

    Raises:
        OSError: lstat(2) failed on a part of it.
    """
    link = _foreign_link(path.absolute())
    if link is None:
        return None
    return (
        f"{path} leads through {link}, a symbolic link of another user ({link.lstat().st_uid}):"
        " give another path"
    )


def distrust_owner(path: Path, status: os.stat_result) -> str | None:
    """Return why the owner of a path is not trusted; None for root and the user."""
    if _is_own(status):
        return None
    return f"{path} belongs to another user ({status.st_uid}): give one that is yours"


def distrust_writers(path: Path, status: os.stat_result) -> str | None:
    """Return why a path that other users can write is not trusted; None when they can't.

    In a directory with the sticky bit, such as ``/tmp``, they can't change files of the user.
    """
    sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    if sticky or not status.st_mode & _WRITABLE:
        return None
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    return f"{path} can be written by others (mode {mode}): run chmod go-w {shlex.quote(str(path))}"


def distrust_directory(path: Path, *, writers: bool = True) -> str | None:
    """Return why a directory is not trusted; None when it is.

    Args:
        path: an existing directory.
        writers: whether a directory that other users can write is refused.

    Raises:
        OSError: stat(2) failed.
    """
    status = path.stat()
    return (
        distrust_links(path)
        or distrust_owner(path, status)
        or (distrust_writers(path, status) if writers else None)
    )


def _is_own(status: os.stat_result) -> bool:
    return status.st_uid in (0, os.geteuid())


def _foreign_link(path: Path) -> Path | None:
    """Return the first symbolic link of another user on an absolute path (path_resolution(7))."""
    parts, current, links = deque(path.parts[1:]), Path(path.anchor), 0
    while parts:
        part = parts.popleft()
        if part == "..":
            current = current.parent
            continue
        current /= part
        try:
            status = current.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISLNK(status.st_mode):
            continue
        if not _is_own(status):
            return current
        links += 1
        if links > _LINKS_MAX:
            return None  # the kernel fails with ELOOP
        target = current.readlink()
        current = Path(target.anchor) if target.is_absolute() else current.parent
        parts.extendleft(reversed(target.parts[1:] if target.is_absolute() else target.parts))
    return None
