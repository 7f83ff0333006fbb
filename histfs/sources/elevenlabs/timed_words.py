"""Reads the words of history items and conversations, and when each is spoken.

A history item has the times of its characters: of its text, or of the normalized text that was
spoken. A conversation has the time of each turn, to the second.

Whatever a field holds, there are words or none: a field of another type counts as missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from histfs.core.captions import TimedWord, spread_words, words_of_characters
from histfs.sources.elevenlabs.json_parsing import number_of, parse_object
from histfs.sources.elevenlabs.transcript import message_of


class _Alignment(msgspec.Struct):
    characters: list[str] = []
    character_start_times_seconds: list[float] = []
    character_end_times_seconds: list[float] = []


class _Alignments(msgspec.Struct):
    alignment: _Alignment | None = None
    normalized_alignment: _Alignment | None = None


class _Clip(msgspec.Struct):
    alignments: _Alignments | None = None


_decode = msgspec.json.Decoder(_Clip).decode


def timed_words_of_clip(raw: bytes) -> list[TimedWord]:
    """Return the words of a history item; none if it has no times.

    Args:
        raw: the object, in JSON.
    """
    try:
        both = _decode(raw).alignments
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _lenient_words(raw)
    for alignment in () if both is None else (both.alignment, both.normalized_alignment):
        if alignment is not None:
            times = alignment.character_start_times_seconds, alignment.character_end_times_seconds
            if words := words_of_characters(alignment.characters, *times):
                return words
    return []


def _lenient_words(raw: bytes) -> list[TimedWord]:
    """Return the words of an object of which any field may be of any type."""
    alignments = _object(raw, "alignments").get("alignments")
    if not isinstance(alignments, Mapping):
        return []
    for name in ("alignment", "normalized_alignment"):
        alignment = alignments.get(name)
        if isinstance(alignment, Mapping) and (words := _words(alignment)):
            return words
    return []


def timed_words_of_conversation(raw: bytes) -> list[TimedWord]:
    """Return the words of a conversation; none of a summary, which has no turns.

    Args:
        raw: the complete object, in JSON.
    """
    fields = _object(raw, "transcript")
    turns = fields.get("transcript")
    said = [
        (moment, message)
        for turn in (turns if isinstance(turns, list) else ())
        if isinstance(turn, Mapping)
        and (moment := number_of(turn.get("time_in_call_secs"))) is not None
        and (message := message_of(turn))
    ]
    metadata = fields.get("metadata")
    whole = metadata.get("call_duration_secs") if isinstance(metadata, Mapping) else None
    words: list[TimedWord] = []
    for number, (moment, message) in enumerate(said):
        following = said[number + 1][0] if number + 1 < len(said) else number_of(whole) or 0.0
        now = words[-1].end if words else 0
        for word in spread_words(message, moment, following):
            start = max(word.start, now)
            words.append(word._replace(start=start, end=max(word.end, start)))
            now = words[-1].end
    return words


def _words(alignment: Mapping[str, Any]) -> list[TimedWord]:
    characters, starts, ends = (
        value if isinstance(value := alignment.get(name), list) else []
        for name in (
            "characters", "character_start_times_seconds", "character_end_times_seconds"
        )
    )  # fmt: skip
    return words_of_characters(characters, starts, ends)


def _object(raw: bytes, needed: str) -> Mapping[str, Any]:
    try:
        parsed = parse_object(raw, (needed,))
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
