"""Templates of items: each sample clip in every shape that the API is known to answer with."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from histfs.simulator.clip_bytes import MP3, WAV, WAV_RATE, ClipBytes, mp3_clip, wav_clip
from histfs.simulator.http_messages import dump_json
from histfs.simulator.sample_clips import Sample, load_samples

_MULTILINGUAL = "eleven_multilingual_v2"
_EXPRESSIVE = "eleven_v3"
_NEWEST = "eleven_v4_exp"
_FAST = "eleven_flash_v2_5"

_NEW_SETTINGS: Mapping[str, object] = {
    "stability": 0.5,
    "similarity_boost": 0.75,
    "style": 0.0,
    "use_speaker_boost": True,
    "speed": 1.0,
}
_OLD_SETTINGS: Mapping[str, object] = {"stability": 0.71, "similarity_boost": 0.5}


@dataclass(frozen=True)
class _Shape:
    """How the items of one kind of generation differ from plain text to speech.

    Attributes:
        source: The item's source.
        model: The item's model.
        settings: The item's settings.
        with_text: Whether the item has its text.
        with_voice: Whether the item has its voice.
        aligned: Whether the item has alignments.
        wav: Whether the audio is a WAV file.
        voices: The number of voices in a dialogue; 0 without a dialogue. With one, the item's own
            text and voice are `blank`.
        blank: The value of the text and the voice when the dialogue has them.
        modern: Whether the item has the fields that the API added late.
        extra: Undocumented fields, or other values of documented ones.
    """

    source: str | None = "TTS"
    model: str | None = _MULTILINGUAL
    settings: Mapping[str, object] | None = field(default_factory=lambda: _NEW_SETTINGS)
    with_text: bool = True
    with_voice: bool = True
    aligned: bool = True
    wav: bool = False
    voices: int = 0
    blank: str | None = None
    modern: bool = True
    extra: Mapping[str, object] = field(default_factory=dict)


def _dialogue(voices: int, model: str, *, blank: str | None = None) -> _Shape:
    """Return the shape of the newest models' items: a dialogue, even of one voice."""
    return _Shape(model=model, settings=None, aligned=False, voices=voices, blank=blank)


_PLAIN = _Shape()
_SHAPES = (
    *(_PLAIN,) * 4,
    _dialogue(1, _EXPRESSIVE),
    _dialogue(1, _NEWEST, blank=""),
    _dialogue(2, _NEWEST, blank=""),
    _Shape(settings={**_NEW_SETTINGS, "stability": 0.3, "style": 0.2, "speed": 1.1}),
    _Shape(model=_EXPRESSIVE, settings={"stability": 0.5}),
    _Shape(model=_FAST, aligned=False),
    _Shape(model=_FAST, extra={"share_link_id": "sharedByLink0001"}),
    _Shape(extra={"tags": ["demo", "ünïcode"], "provenance": {"watermark": None, "region": "eu"}}),
    _Shape(model="eleven_monolingual_v1", settings=_OLD_SETTINGS, aligned=False, modern=False),
    _Shape(wav=True),
    _dialogue(2, _EXPRESSIVE),
    _Shape("STS", "eleven_multilingual_sts_v2", with_text=False, aligned=False),
    _Shape("Projects"),
    _Shape("ConvAI", _FAST, settings=None, aligned=False),
    _Shape("Dubbing", None, settings=None, aligned=False, with_text=False, with_voice=False),
    _Shape("Flows", _EXPRESSIVE, aligned=False),
    _Shape(None, None, settings=None, aligned=False, with_voice=False, modern=False),
)


