"""What the files of a source's items are made of."""

from __future__ import annotations

from dataclasses import dataclass

from histfs.core.audio_store import AudioStore
from histfs.core.index import Index
from histfs.core.source import Traits


@dataclass(frozen=True, slots=True)
class FileContext:
    """The items of one source, and their audio.

    Attributes:
        traits: what the source is like.
        index: the items.
        audio: their audio.
    """

    traits: Traits
    index: Index
    audio: AudioStore
