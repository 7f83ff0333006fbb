"""Dialogues: items whose text and voices are in a list of lines.

The newest models list every item so, also one that a single voice speaks; the item's own ``text``,
``voice_id`` and ``voice_name`` are then null or empty. Where those are there all the same, the
lines count: they tell which voice speaks what.

A line without a voice is spoken by the item's own voice, where it has one. What is no object is no
line, and a line without a text adds nothing to the text; both stay in ``meta.json``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from histfs.core.item import NOTHING
from histfs.core.names import Labelled
from histfs.sources.elevenlabs.field_values import string_of

_UNKNOWN = "?"


class Spoken(NamedTuple):
    """What was spoken, and by whom.

    Attributes:
        voices: the voices, each once, in the order in which they begin to speak; an empty one
            where none is known.
        text: as ``text.txt`` shows it: the lines of several voices as ``Voice: line``.
        words: the same without the names of the voices; None where the text has none.
    """

    voices: tuple[Labelled, ...]
    text: str | None
    words: str | None


class _Line(NamedTuple):
    voice: Labelled
    text: str


def voice_of(voice_id: str, name: str) -> Labelled:
    """Return a voice as a facet: it is known by its id, or by its name where it has no id."""
    return Labelled(voice_id or name, name or None)


def spoken_in(dialogue: Sequence[object], own: Labelled) -> Spoken | None:
    """Return what is spoken in a dialogue; None where there is no line in it.

    Args:
        dialogue: the lines, whatever they are.
        own: the voice of the item itself; its value may be empty.
    """
    lines = [_line(line, own) for line in dialogue if isinstance(line, Mapping)]
    if not lines:
        return None
    lines = _named(lines, own)
    voices = tuple(dict.fromkeys(line.voice for line in lines))
    spoken = [line for line in lines if line.text]
    words = "\n".join(line.text for line in spoken) if spoken else None
    known = tuple(voice for voice in voices if voice.value) or NOTHING
    if len(voices) == 1:
        return Spoken(known, words, None)
    text = "\n".join(f"{_speaker(line.voice)}: {line.text}" for line in spoken) if spoken else None
    return Spoken(known, text, words)


def _line(line: Mapping[str, object], own: Labelled) -> _Line:
    voice = voice_of(string_of(line.get("voice_id")), string_of(line.get("voice_name")))
    return _Line(voice if voice.value else own, string_of(line.get("text")))


def _named(lines: Sequence[_Line], own: Labelled) -> list[_Line]:
    """Give each voice one name: the first that a line, or the item itself, gives it.

    A voice of which a line has the name alone is the one that another line gives that name.
    """
    names: dict[str, str] = {}
    ids: dict[str, str] = {}
    for voice in (*(line.voice for line in lines), own):
        if voice.label is not None and voice.label != voice.value:
            names.setdefault(voice.value, voice.label)
            ids.setdefault(voice.label, voice.value)
    named = []
    for (known, label), text in lines:
        value = ids.get(label, known) if known == label else known
        named.append(_Line(Labelled(value, names.get(value, label)), text))
    return named


def _speaker(voice: Labelled) -> str:
    return voice.label or voice.value or _UNKNOWN
