"""Paths of the tree on the command line: `histfs ls`, `histfs cat` and `histfs rm`.

What takes long to import is imported when it is used: `histfs play` starts the player before that.
"""

from __future__ import annotations

import contextlib
import glob
import os
import posixpath
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from histfs import logs
from histfs.cli.error_reporting import Refused, report_error, warn
from histfs.core.errors import (
    HistfsError,
    IsADirectory,
    NameTooLong,
    NoSuchPath,
    NotADirectory,
    PathError,
)
from histfs.core.name_forms import has_audio_extension, is_audio_name
from histfs.settings import Settings

if TYPE_CHECKING:
    from histfs.mounting import DirectTree

_MESSAGES = {
    NoSuchPath: "there is no such path",
    NameTooLong: "a name in it is longer than any that there is",
    NotADirectory: "there is nothing below a file",
    IsADirectory: "it is a directory: histfs ls shows what it holds",
}

#: Paths of the tree.
paths_argument = click.argument("paths", nargs=-1, required=True, metavar="PATH…")


@contextlib.contextmanager
def direct_tree(settings: Settings) -> Iterator[DirectTree]:
    """Open an account's tree; the log goes to the log file.

    Raises:
        As `open_tree`.
    """
    from histfs.mounting import open_tree  # noqa: PLC0415

    logs.start(foreground=False, debug=False, key=settings.key)
    with open_tree(settings, warn) as tree:
        yield tree


def for_each(paths: Sequence[str], action: Callable[[str], None]) -> int:
    """Call a function with each of some paths; one that fails does not stop the others.

    Args:
        paths: as the user gave them, also in a mounted histfs; the function gets them with ``/`` at
            their beginning.
        action: the function.

    Returns:
        The exit status: the highest of those of the paths.
    """
    return max([_status(path, action) for path in paths], default=0)


def below_mountpoint(path: str) -> str:
    """Return the path in the tree of a path in a mounted histfs; any other one as it is."""
    try:
        full = Path(os.path.abspath(path))  # noqa: PTH100 - links below are left as they are
    except FileNotFoundError:
        return path  # the working directory has been removed
    # A relative path that isn't there is one of the tree, wherever the working directory is.
    meant = os.path.isabs(path) or glob.has_magic(path) or os.path.lexists(full)  # noqa: PTH117
    mountpoints = _mountpoints() if path and meant else []
    for each in [full, Path(os.path.realpath(full.parent), full.name)] if mountpoints else []:
        for mountpoint in mountpoints:
            if each.is_relative_to(mountpoint):
                return str(each.relative_to(mountpoint))
    return path


def _mountpoints() -> list[Path]:
    from histfs.fuse.mountpoint import mounted_histfs  # noqa: PLC0415

    return mounted_histfs()


def audio_below(tree: DirectTree, path: str) -> Iterator[str]:
    """Yield the path of a file, or those of the audio in a directory in the order of names.

    Links are followed; the paths have none.

    Raises:
        As `DirectTree.resolve`.
    """
    path, attributes = tree.resolve(path)
    if attributes.kind != stat.S_IFDIR:
        yield path
        return
    entries = sorted((entry.name, entry.kind) for entry in tree.listdir(path))
    if tree.filesystem.item(path, tree.waiter()) is not None:
        yield from (posixpath.join(path, name) for name, _ in entries if is_audio_name(name))
        return
    for name, kind in entries:
        if kind == stat.S_IFREG and not has_audio_extension(name):
            continue  # a playlist, captions
        try:
            yield from audio_below(tree, posixpath.join(path, name))
        except NoSuchPath:
            continue  # it has been deleted meanwhile


def report_path_error(error: HistfsError, path: str) -> int:
    """Say what is wrong with a path, and return the exit status."""
    if isinstance(error, PathError):
        error = Refused(_MESSAGES.get(type(error), "that can't be done with it"))
    return report_error(error, path)


def _status(path: str, action: Callable[[str], None]) -> int:
    try:
        action(posixpath.normpath(f"/{below_mountpoint(path).lstrip('/')}"))
    except HistfsError as error:
        return report_path_error(error, path)
    return 0
