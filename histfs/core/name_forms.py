"""What the form of a name tells, without the catalog: an item by its key, audio by its extension.

This module imports nothing: `histfs play` starts the player before anything else is imported.
"""

from __future__ import annotations

#: The length of the time at the beginning of an item's name.
STAMP = len("2024-05-02T11-45-06")
#: Every extension that the name of audio may get, see `histfs.core.audio_format`.
EXTENSIONS = frozenset(
    {
        "aac",
        "alaw",
        "bin",
        "flac",
        "m4a",
        "mp3",
        "ogg",
        "opus",
        "pcm",
        "ulaw",
        "wav",
        "webm",
    }
)


def key_in(name: str) -> str | None:
    """Return the key at the end of an item's name; None if the name has another form."""
    parts = name.split("_", 2)
    good = len(parts) == 3 and len(parts[0]) == STAMP and parts[2].isascii()
    return parts[2] or None if good else None


def is_audio_name(name: str) -> bool:
    """Say whether a file of an item is its audio, by its name; captions have the same stem."""
    stem, _, extension = name.partition(".")
    return stem == "audio" and extension in EXTENSIONS


def has_audio_extension(name: str) -> bool:
    """Say whether a file is audio, by the extension of its name: ``listen`` has other names."""
    return name.rpartition(".")[2] in EXTENSIONS
