"""Words with their times, from the times of characters or of a whole turn. Pure functions.

A word is what stands between spaces; in a script without spaces, such as Chinese, it is one
character with the marks and the closing punctuation that belong to it.

Times are those of a server, and may be anything: they are put in order here. A word never begins
before the last one has ended. Where they start again, as those of a long dialogue may from some
line on, the rest is moved behind what came before; a single time that is out of order is ignored.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

#: The latest time, in milliseconds: a day.
LATEST = 86_400_000
_LATEST_SECONDS = LATEST / 1000
#: Milliseconds by which a time must go back to be out of order, and not just inexact.
_BACK = 1000
#: Words behind such a time that tell whether the times have started again.
_AHEAD = 8
#: Milliseconds that a character takes where only the time of its turn is known.
_CHARACTER = 65

_SPACED = re.compile(r"\S+")
#: Wide characters (UAX #11) of scripts that are written without spaces: kana, Han, symbols.
_WIDE = re.compile(
    "[\u2e80-\u303e\u3041-\ua4cf\uf900-\ufaff\ufe30-\ufe4f\uff01-\uff60\U00020000-\U0003fffd]"
)
#: What never begins a line.
_CLOSING = frozenset(
    "、。，．！？：；）」』】〉》〕］｝…ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョ"  # noqa: RUF001
    "!?,.:;)]}\"'”’"  # noqa: RUF001
)


class TimedWord(NamedTuple):
    """A word and its time.

    Attributes:
        text: without spaces.
        start: in milliseconds from the beginning of the audio.
        end: in milliseconds, not before the start.
        before: what stands between the last word and this one: a space, nothing, or a newline where
            a line of the text begins.
    """

    text: str
    start: int
    end: int
    before: str = " "


def words_of_characters(
    characters: Sequence[object], starts: Sequence[object], ends: Sequence[object]
) -> list[TimedWord]:
    """Return the words of a text of which each character has its times.

    Args:
        characters: strings, in the order of the text; another value counts as nothing.
        starts: when each begins, in seconds; there may be fewer.
        ends: when each ends, in seconds; there may be fewer.
    """
    if not starts and not ends:
        return []
    parts = [part if isinstance(part, str) else "" for part in characters]
    text = "".join(parts)
    if len(text) != len(parts):
        # The time of a character of several code units, or of none, by its code points.
        index = [number for number, part in enumerate(parts) for _ in part]
    else:
        index = range(len(parts))  # type: ignore[assignment]
    raw: list[tuple[str, str, int | None, int | None]] = []
    for before, begin, end in _spans(text):
        first, last = index[begin], index[end - 1]
        start = _milliseconds(starts, first)
        raw.append((
            text[begin:end], before,
            _milliseconds(ends, first) if start is None else start,
            _milliseconds(ends, last),
        ))  # fmt: skip
    return list(_in_order(raw))


def spread_words(text: str, start: float, limit: float) -> list[TimedWord]:
    """Return the words of a turn of which only the beginning is known, at an even speed.

    Args:
        text: what is spoken.
        start: in seconds.
        limit: in seconds; the words end there at the latest, if it is after the start.
    """
    begin = _bounded(start)
    spans = list(_spans(text))
    length = max(len(text), 1)
    duration = min(length * _CHARACTER, max(_bounded(limit) - begin, 0) or LATEST)
    words = []
    for number, (before, first, end) in enumerate(spans):
        words.append(TimedWord(
            text[first:end],
            min(begin + duration * first // length, LATEST),
            min(begin + duration * end // length, LATEST),
            before if number else "\n",
        ))  # fmt: skip
    return words


def columns(text: str) -> int:
    """Return the width of a text on a screen, in columns of a monospaced font (UAX #11)."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf")
        else 2 if unicodedata.east_asian_width(char) in "WF"
        else 1
        for char in text
    )  # fmt: skip


def clusters(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the characters begin and end that a reader sees as one, about as UAX #29 says.

    Marks, joined emoji, their modifiers and flags of two letters stay together.
    """
    begin = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or not _extends(text, begin, end):
            yield begin, end
            begin = end


def _extends(text: str, begin: int, at: int) -> bool:
    char = text[at]
    if char.isascii():
        return False
    if char == "\u200d" or text[at - 1] == "\u200d":
        return True
    if "\U0001f1e6" <= char <= "\U0001f1ff":
        return at - begin == 1 and "\U0001f1e6" <= text[begin] <= "\U0001f1ff"
    if "\U0001f3fb" <= char <= "\U0001f3ff" or "\U000e0020" <= char <= "\U000e007f":
        return True
    return unicodedata.category(char)[0] == "M"


def _spans(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the words: what stands before each, where it begins and where it ends."""
    last = 0
    for found in _SPACED.finditer(text):
        begin, end = found.span()
        before = "\n" if "\n" in text[last:begin] else " "
        last = end
        word = found[0]
        if word.isascii() or not _WIDE.search(word):
            yield before, begin, end
            continue
        for first, after in _unspaced(word):
            yield before, begin + first, begin + after
            before = ""


def _unspaced(word: str) -> Iterator[tuple[int, int]]:
    """Yield the parts of a word between which a line may be broken."""
    begin = 0
    for first, _ in clusters(word):
        char = word[first]
        wide = bool(_WIDE.match(char)) or bool(_WIDE.match(word[first - 1]))
        if first > begin and wide and char not in _CLOSING:
            yield begin, first
            begin = first
    yield begin, len(word)


def _milliseconds(times: Sequence[object], number: int) -> int | None:
    time = times[number] if number < len(times) else None
    if type(time) is not float and type(time) is not int:
        return None
    # The half is that of rounding; int() is a fraction of the cost of round().
    return int(time * 1000 + 0.5) if 0 <= time < _LATEST_SECONDS else None


def _bounded(seconds: float) -> int:
    # Comparisons with NaN are false.
    return round(min(seconds, LATEST / 1000) * 1000) if seconds > 0 else 0


def _in_order(
    raw: Sequence[tuple[str, str, int | None, int | None]],
) -> Iterator[TimedWord]:
    offset = now = 0
    for number, (text, before, start, end) in enumerate(raw):
        length = 0 if start is None or end is None else max(end - start, 0)
        begin = now if start is None else start + offset
        if begin < now - _BACK:
            if _start_again(raw, number, now - offset):
                offset += now - begin
            begin = now
        begin = min(max(begin, now), LATEST)
        now = min(begin + length, LATEST)
        yield TimedWord(text, begin, now, before)


def _start_again(
    raw: Sequence[tuple[str, str, int | None, int | None]], number: int, now: int
) -> bool:
    """Say whether the times behind a word that is out of order go on from there."""
    behind = [start for _, _, start, _ in raw[number : number + _AHEAD] if start is not None]
    return sum(start < now for start in behind) > len(behind) / 2
