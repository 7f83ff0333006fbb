"""Captions beside the audio: ``audio.srt``, ``audio.vtt`` and ``audio.lrc``.

Players find them by their names. An item has them where its source has the times of its words; no
request and no download is needed to know it.

Threads: any number at once; see `Rendered`. `GenerationalCache` has its own lock.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

from histfs.core.captions import Cue, cues_of, lrc_bytes, srt_bytes, vtt_bytes
from histfs.core.file_context import FileContext
from histfs.core.files.item_files import AudioPresence, Rendered
from histfs.core.generational_cache import GenerationalCache
from histfs.core.item import Details, Item

#: Captions that are kept of one format, in each of two generations, and the bytes of the largest.
_WRITTEN, _LARGEST = 1024, 4096


class CaptionFile(Rendered):
    """The base of the three formats.

    Args:
        context: has the details.
    """

    def __init__(self, context: FileContext) -> None:
        super().__init__(context)
        self._traits = context.traits
        self._has_audio = AudioPresence(context)
        # By the hash and the length of the object: rsync looks at the files of a thousand items
        # before it opens those of the first one.
        self._written = GenerationalCache[tuple[int, int], bytes](math.inf, max_entries=_WRITTEN)

    def filename(self, item: Item) -> str | None:
        """Return the file's name; None for an item without times, or without audio."""
        if not item.timed or self._traits.timed_words is None or not self._has_audio(item):
            return None
        return self.name

    def render(self, details: Details) -> bytes:
        """Return the captions; empty where the details turn out to have no times."""
        raw = details.raw
        key = hash(raw), len(raw)
        written = self._written.get(key)
        if written is None:
            written = self.write(cues_of(self._traits.words_of(raw)))
            if len(written) <= _LARGEST:
                self._written.put(key, written)
        return written

    @abstractmethod
    def write(self, cues: Sequence[Cue]) -> bytes:
        """Return the content for some cues."""


class SrtFile(CaptionFile):
    """``audio.srt``: SubRip, which mpv and VLC load by themselves."""

    name = "audio.srt"

    def write(self, cues: Sequence[Cue]) -> bytes:
        """Return the cues as SubRip."""
        return srt_bytes(cues)


class VttFile(CaptionFile):
    """``audio.vtt``: WebVTT, for browsers."""

    name = "audio.vtt"

    def write(self, cues: Sequence[Cue]) -> bytes:
        """Return the cues as WebVTT."""
        return vtt_bytes(cues)


class LrcFile(CaptionFile):
    """``audio.lrc``: LRC, which music players show as lyrics."""

    name = "audio.lrc"

    def write(self, cues: Sequence[Cue]) -> bytes:
        """Return the cues as LRC."""
        return lrc_bytes(cues)
