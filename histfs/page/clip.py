"""What a page shows of one item, and where the words of a text stand in it. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from histfs.core.captions import TimedWord

#: Characters after the last word in which the next one is looked for: between them may stand the
#: name of a speaker.
_NEAR = 200


@dataclass(frozen=True, slots=True)
class PageClip:
    """What a page shows of one item.

    Attributes:
        when: its local time, such as ``2024-05-02 11:45:06``.
        voices: the names of its voices, or of its agent.
        audio: the address of its audio, relative to the page; None if it has none.
        text: what was spoken.
        words: the words with their times, in the order of the text; empty if they are not known.
        seconds: the duration; None if it is not known.
    """

    when: str
    voices: tuple[str, ...]
    audio: str | None
    text: str
    words: Sequence[TimedWord] = ()
    seconds: float | None = None


def audio_address(path: str, start: str) -> str:
    """Return the relative address (RFC 3986) of a file.

    Args:
        path: of the file, from the root; bytes that are not UTF-8 as `os.fsdecode` has them.
        start: the folder of the page, from the root.
    """
    # quote escapes the colon, too: a first part with one would be the scheme of another address.
    return quote(posixpath.relpath(path, start).encode("utf-8", "surrogateescape"), safe="/")


def placed(text: str, words: Sequence[TimedWord]) -> Iterator[int]:
    """Yield four numbers for each word that is found in a text.

    These are the length of the text between the last word and this one, the length of the word,
    both in UTF-16 units, as JavaScript counts; the milliseconds since the last word began; and
    those that this one takes. None is negative, whatever the times: a word never begins before the
    last one.

    Args:
        text: the text.
        words: in the order of the text; one that is not found near the last one is left out.
    """
    at, began = 0, 0
    for number, word in enumerate(words):
        joined = number + 1 < len(words) and not words[number + 1].before
        found = _find(text, word, at, joined=joined)
        if found < 0:
            continue
        start = max(word.start, began)
        yield from (_units(text[at:found]), _units(word.text))
        yield from (start - began, max(word.end - start, 0))
        at, began = found + len(word.text), start


def _find(text: str, word: TimedWord, at: int, *, joined: bool) -> int:
    """Return where a word stands in a text from some place on; -1 if it is not near.

    Args:
        text: the text.
        word: the word.
        at: where the last one has ended.
        joined: whether the next word follows without a space, as in a script without them.
    """
    length, begin = len(word.text), at
    while length and (found := text.find(word.text, begin, at + length + _NEAR)) >= 0:
        before, after = text[found - 1 : found], text[found + length : found + length + 1]
        # Not within another word, such as the name of a speaker.
        if (
            found == at or not word.before or not (before.isalnum() and word.text[0].isalnum())
        ) and (joined or not (after.isalnum() and word.text[-1].isalnum())):
            return found
        begin = found + 1
    return -1


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
