"""Parses the API's history objects into records and details.

Whatever a field holds, the item is shown: an unknown field stays in ``meta.json``, a missing or
invalid one has a default. An object without an id can't be shown, and its list fails.

A page has 1,000 objects, so only the fields that a listing needs are parsed. The rest of an object,
mainly the times of its characters, is parsed when its ``meta.json`` is read.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from histfs.core.errors import BadAnswer
from histfs.core.item import Details, Facets, Record
from histfs.core.names import Labelled
from histfs.core.size_estimate import audio_bytes
from histfs.sources.elevenlabs.dialogues import Spoken, spoken_in, voice_of
from histfs.sources.elevenlabs.field_values import dates_of, number_of, string_of
from histfs.sources.elevenlabs.json_parsing import indent, parse_object, try_strict


class _Alignment(msgspec.Struct):
    """The times of the characters."""

    character_end_times_seconds: msgspec.Raw = msgspec.Raw(b"null")


class _Alignments(msgspec.Struct):
    """The times of the characters of the text, and of the normalized text that was spoken."""

    alignment: _Alignment | None = None
    normalized_alignment: _Alignment | None = None


class _Fields(msgspec.Struct):
    """The fields of a history object that an item is made of; a missing field is None."""

    history_item_id: str | None = None
    date_unix: float | None = None
    text: str | None = None
    dialogue: list[Any] | None = None
    content_type: str | None = None
    output_format: str | None = None
    voice_id: str | None = None
    voice_name: str | None = None
    source: str | None = None
    model_id: str | None = None
    alignments: _Alignments | None = None


#: The JSON of a history object, its fields, and the duration of its audio in seconds.
_Parsed = tuple[bytes, _Fields, float | None]

_decode = msgspec.json.Decoder(_Fields).decode


def records_of(history: Iterable[bytes], now: float) -> list[Record]:
    """Parse a page of history objects; one without a valid date gets its neighbour's.

    Args:
        history: the objects in JSON, in the order of the list.
        now: the server's time, as far as it is known, in seconds since the epoch.

    Raises:
        BadAnswer: an object has no id: a list without it would look complete.
        ValueError, RecursionError: an object can't be parsed.
    """
    parsed = [_parse(raw) for raw in history]
    without_id = sum(not fields.history_item_id for _, fields, _ in parsed)
    if without_id:
        raise BadAnswer(f"the server lists items without an id ({without_id} on a page)")
    dates = dates_of([fields.date_unix for _, fields, _ in parsed], now)
    return [_record(*each, date, dated) for each, date, dated in zip(parsed, *dates, strict=True)]


def record_of(raw: bytes, now: float) -> Record:
    """Parse one history object.

    Args:
        raw: the object in JSON.
        now: the server's time, as far as it is known, in seconds since the epoch.

    Raises:
        BadAnswer: it is not an object, or has no id.
        ValueError, RecursionError: it can't be parsed.
    """
    _, fields, seconds = _parse(raw)
    if not fields.history_item_id:
        raise BadAnswer("the answer is not a history item")
    ((date,), (dated,)) = dates_of([fields.date_unix], now)
    return _record(raw, fields, seconds, date, dated)


def details_of(raw: bytes) -> Details:
    """Parse the details of a history object, for the item's text files.

    Args:
        raw: the object in JSON.

    Raises:
        BadAnswer: it can't be parsed.
    """
    try:
        _, fields, _ = _parse(raw)
        indented = indent(raw)
    except (ValueError, RecursionError) as error:
        raise BadAnswer("the item's object can't be read") from error
    if not indented.startswith(b"{"):
        raise BadAnswer("the item is JSON, but not an object")
    spoken = _spoken(fields)
    return Details(indented, spoken.text, words=spoken.words)


def _parse(raw: bytes) -> _Parsed:
    """Parse the fields of a history object; JSON of another kind has none."""
    return try_strict(_parse_strict, raw) or _parse_lenient(raw)


def _parse_strict(raw: bytes) -> _Parsed:
    fields = _decode(raw)
    return raw, fields, _duration_strict(fields.alignments)


def _parse_lenient(raw: bytes) -> _Parsed:
    parsed = parse_object(raw)
    if not isinstance(parsed, dict):
        return raw, _Fields(), None
    fields = _Fields(
        history_item_id=string_of(parsed.get("history_item_id")),
        date_unix=number_of(parsed.get("date_unix")),
        text=text if isinstance(text := parsed.get("text"), str) else None,
        dialogue=dialogue if isinstance(dialogue := parsed.get("dialogue"), list) else None,
        content_type=string_of(parsed.get("content_type")),
        output_format=string_of(parsed.get("output_format")),
        voice_id=string_of(parsed.get("voice_id")),
        voice_name=string_of(parsed.get("voice_name")),
        source=string_of(parsed.get("source")),
        model_id=string_of(parsed.get("model_id")),
    )
    return raw, fields, _duration_lenient(parsed.get("alignments"))


def _duration_strict(alignments: _Alignments | None) -> float | None:
    """Return the end of the last character in seconds, without parsing the others.

    Raises:
        ValueError: it is not a number, or there are no characters.
    """
    if alignments is None:
        return None
    for alignment in (alignments.alignment, alignments.normalized_alignment):
        ends = b"" if alignment is None else bytes(alignment.character_end_times_seconds)
        if ends.startswith(b"["):
            # A value with a comma in it is not a number: its last part ends in a quote or bracket.
            ends = ends[1:-1]
            return float(ends[ends.rfind(b",") + 1 :])
    return None


def _duration_lenient(alignments: object) -> float | None:
    """Return the end of the last character in seconds, from alignments of any JSON type."""
    if not isinstance(alignments, Mapping):
        return None
    for name in ("alignment", "normalized_alignment"):
        alignment = alignments.get(name)
        ends = isinstance(alignment, Mapping) and alignment.get("character_end_times_seconds")
        if isinstance(ends, list) and ends:
            return number_of(ends[-1])
    return None


def _record(raw: bytes, fields: _Fields, seconds: float | None, date: int, dated: bool) -> Record:
    spoken = _spoken(fields)
    words = spoken.words or spoken.text or ""
    content_type, output_format = _format(fields.content_type or "", fields.output_format or "")
    facets = _facets(spoken.voices, fields.source or "", fields.model_id or "")
    return Record.of(
        fields.history_item_id or "",
        date,
        raw,
        title=words,
        facets=facets,
        content_type=content_type,
        output_format=output_format,
        estimate=audio_bytes(content_type, output_format, seconds, len(words)),
        dated=dated,
    )


@functools.lru_cache(maxsize=64)  # an account has few of them
def _format(content_type: str, output_format: str) -> tuple[str, str]:
    """Return the media type without parameters, lower case, and the output format."""
    media_type = content_type.partition(";")[0].strip().lower()
    return (
        media_type.encode("ascii", "replace").decode(),
        output_format.strip().encode("ascii", "replace").decode(),
    )


def _spoken(fields: _Fields) -> Spoken:
    """Return the text and the voices: of the dialogue where there is one, else of the item."""
    voice = voice_of(fields.voice_id or "", fields.voice_name or "")
    if fields.dialogue:
        dialogue = spoken_in(fields.dialogue, voice)
        if dialogue is not None:
            return dialogue if dialogue.text is not None else dialogue._replace(text=fields.text)
    return Spoken((voice,), fields.text, None)


@functools.lru_cache(maxsize=1024)  # few per account, and each on every page
def _facets(voices: tuple[Labelled, ...], source: str, model: str) -> Facets:
    return {
        "voice": voices,
        "source": (Labelled(source, None),),
        "model": (Labelled(model, None),),
    }
