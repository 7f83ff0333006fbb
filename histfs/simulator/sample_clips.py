"""Load the spoken clips that are packaged with the simulator (made by scripts/make-samples)."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Voice:
    """A voice as items name it.

    Attributes:
        id: The voice's id, which is unique.
        name: The voice's name, which may not be.
        category: One of the API's categories, such as "premade".
    """

    id: str
    name: str
    category: str


@dataclass(frozen=True)
class Alignment:
    """The times of the characters of a text.

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
        text: The spoken text.
        voice: The speaking voice.
        duration: Seconds.
        alignment: The time of every character.
        frames: Bare MP3 frames of constant bit rate, without tags; they may be repeated.
    """

    text: str
    voice: Voice
    duration: float
    alignment: Alignment
    frames: bytes


@dataclass(frozen=True)
class Samples:
    """All clips.

    Attributes:
        output_format: The format of every clip's frames, in the API's words.
        clips: The clips.
    """

    output_format: str
    clips: tuple[Sample, ...]


@functools.cache
def load_samples() -> Samples:
    """Read the packaged clips; the result is cached for the process."""
    folder = resources.files(__package__).joinpath("samples")
    described = json.loads(folder.joinpath("samples.json").read_text("utf-8"))
    voices = tuple(Voice(**voice) for voice in described["voices"])
    clips = tuple(
        Sample(
            text=clip["text"],
            voice=voices[clip["voice"]],
            duration=clip["duration"],
            alignment=Alignment(**clip["alignment"]),
            frames=folder.joinpath(clip["file"]).read_bytes(),
        )
        for clip in described["clips"]
    )
    return Samples(described["output_format"], clips)
