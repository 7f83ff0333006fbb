"""The media types of files, by the extension of their names, or by their first bytes."""

from __future__ import annotations

from histfs.core.audio_format import sniff

#: Of audio that a browser or a player can play.
_AUDIO_TYPES = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "opus": "audio/ogg",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mp4": "audio/mp4",
    "webm": "audio/webm",
    "aac": "audio/aac",
}
#: Raw samples have no type that says how to play them.
UNKNOWN_TYPE = "application/octet-stream"
#: Of other files that a browser shows without running anything in them.
_PASSIVE_TYPES = {
    "txt": "text/plain; charset=utf-8",
    "json": "application/json",
    "lrc": "text/plain; charset=utf-8",
    "srt": "application/x-subrip",
    "vtt": "text/vtt; charset=utf-8",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "pdf": "application/pdf",
}


def media_type(name: str) -> str:
    """Return the media type of a file; `UNKNOWN_TYPE` for one that could hold a program."""
    extension = name.rpartition(".")[2].lower()
    return _AUDIO_TYPES.get(extension) or _PASSIVE_TYPES.get(extension, UNKNOWN_TYPE)


def sniffed_type(name: str, head: bytes) -> str:
    """Return the media type of audio.

    Args:
        name: its name, which counts where the bytes don't tell.
        head: its first bytes, a kilobyte of them if there are as many.
    """
    found = sniff(head)
    extensions = [*(found.extensions if found is not None else ()), name.rpartition(".")[2]]
    return next((_AUDIO_TYPES[each] for each in extensions if each in _AUDIO_TYPES), UNKNOWN_TYPE)
