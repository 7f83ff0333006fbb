"""The spoken clips that come with the simulator (made by scripts/make-samples)."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Voice:
    """A voice as items name it.

    Attributes:
        id: The voice's id; unlike the name, no two voices share it.
        name: What a person calls the voice.
        category: One of the API's categories, such as "premade".
    """

    id: str
    name: str
    category: str


@dataclass(frozen=True)
class Alignment:
    """When each character of a text is spoken.

    Attributes:
        characters: The text, one entry per character.
        character_start_times_seconds: As many starts, in seconds.
        character_end_times_seconds: As many ends; the last one is the clip's duration.
    """

    characters: list[str]
    character_start_times_seconds: list[float]
    character_end_times_seconds: list[float]


@dataclass(frozen=True)
class Sample:
    """One clip.

    Attributes:
        text: What is said.
        language: The language's tag, such as "en-us".
        voice: Who says it.
        duration: Seconds.
        alignment: The time of every character.
        frames: Bare MP3 frames of constant bit rate, without tags; they may be repeated.
    """

    text: str
    language: str
    voice: Voice
    duration: float
    alignment: Alignment
    frames: bytes


@dataclass(frozen=True)
class Samples:
    """All clips.

    Attributes:
        output_format: The format of every clip's frames, in the API's words.
        voices: The voices.
        clips: The clips.
    """

    output_format: str
    voices: tuple[Voice, ...]
    clips: tuple[Sample, ...]


@functools.cache
def load_samples() -> Samples:
    """Reads the clips that are packed with this module, once."""
    folder = resources.files(__package__).joinpath("samples")
    described = json.loads(folder.joinpath("samples.json").read_text("utf-8"))
    voices = tuple(Voice(**voice) for voice in described["voices"])
    clips = tuple(
        Sample(
            text=clip["text"],
            language=clip["language"],
            voice=voices[clip["voice"]],
            duration=clip["duration"],
            alignment=Alignment(**clip["alignment"]),
            frames=folder.joinpath(clip["file"]).read_bytes(),
        )
        for clip in described["clips"]
    )
    return Samples(described["output_format"], voices, clips)
