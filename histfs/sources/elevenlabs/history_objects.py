"""The API's history objects, read into the core's words.

Whatever a field holds, the item is shown: an unknown field stays in ``meta.json``, a missing or odd
one has a default. Only an object without an id can't be shown: its list fails.

A page has 1,000 objects, so only the fields that a listing needs are read. The rest of an object,
most of all the times of its characters, is looked at when its ``meta.json`` is.
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
from histfs.sources.elevenlabs.json_parsing import indented, object_of, strictly


class _Alignment(msgspec.Struct):
    """When each character is spoken."""

    character_end_times_seconds: msgspec.Raw = msgspec.Raw(b"null")


class _Alignments(msgspec.Struct):
    """The same for the text, and for what was made of it to be spoken."""

    alignment: _Alignment | None = None
    normalized_alignment: _Alignment | None = None


class _Fields(msgspec.Struct):
    """The fields of a history object that an item is made of, of the types that they should have.

    A field that has none is None or empty.
    """

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


#: A history object, its fields, and how many seconds its audio lasts.
_Reading = tuple[bytes, _Fields, float | None]

_decode = msgspec.json.Decoder(_Fields).decode


def records_of(history: Iterable[bytes], now: float) -> list[Record]:
    """Read a page of history objects.

    An object without a possible date gets its neighbour's.

    Args:
        history: the objects in JSON, as the API lists them.
        now: the server's time as well as it is known, in seconds since the epoch.

    Raises:
        BadAnswer: one of them has no id: a list without it would look complete.
        ValueError, RecursionError: one of them is not JSON, or not to be read.
    """
    readings = [_read(raw) for raw in history]
    nameless = sum(not fields.history_item_id for _, fields, _ in readings)
    if nameless:
        raise BadAnswer(f"the server lists items without an id ({nameless} on a page)")
    dates = dates_of([fields.date_unix for _, fields, _ in readings], now)
    return [
        _record(*reading, date, dated)
        for reading, date, dated in zip(readings, *dates, strict=True)
    ]


def record_of(raw: bytes, now: float) -> Record:
    """Read one history object.

    Args:
        raw: the object in JSON.
        now: the server's time as well as it is known, in seconds since the epoch.

    Raises:
        BadAnswer: it is no object, or has no id.
        ValueError, RecursionError: it is not JSON, or not to be read.
    """
    _, fields, seconds = _read(raw)
    if not fields.history_item_id:
        raise BadAnswer("the answer is not a history item")
    ((date,), (dated,)) = dates_of([fields.date_unix], now)
    return _record(raw, fields, seconds, date, dated)


def details_of(raw: bytes) -> Details:
    """Return what the item's text files are made of.

    Args:
        raw: the object in JSON.

    Raises:
        BadAnswer: it can't be read.
    """
    try:
        _, fields, _ = _read(raw)
        whole = indented(raw)
    except (ValueError, RecursionError) as error:
        raise BadAnswer("the item's object can't be read") from error
    if not whole.startswith(b"{"):
        raise BadAnswer("the item is JSON, but not an object")
    spoken = _spoken(fields)
    return Details(whole, spoken.text, words=spoken.words)


def _read(raw: bytes) -> _Reading:
    """Read the fields of a history object; JSON of another kind has none."""
    return strictly(_read_strictly, raw) or _read_leniently(raw)


def _read_strictly(raw: bytes) -> _Reading:
    fields = _decode(raw)
    return raw, fields, _last_end(fields.alignments)


def _read_leniently(raw: bytes) -> _Reading:
    whole = object_of(raw)
    if not isinstance(whole, dict):
        return raw, _Fields(), None
    fields = _Fields(
        history_item_id=string_of(whole.get("history_item_id")),
        date_unix=number_of(whole.get("date_unix")),
        text=text if isinstance(text := whole.get("text"), str) else None,
        dialogue=dialogue if isinstance(dialogue := whole.get("dialogue"), list) else None,
        content_type=string_of(whole.get("content_type")),
        output_format=string_of(whole.get("output_format")),
        voice_id=string_of(whole.get("voice_id")),
        voice_name=string_of(whole.get("voice_name")),
        source=string_of(whole.get("source")),
        model_id=string_of(whole.get("model_id")),
    )
    return raw, fields, _seconds(whole.get("alignments"))


def _last_end(alignments: _Alignments | None) -> float | None:
    """Return the end of the last character, without reading the others'.

    Raises:
        ValueError: it is no number, or there are no characters.
    """
    if alignments is None:
        return None
    for alignment in (alignments.alignment, alignments.normalized_alignment):
        ends = b"" if alignment is None else bytes(alignment.character_end_times_seconds)
        if ends.startswith(b"["):
            # A value with a comma in it is no number: a piece of it ends in a quote or a bracket.
            ends = ends[1:-1]
            return float(ends[ends.rfind(b",") + 1 :])
    return None


def _seconds(alignments: object) -> float | None:
    """Return the end of the last character, in seconds, whatever the alignments are."""
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


@functools.lru_cache(maxsize=64)  # an account has a handful
def _format(content_type: str, output_format: str) -> tuple[str, str]:
    """Return the media type without its parameters, lower case, and the name of the format."""
    media_type = content_type.partition(";")[0].strip().lower()
    return (
        media_type.encode("ascii", "replace").decode(),
        output_format.strip().encode("ascii", "replace").decode(),
    )


def _spoken(fields: _Fields) -> Spoken:
    """Return what was spoken by whom: the dialogue tells, where there is one, else the text."""
    voice = voice_of(fields.voice_id or "", fields.voice_name or "")
    if fields.dialogue:
        dialogue = spoken_in(fields.dialogue, voice)
        if dialogue is not None:
            return dialogue if dialogue.text is not None else dialogue._replace(text=fields.text)
    return Spoken((voice,), fields.text, None)


@functools.lru_cache(maxsize=1024)  # an account has few, and each of them on every page
def _facets(voices: tuple[Labelled, ...], source: str, model: str) -> Facets:
    return {
        "voice": voices,
        "source": (Labelled(source, None),),
        "model": (Labelled(model, None),),
    }
