"""Puts timed words into cues: at most two lines each, which can be read in their time. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from histfs.core.captions.timed_words import LATEST, TimedWord, clusters, columns

#: Columns of a line, and lines of a cue (BBC subtitle guidelines: 37 to 42, and 2).
LINE, LINES = 42, 2
#: Milliseconds of silence that end a cue, and that a cue lasts at most.
_PAUSE, _LONGEST = 700, 7000
#: Columns from which a cue ends with its sentence: shorter sentences share one.
_SHORT = 16
#: Milliseconds that a cue is shown at least where the next one leaves it the time, and anyway.
_READABLE, _LEAST = 1000, 40

_SENTENCE_END = re.compile(r"[.!?…。！？؟।]+[\"'”’»)\]）」』]*$")  # noqa: RUF001
_CLAUSE_END = re.compile(r"[,;:.!?…—–、，；：。！？؟،]+[\"'”’»)\]）」』]*$")  # noqa: RUF001


class Cue(NamedTuple):
    """What is shown at once.

    Attributes:
        start: in milliseconds.
        end: in milliseconds, after the start, and not after the start of the next cue.
        lines: one or two, none of them empty.
    """

    start: int
    end: int
    lines: tuple[str, ...]


def cues_of(words: Sequence[TimedWord]) -> list[Cue]:
    """Return the cues of a recording.

    Args:
        words: in order; none begins before the last one has ended.
    """
    groups = list(_groups(_fitting(words)))
    cues: list[Cue] = []
    free = 0
    for number, group in enumerate(groups):
        start = max(group[0].start, free)
        following = groups[number + 1][0].start if number + 1 < len(groups) else LATEST
        end = max(group[-1].end, min(start + _READABLE, following), start + _LEAST)
        free = end
        cues.append(Cue(start, end, _lines(group)))
    return cues


def _fitting(words: Sequence[TimedWord]) -> Iterator[TimedWord]:
    """Yield the words, those that are longer than a line in parts."""
    for word in words:
        if len(word.text) <= LINE // 2 or columns(word.text) <= LINE:
            yield word
        else:
            yield from _parts(word)


def _parts(word: TimedWord) -> Iterator[TimedWord]:
    text, length = word.text, word.end - word.start

    def part(begin: int, end: int) -> TimedWord:
        return TimedWord(
            text[begin:end],
            word.start + length * begin // len(text),
            word.start + length * end // len(text),
            "" if begin else word.before,
        )

    begin = width = 0
    for first, after in clusters(text):
        size = columns(text[first:after])
        if width + size > LINE:
            yield part(begin, first)
            begin, width = first, 0
        width += size
    yield part(begin, len(text))


def _groups(words: Iterator[TimedWord]) -> Iterator[list[TimedWord]]:
    """Yield the words of each cue."""
    group: list[TimedWord] = []
    line, lines, total, ended = 0, 1, 0, False
    for word in words:
        size, space = columns(word.text), len(word.before)
        if group:
            fits = line + space + size <= LINE or lines < LINES
            if (
                not fits
                or word.before == "\n"
                or (ended and total >= _SHORT)
                or word.start - group[-1].end > _PAUSE
                or word.end - group[0].start > _LONGEST
            ):
                yield group
                group, line, lines, total = [], 0, 1, 0
            elif line + space + size > LINE:
                line, lines = -space, lines + 1
        line += size + (space if group else 0)
        total += size + (space if group else 0)
        group.append(word)
        ended = _SENTENCE_END.search(word.text) is not None
    if group:
        yield group


def _lines(group: Sequence[TimedWord]) -> tuple[str, ...]:
    """Return the lines of a cue: two of about the same width, broken after a clause if possible."""
    whole = _joined(group)
    total = columns(whole)
    if total <= LINE:
        return (whole,)
    best = cheapest = width = 0
    for number, word in enumerate(group):
        space = len(word.before) if number else 0
        rest = total - width - space
        if number and width <= LINE and rest <= LINE:
            cost = abs(width - rest)
            if _CLAUSE_END.search(group[number - 1].text):
                cost -= LINE // 2
            if not best or cost < cheapest:
                best, cheapest = number, cost
        width += space + columns(word.text)
    return (_joined(group[:best]), _joined(group[best:])) if best else (whole,)


def _joined(group: Sequence[TimedWord]) -> str:
    text = "".join([(word.before and " ") + word.text for word in group])
    return text[1:] if group[0].before else text
