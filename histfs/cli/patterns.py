"""Patterns of fnmatch(3) in paths of the tree, for those who quote them, or have no mount."""

from __future__ import annotations

import fnmatch
import posixpath
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING

from histfs.cli.clip_names import has_pattern
from histfs.core.errors import NoSuchPath, NotADirectory

if TYPE_CHECKING:
    from histfs.mounting import DirectTree


def expand(tree: DirectTree, path: str) -> Sequence[str]:
    """Return the paths that a pattern matches, in the order of the listings.

    Args:
        tree: the tree.
        path: a path; one without a pattern, or that exists as it is, is returned alone.

    Raises:
        NoSuchPath: nothing matches.
        HistfsError: a directory on the way can't be listed.
    """
    if not has_pattern(path) or _exists(tree, path):
        return [path]
    found = ["/"]
    for part in filter(None, path.split("/")):
        if not has_pattern(part):
            found = [posixpath.join(above, part) for above in found]
            continue
        matches = [(above, name) for above in found for name in _names(tree, above)]
        found = [
            posixpath.join(above, name)
            for above, name in matches
            if fnmatch.fnmatchcase(name, part) and (part[0] == "." or name[0] != ".")
        ]
    found = [each for each in found if _exists(tree, each)]
    if not found:
        raise NoSuchPath(path)
    return found


def _names(tree: DirectTree, path: str) -> list[str]:
    """Return the names in a directory; none where there is no such directory."""
    try:
        path, attributes = tree.resolve(path)
        is_directory = attributes.kind == stat.S_IFDIR
        return [entry.name for entry in tree.listdir(path)] if is_directory else []
    except (NoSuchPath, NotADirectory):
        return []


def _exists(tree: DirectTree, path: str) -> bool:
    try:
        tree.resolve(path, last=False)
    except (NoSuchPath, NotADirectory):
        return False
    return True
