"""What the paths of clips tell before anything is asked; this module imports next to nothing."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from histfs.core.name_forms import has_audio_extension, is_audio_name, key_in

#: The most clips that are played: their addresses are arguments of the player.
MOST = 1000

_MAGIC = frozenset("*?[")


def has_pattern(path: str) -> bool:
    """Say whether a path may be a pattern of fnmatch(3)."""
    return not _MAGIC.isdisjoint(path)


def clip_names(paths: Sequence[str]) -> list[str]:
    """Return what a player shows of each path's clip; none unless each path has one, by its name.

    The name of an item has no extension: the catalog alone knows it.
    """
    names = [clip_name(path) for path in paths if not has_pattern(path)]
    known = [name for name in names if has_audio_extension(name) or key_in(name)]
    return known if len(known) == len(paths) <= MOST else []


def clip_name(path: str) -> str:
    """Return what a player shows of an audio file: the name of its item, with its extension."""
    above, name = posixpath.split(posixpath.normpath(path))
    return posixpath.basename(above) + name.removeprefix("audio") if is_audio_name(name) else name
