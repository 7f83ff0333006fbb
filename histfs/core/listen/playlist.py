"""The playlist of a folder: M3U in UTF-8, with the names of the clips beside it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

#: The name of each folder's playlist.
PLAYLIST = "playlist.m3u8"
#: Stands for a duration that isn't known.
_UNKNOWN = -1


class Entry(NamedTuple):
    """A clip in a playlist.

    Attributes:
        name: of its file.
        seconds: how long it is; None where that is not known.
        voice: who speaks; empty where that is not known.
        words: the first ones.
    """

    name: str
    seconds: float | None
    voice: str
    words: str


def playlist(entries: Iterable[Entry]) -> bytes:
    """Return the bytes of a playlist, with the clips in the given order."""
    lines = ["#EXTM3U"]
    for name, seconds, voice, words in entries:
        length = _UNKNOWN if seconds is None else max(round(seconds), 1)
        title = " - ".join(filter(None, (" ".join(voice.split()), words)))
        lines += [f"#EXTINF:{length},{title}", name]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
