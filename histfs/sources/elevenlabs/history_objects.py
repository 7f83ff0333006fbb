"""Parses the API's history objects into records and details.

Whatever a field holds, the item is shown: an unknown field stays in ``meta.json``, a missing or
invalid one has a default. An object without an id can't be shown, and its list fails.

A page has 1,000 objects, so only the fields that a listing needs are parsed. The rest of an object,
mainly the times of its characters, is parsed when its ``meta.json`` is read.

The newest models list every item as a dialogue, a list of lines, also one of a single voice; the
item's own ``text``, ``voice_id`` and ``voice_name`` are then null or empty. Where they are set too,
the lines take precedence: they give the voice of each part of the text. A line without a voice has
the item's own voice. Elements that are not objects are ignored, and a line without a text adds
nothing to the text; both stay in ``meta.json``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from histfs.core.errors import BadAnswer
from histfs.core.item import NOTHING, Details, Facets, Record
from histfs.core.names import Labelled
from histfs.core.size_estimate import audio_bytes
from histfs.sources.elevenlabs.json_parsing import (
    RecordParser,
    indent,
    number_of,
    parse_object,
    string_of,
    try_strict,
)

#: A greater difference of the account's counts is an odd one.
_MAX_COST = 1e7


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
    character_count_change_from: float | None = None
    character_count_change_to: float | None = None

    @property
    def cost(self) -> int:
        """What the item has cost in characters; 0 if it isn't told."""
        before, after = self.character_count_change_from, self.character_count_change_to
        difference = 0 if before is None or after is None else after - before
        return int(difference) if 0 < difference < _MAX_COST else 0


#: The fields of a history object, and the duration of its audio in seconds.
_Parsed = tuple[_Fields, float | None]

_decode = msgspec.json.Decoder(_Fields).decode


def details_of(raw: bytes) -> Details:
    """Parse the details of a history object, for the item's text files.

    Args:
        raw: the object in JSON.

    Raises:
        BadAnswer: it can't be parsed.
    """
    try:
        fields, _ = _parse(raw)
        indented = indent(raw)
    except (ValueError, RecursionError) as error:
        raise BadAnswer("the item's object can't be read") from error
    if not indented.startswith(b"{"):
        raise BadAnswer("the item is JSON, but not an object")
    spoken = _spoken(fields)
    return Details(indented, spoken.text, words=spoken.words)


class SpokenClip(NamedTuple):
    """What a table has of a history object, at a fraction of the cost of `details_of`.

    Attributes:
        text: as in `Details`.
        seconds: the duration of the audio by the times of its characters; None if it has none.
        words: as in `Details`.
    """

    text: str | None
    seconds: float | None
    words: str | None = None


def spoken_clip_of(raw: bytes) -> SpokenClip | None:
    """Return the text and the duration of a history object; None for an object of another kind."""
    try:
        fields, seconds = _parse(raw)
    except (ValueError, RecursionError):
        return None
    if not fields.history_item_id:
        return None
    spoken = _spoken(fields)
    return SpokenClip(spoken.text, seconds, spoken.words)


def _parse(raw: bytes) -> _Parsed:
    """Parse the fields of a history object; JSON of another kind has none."""
    return try_strict(_parse_strict, raw) or _parse_lenient(raw)


def _parse_strict(raw: bytes) -> _Parsed:
    fields = _decode(raw)
    return fields, _duration_strict(fields.alignments)


def _parse_lenient(raw: bytes) -> _Parsed:
    parsed = parse_object(raw)
    if not isinstance(parsed, dict):
        return _Fields(), None
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
        character_count_change_from=number_of(parsed.get("character_count_change_from")),
        character_count_change_to=number_of(parsed.get("character_count_change_to")),
    )
    return fields, _duration_lenient(parsed.get("alignments"))


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


def _record(raw: bytes, parsed: _Parsed, date: int, dated: bool) -> Record:
    fields, seconds = parsed
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
        estimate=audio_bytes(content_type, output_format, seconds, len(words) or fields.cost),
        timed=seconds is not None,
        dated=dated,
    )


