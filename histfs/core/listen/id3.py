"""ID3v2.4 tags (id3.org, "ID3 tag version 2.4.0"): a writer, and the length of a tag. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from histfs.core.captions import TimedWord

#: The length of the header of a tag, of a frame, and of a footer.
HEADER = 10
#: The encoding of all texts: UTF-8.
_UTF_8 = b"\x03"
#: The language of a text: not known.
_LANGUAGE = b"XXX"
_HAS_FOOTER = 0x10
#: Of SYLT: times are milliseconds, and the texts are lyrics.
_MILLISECONDS, _LYRICS = b"\x02", b"\x01"
#: A size has 28 bits, seven in a byte.
_MAX_SIZE = 1 << 28


class TagFields(NamedTuple):
    """What a tag says; a field that is empty has no frame.

    Attributes:
        title: the first words.
        artist: the voice, or the agent.
        album: the month.
        date: in UTC, such as ``2024-05-02T09:45:06``.
        text: all that is said.
        words: the same with times.
    """

    title: str
    artist: str
    album: str
    date: str
    text: str
    words: Sequence[TimedWord] = ()


def frames_of(fields: TagFields) -> bytes:
    """Return the frames of a tag: TIT2, TPE1, TALB, TDRC, COMM, USLT and SYLT."""
    named = {"TIT2": fields.title, "TPE1": fields.artist, "TALB": fields.album, "TDRC": fields.date}
    frames = [_frame(name, _UTF_8 + _text(text)) for name, text in named.items() if text]
    if fields.text:
        # Both have a language, and a short description, which is empty.
        described = _UTF_8 + _LANGUAGE + b"\0" + _text(fields.text)
        frames += [_frame("COMM", described), _frame("USLT", described)]
    if fields.words:
        head = _UTF_8 + _LANGUAGE + _MILLISECONDS + _LYRICS + b"\0"
        first, *others = fields.words
        timed = [_timed("", first), *(_timed(word.before, word) for word in others)]
        frames.append(_frame("SYLT", head + b"".join(timed)))
    return b"".join(frames)


def tag_of(frames: bytes, padding: int) -> bytes:
    """Return a whole tag: its header, its frames and zeros.

    Raises:
        ValueError: it would be longer than 256 MB.
    """
    return b"ID3\x04\x00\x00" + _size(len(frames) + padding) + frames + bytes(padding)


def tag_length(head: bytes) -> int:
    """Return the length of the ID3v2 tag at the beginning of a file in bytes; 0 for none.

    Args:
        head: the first `HEADER` bytes; fewer of a shorter file.
    """
    if len(head) < HEADER or head[:3] != b"ID3" or 0xFF in head[3:5] or max(head[6:]) > 0x7F:
        return 0
    size = 0
    for byte in head[6:HEADER]:
        size = size << 7 | byte
    return HEADER + size + (HEADER if head[5] & _HAS_FOOTER else 0)


def _frame(name: str, content: bytes) -> bytes:
    return name.encode() + _size(len(content)) + b"\0\0" + content


def _timed(before: str, word: TimedWord) -> bytes:
    # What stands before a word belongs to it: a newline begins a line.
    return _text(before + word.text) + b"\0" + word.start.to_bytes(4, "big")


def _text(text: str) -> bytes:
    # A NUL would end the text; UTF-8 has no lone surrogates.
    return text.replace("\0", " ").encode("utf-8", "replace")


def _size(size: int) -> bytes:
    if size >= _MAX_SIZE:
        raise ValueError("the tag is too long")
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
