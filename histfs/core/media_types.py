"""The media types of files, by the extension of their names."""

from __future__ import annotations

#: Of audio that a browser or a player can play.
AUDIO_TYPES = {
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
    return AUDIO_TYPES.get(extension) or _PASSIVE_TYPES.get(extension, UNKNOWN_TYPE)