_parser = RecordParser(
    name="history item",
    plural="items",
    parse=_parse,
    id_of=lambda parsed: parsed[0].history_item_id or "",
    date_of=lambda parsed: parsed[0].date_unix,
    make=_record,
)
record_of, records_of = _parser.record_of, _parser.records_of


@functools.lru_cache(maxsize=64)  # an account has few of them
def _format(content_type: str, output_format: str) -> tuple[str, str]:
    """Return the media type without parameters, lower case, and the output format."""
    media_type = content_type.partition(";")[0].strip().lower()
    return (
        media_type.encode("ascii", "replace").decode(),
        output_format.strip().encode("ascii", "replace").decode(),
    )


def _spoken(fields: _Fields) -> _Spoken:
    """Return the text and the voices: of the dialogue where there is one, else of the item."""
    voice = _voice_of(fields.voice_id or "", fields.voice_name or "")
    if fields.dialogue:
        dialogue = _spoken_in(fields.dialogue, voice)
        if dialogue is not None:
            return dialogue if dialogue.text is not None else dialogue._replace(text=fields.text)
    return _Spoken((voice,), fields.text, None)


@functools.lru_cache(maxsize=1024)  # few per account, and each on every page
def _facets(voices: tuple[Labelled, ...], source: str, model: str) -> Facets:
    return {
        "voice": voices,
        "source": (Labelled(source, None),),
        "model": (Labelled(model, None),),
    }


# Dialogues

_UNKNOWN = "?"


class _Spoken(NamedTuple):
    """The text and the voices of an item.

    Attributes:
        voices: the voices, each once, in the order of their first lines; one empty voice where
            none is known.
        text: the content of ``text.txt``; with several voices, lines such as ``Voice: line``.
        words: the text without the names of the voices; None where the text contains none.
    """

    voices: tuple[Labelled, ...]
    text: str | None
    words: str | None


class _Line(NamedTuple):
    voice: Labelled
    text: str


def _voice_of(voice_id: str, name: str) -> Labelled:
    """Return a voice as a facet, identified by its id, or by its name where it has no id."""
    return Labelled(voice_id or name, name or None)


def _spoken_in(dialogue: Sequence[object], own: Labelled) -> _Spoken | None:
    """Return the text and the voices of a dialogue; None when it has no lines.

    Args:
        dialogue: the lines, of any JSON type.
        own: the voice of the item itself; its value may be empty.
    """
    lines = [_parse_line(line, own) for line in dialogue if isinstance(line, Mapping)]
    if not lines:
        return None
    lines = _unify_voices(lines, own)
    voices = tuple(dict.fromkeys(line.voice for line in lines))
    with_text = [line for line in lines if line.text]
    words = "\n".join(line.text for line in with_text) or None
    known = tuple(voice for voice in voices if voice.value) or NOTHING
    if len(voices) == 1:
        return _Spoken(known, words, None)
    text = "\n".join(f"{_speaker(line.voice)}: {line.text}" for line in with_text) or None
    return _Spoken(known, text, words)


def _parse_line(line: Mapping[str, object], own: Labelled) -> _Line:
    voice = _voice_of(string_of(line.get("voice_id")), string_of(line.get("voice_name")))
    return _Line(voice if voice.value else own, string_of(line.get("text")))


def _unify_voices(lines: Sequence[_Line], own: Labelled) -> list[_Line]:
    """Give each voice one label: the first that a line, or the item itself, has for it.

    A voice that has only a name is the same as a voice with an id that has this name.
    """
    names: dict[str, str] = {}
    ids: dict[str, str] = {}
    for voice in (*(line.voice for line in lines), own):
        if voice.label is not None and voice.label != voice.value:
            names.setdefault(voice.value, voice.label)
            ids.setdefault(voice.label, voice.value)
    unified = []
    for (voice_id, label), text in lines:
        value = ids.get(label, voice_id) if voice_id == label else voice_id
        unified.append(_Line(Labelled(value, names.get(value, label)), text))
    return unified


def _speaker(voice: Labelled) -> str:
    return voice.label or voice.value or _UNKNOWN
