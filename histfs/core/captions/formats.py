"""Writes cues as files: SubRip, WebVTT (W3C) and LRC. Pure functions.

SubRip and LRC are no standards: they are written as mpv, VLC and ffmpeg read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from histfs.core.captions.cues import Cue


def srt_bytes(cues: Sequence[Cue]) -> bytes:
    """Return a SubRip file (``.srt``), in UTF-8; empty without cues."""
    return _encoded(
        f"{number}\n{_time(cue.start, ',')} --> {_time(cue.end, ',')}\n{_unarrowed(cue)}\n\n"
        for number, cue in enumerate(cues, 1)
    )


def vtt_bytes(cues: Sequence[Cue]) -> bytes:
    """Return a WebVTT file (``.vtt``)."""
    return b"WEBVTT\n\n" + _encoded(
        f"{_time(cue.start, '.')} --> {_time(cue.end, '.')}\n{_escaped(cue)}\n\n" for cue in cues
    )


def lrc_bytes(cues: Sequence[Cue]) -> bytes:
    """Return an LRC file (``.lrc``): one line a cue, and an empty one where a silence begins."""
    lines = []
    for number, cue in enumerate(cues):
        lines.append(f"[{_minutes(cue.start)}]{' '.join(cue.lines)}\n")
        following = cues[number + 1].start if number + 1 < len(cues) else None
        if following is None or following - cue.end > 1000:
            lines.append(f"[{_minutes(cue.end)}]\n")
    return _encoded(lines)


def _encoded(parts: Iterable[str]) -> bytes:
    return "".join(parts).encode("utf-8", "replace")


def _time(moment: int, point: str) -> str:
    seconds, milliseconds = divmod(moment, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{milliseconds:03}"


def _minutes(moment: int) -> str:
    minutes, milliseconds = divmod(moment, 60_000)
    return f"{minutes:02}:{milliseconds // 1000:02}.{milliseconds % 1000 // 10:02}"


def _unarrowed(cue: Cue) -> str:
    # The arrow of a time; there is no escape in this format.
    return "\n".join(cue.lines).replace("-->", "→")


def _escaped(cue: Cue) -> str:
    text = "\n".join(cue.lines).replace("&", "&amp;")
    return text.replace("<", "&lt;").replace(">", "&gt;")
