"""The context of item files: what their constructors get."""

from __future__ import annotations

from dataclasses import dataclass

from histfs.core.audio_store import AudioStore
from histfs.core.index import Index
from histfs.core.rendered_sizes import RenderedSizes
from histfs.core.source import Traits


@dataclass(frozen=True, slots=True)
class FileContext:
    """The items of one source, and their audio.

    Attributes:
        traits: of the source.
        index: the items.
        audio: their audio.
        sizes: keeps the sizes of rendered files; None where they are measured each time.
    """

    traits: Traits
    index: Index
    audio: AudioStore
    sizes: RenderedSizes | None = None
