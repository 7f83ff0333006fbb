"""The words of an item's object with their times: those of its characters, or of a call. Pure.

Whatever a field holds, nothing fails: what has no time is left out.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping
from itertools import zip_longest

from histfs.page.clip import TimedWord

#: Seconds that the last turn of a call is lit.
_LAST_TURN = 10.0
#: Korean, which has spaces between words, is wide all the same.
_HANGUL = range(0xAC00, 0xD7A4)


def words_of(fields: Mapping[str, object]) -> tuple[TimedWord, ...]:
    """Return the words with their times; none if the object has no times.

    Args:
        fields: the object of a history item, or all details of a conversation.
    """
    alignments = fields.get("alignments")
    if isinstance(alignments, Mapping):
        for name in ("alignment", "normalized_alignment"):
            alignment = alignments.get(name)
            if isinstance(alignment, Mapping) and (words := tuple(_words(_letters(alignment)))):
                return words
    turns = fields.get("transcript")
    return tuple(_turns(turns)) if isinstance(turns, list) else ()


def _letters(alignment: Mapping[str, object]) -> Iterator[TimedWord]:
    """Yield the characters with their times; one without a time has that of the last one."""
    lists = [
        found if isinstance(found := alignment.get(name), list) else []
        for name in (
            "characters",
            "character_start_times_seconds",
            "character_end_times_seconds",
        )
    ]
    last = 0.0
    for text, start, end in zip_longest(*lists):
        if isinstance(text, str):
            begun = _seconds(start, last)
            last = _seconds(end, begun)
            yield TimedWord(text, begun, last)


def _words(letters: Iterator[TimedWord]) -> Iterator[TimedWord]:
    """Yield the words between spaces; where a script has none, its characters."""
    word: TimedWord | None = None
    for letter in letters:
        is_space, stands_alone = letter.text.isspace() or not letter.text, _is_wide(letter.text)
        if word is not None and (is_space or stands_alone):
            yield word
            word = None
        if is_space:
            continue
        joined = (
            letter if word is None else TimedWord(word.text + letter.text, word.start, letter.end)
        )
        word = joined
    if word is not None:
        yield word


def _is_wide(text: str) -> bool:
    """Say whether a word begins here without a space: at an ideograph, or a kana."""
    first = text[:1]
    return (
        unicodedata.east_asian_width(first) == "W"
        and unicodedata.category(first) == "Lo"
        and ord(first) not in _HANGUL
        if first
        else False
    )


def _turns(turns: list[object]) -> Iterator[TimedWord]:
    """Yield the lines of the messages of a call, each for as long as its turn."""
    timed = [
        (_seconds(turn.get("time_in_call_secs"), math.nan), turn.get("message"))
        for turn in turns
        if isinstance(turn, Mapping)
    ]
    found = [(start, text) for start, text in timed if start >= 0 and isinstance(text, str)]
    for (start, text), (following, _) in zip_longest(found, found[1:], fillvalue=(math.nan, "")):
        end = following if following >= start else start + _LAST_TURN
        for line in text.splitlines():
            yield TimedWord(line.strip(), start, end)


def _seconds(value: object, otherwise: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
        return otherwise
    return float(value)
