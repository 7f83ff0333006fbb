"""Reads the fields of the API's objects that a table has and no listing needs.

Whatever a field holds, the item has a row: a field of another type counts as missing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from histfs.core.item_row import RowFields
from histfs.sources.elevenlabs.history_objects import spoken_clip_of
from histfs.sources.elevenlabs.json_parsing import number_of, parse_object, string_of


class _Metadata(msgspec.Struct):
    cost: float | None = None
    main_language: str | None = None
    call_duration_secs: float | None = None


class _Fields(msgspec.Struct):
    settings: dict[str, Any] | None = None
    character_count_change_from: int | None = None
    character_count_change_to: int | None = None
    main_language: str | None = None
    call_duration_secs: float | None = None
    metadata: _Metadata | None = None


_decode = msgspec.json.Decoder(_Fields).decode


def row_fields(raw: bytes) -> RowFields:
    """Return the fields of a history item, or of a conversation, as listed or as fetched."""
    try:
        fields = _decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        fields = _lenient(raw)
    metadata = fields.metadata or _Metadata()
    before, after = fields.character_count_change_from, fields.character_count_change_to
    clip = spoken_clip_of(raw)
    seconds = None if clip is None else clip.seconds
    if seconds is None:
        own = (fields.call_duration_secs, metadata.call_duration_secs)
        seconds = next((each for each in own if each is not None), None)
    settings = fields.settings
    return RowFields(
        text=None if clip is None else clip.text,
        tells_text=clip is not None,
        settings=msgspec.json.encode(settings).decode() if settings else None,
        characters=after - before if before is not None and after is not None else None,
        duration=seconds if seconds is not None and 0 < seconds < float("inf") else None,
        language=fields.main_language or metadata.main_language or None,
        cost=metadata.cost,
        words=None if clip is None else clip.words,
    )


def _lenient(raw: bytes) -> _Fields:
    try:
        parsed = parse_object(raw)
    except (ValueError, RecursionError):
        return _Fields()
    if not isinstance(parsed, dict):
        return _Fields()
    metadata = parsed.get("metadata")
    inner = metadata if isinstance(metadata, dict) else {}
    settings = parsed.get("settings")

    def whole(name: str) -> int | None:
        number = number_of(parsed.get(name))
        return int(number) if number is not None and abs(number) < 2**62 else None

    return _Fields(
        settings=settings if isinstance(settings, dict) else None,
        character_count_change_from=whole("character_count_change_from"),
        character_count_change_to=whole("character_count_change_to"),
        main_language=string_of(parsed.get("main_language")) or None,
        call_duration_secs=number_of(parsed.get("call_duration_secs")),
        metadata=_Metadata(
            number_of(inner.get("cost")),
            string_of(inner.get("main_language")) or None,
            number_of(inner.get("call_duration_secs")),
        ),
    )