@dataclass(frozen=True)
class ItemTemplate:
    """What many items have in common: everything but their id, time and character count.

    Attributes:
        fields: The API's object without the fields that differ from item to item.
        search_text: The text that a search looks at, case-folded.
        title: The title in the audio's tag.
        characters: The length of the text, for the character count.
        duration: Seconds of audio.
        frames: The MP3 frames; empty when the audio is a WAV file.
        template: The API's object in JSON, with placeholders for `render`.
    """

    fields: Mapping[str, object]
    search_text: str
    title: str
    characters: int
    duration: float
    frames: bytes
    template: bytes

    def render(self, item_id: bytes, request_id: bytes, time: int, count: int) -> bytes:
        """Return the JSON object of one item.

        Args:
            item_id: The item's id.
            request_id: The id of the request that generated it.
            time: Unix time, in seconds.
            count: The account's character count before the item.

        Returns:
            The object in UTF-8.
        """
        return self.template % (item_id, time, count, count + self.characters, request_id)

    def clip(self, item_id: str, target_size: int | None) -> ClipBytes:
        """Return the audio of one item."""
        if self.frames:
            return mp3_clip(item_id, self.title, self.frames, target_size=target_size)
        return self.wav_clip(item_id, target_size)

    def wav_clip(self, item_id: str, target_size: int | None) -> ClipBytes:
        """Return the audio of one item as WAV: a tone of the speech's duration."""
        return wav_clip(item_id, self.title, self.duration, target_size=target_size)


@functools.cache
def item_templates(*, alignments: bool) -> tuple[ItemTemplate, ...]:
    """Return a template for every clip in every shape.

    Args:
        alignments: Whether items have alignments; they are most of an item's bytes.
    """
    samples = load_samples()
    clips = samples.clips
    templates = []
    for shape in _SHAPES:
        for position, sample in enumerate(clips):
            reply = clips[(position + 1) % len(clips)]
            templates.append(
                _item_template(shape, sample, reply, samples.output_format, alignments)
            )
    return tuple(templates)


def _item_template(
    shape: _Shape, sample: Sample, reply: Sample, output_format: str, alignments: bool
) -> ItemTemplate:
    spoken = [sample, reply][: max(shape.voices, 1)]
    lines = _lines(spoken) if shape.voices else None
    text = sample.text if shape.with_text else None
    voice = sample.voice if shape.with_voice and not shape.voices else None
    blank = shape.blank if shape.voices else None
    fields: dict[str, object] = {
        "content_type": WAV if shape.wav else MP3,
        "state": "created",
        "request_id": None,
        "voice_id": voice.id if voice else blank,
        "model_id": shape.model,
        "voice_name": voice.name if voice else blank,
        "voice_category": voice and voice.category,
        "text": blank if shape.voices else text,
        "settings": shape.settings,
        "source": shape.source,
        "share_link_id": None,
        "alignments": _alignments(sample) if shape.aligned and alignments else None,
    }
    if shape.modern:
        fields["dialogue"] = lines
        fields["output_format"] = f"wav_{WAV_RATE}" if shape.wav else output_format
    fields.update(shape.extra)
    words = "\n".join(line["text"] for line in lines) if lines else text or ""
    return ItemTemplate(
        fields=fields,
        search_text=words.casefold(),
        title=words or "Untitled",
        characters=sum(len(part.text) for part in spoken),
        duration=sum(part.duration for part in spoken),
        frames=b"" if shape.wav else b"".join(part.frames for part in spoken),
        template=_json_template(fields),
    )


def _alignments(sample: Sample) -> dict[str, object]:
    alignment = dataclasses.asdict(sample.alignment)
    return {"alignment": alignment, "normalized_alignment": alignment}


def _lines(spoken: Sequence[Sample]) -> list[dict[str, str]]:
    """Return a dialogue: a line for each sentence."""
    return [
        {"text": sentence, "voice_id": part.voice.id, "voice_name": part.voice.name}
        for part in spoken
        for sentence in re.split(r"(?<=[.!?]) ", part.text)
    ]


def _json_template(fields: Mapping[str, object]) -> bytes:
    """Return the format string of `ItemTemplate.render`; it makes a page of 1000 items fast."""
    encoded = {name: dump_json(value).replace(b"%", b"%%") for name, value in fields.items()}
    encoded["request_id"] = b'"%s"'
    members = b",".join(b'"%s":%s' % (name.encode(), value) for name, value in encoded.items())
    head = b'{"history_item_id":"%s","date_unix":%d,'
    head += b'"character_count_change_from":%d,"character_count_change_to":%d,'
    return head + members + b"}"
