"""Captions: the words of a recording with their times, in lines that can be read. Pure."""

from histfs.core.captions.cues import Cue, cues_of
from histfs.core.captions.formats import lrc_bytes, srt_bytes, vtt_bytes
from histfs.core.captions.timed_words import TimedWord, spread_words, words_of_characters

__all__ = [
    "Cue",
    "TimedWord",
    "cues_of",
    "lrc_bytes",
    "spread_words",
    "srt_bytes",
    "vtt_bytes",
    "words_of_characters",
]
