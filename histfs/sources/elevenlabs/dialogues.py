"""Dialogues: items whose text and voices are in a list of lines.

The newest models list every item this way, also one of a single voice; the item's own ``text``,
``voice_id`` and ``voice_name`` are then null or empty. Where they are set too, the lines take
precedence: they give the voice of each part of the text.

A line without a voice has the item's own voice. Elements that are not objects are ignored, and a
line without a text adds nothing to the text; both stay in ``meta.json``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from histfs.core.item import NOTHING
from histfs.core.names import Labelled
from histfs.sources.elevenlabs.field_values import string_of

_UNKNOWN = "?"


class Spoken(NamedTuple):
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


def voice_of(voice_id: str, name: str) -> Labelled:
    """Return a voice as a facet, identified by its id, or by its name where it has no id."""
    return Labelled(voice_id or name, name or None)


def spoken_in(dialogue: Sequence[object], own: Labelled) -> Spoken | None:
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
        return Spoken(known, words, None)
    text = "\n".join(f"{_speaker(line.voice)}: {line.text}" for line in with_text) or None
    return Spoken(known, text, words)


def _parse_line(line: Mapping[str, object], own: Labelled) -> _Line:
    voice = voice_of(string_of(line.get("voice_id")), string_of(line.get("voice_name")))
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
