"""Audio formats: what the API declares for a clip, and what the clip's first bytes prove.

All functions are pure. The API declares a format twice: ``output_format`` says how a clip was
generated, ``content_type`` is often ``audio/mpeg`` for any clip. The first bytes decide whether the
answer is audio at all, and which extension its name gets.

Raw formats (PCM, u-law, A-law) have no signature, and any bytes may occur in them: silence in A-law
is ``UUUU…`` in ASCII. They are refused only for strong evidence: a signature of four bytes or more,
a web page, JSON, or words.
"""

from __future__ import annotations

import json
import re
from functools import cached_property, lru_cache
from typing import AnyStr, Generic, NamedTuple

#: Bytes that suffice for every decision; a shorter clip is examined as a whole.
WINDOW = 512
#: Bytes that hold every signature.
_SIGNATURE = 64
#: Silence may look like text: of this length, with fewer different characters than this.
_MONOTONE_LENGTH, _MONOTONE = 64, 8
#: The least share of ASCII in a text: in UTF-16, and in an unknown 8-bit encoding.
_ASCII_IN_UTF16, _ASCII_IN_8_BIT = 0.9, 0.85

_BY_OUTPUT_FORMAT = {
    "mp3": "mp3",
    "pcm": "pcm",
    "opus": "opus",
    "wav": "wav",
    "ulaw": "ulaw",
    "alaw": "alaw",
}
_BY_CONTENT_TYPE = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/vnd.wave": "wav",
    "audio/ogg": "ogg",
    "application/ogg": "ogg",
    "audio/opus": "opus",
    "audio/flac": "flac",
    "audio/x-flac": "flac",
    "audio/aac": "aac",
    "audio/mp4": "m4a",
    "audio/webm": "webm",
    "audio/pcm": "pcm",
    "audio/x-pcm": "pcm",
    "audio/l16": "pcm",
    "audio/basic": "ulaw",
}
_RAW = frozenset({"pcm", "ulaw", "alaw"})


class _Pattern(Generic[AnyStr]):
    """A regular expression that is compiled when it is first used: most commands use none.

    Args:
        text: of the expression.
        flags: of `re`.
    """

    def __init__(self, text: AnyStr, flags: int = 0) -> None:
        self._text: AnyStr = text
        self._flags = flags

    @cached_property
    def _compiled(self) -> re.Pattern[AnyStr]:
        return re.compile(self._text, self._flags)

    def match(self, text: AnyStr) -> re.Match[AnyStr] | None:
        """Match the beginning of a text."""
        return self._compiled.match(text)

    def search(self, text: AnyStr) -> re.Match[AnyStr] | None:
        """Find the first place in a text that matches."""
        return self._compiled.search(text)


class Container(NamedTuple):
    """A container format that has a signature.

    Attributes:
        extensions: the extensions of names that fit it, the usual one first.
        strong: whether the signature is too long to occur in raw audio by chance.
    """

    extensions: tuple[str, ...]
    strong: bool = True


_OGG = Container(("ogg",))
_SIGNATURES = [
    (_Pattern(rb"OggS.{24}OpusHead", re.DOTALL), Container(("opus", "ogg"))),
    (_Pattern(rb"OggS\x00", re.DOTALL), _OGG),
    (_Pattern(rb"(?:RIFF|RIFX|RF64).{4}WAVE", re.DOTALL), Container(("wav",))),
    (_Pattern(rb"fLaC", re.DOTALL), Container(("flac",))),
    # The tag may precede other formats, too.
    (
        _Pattern(rb"ID3[\x02-\x04][^\xff].[\x00-\x7f]{4}", re.DOTALL),
        Container(("mp3", "aac", "flac")),
    ),
    (_Pattern(rb"\x00.{3}ftyp[ -~]{4}", re.DOTALL), Container(("m4a", "mp4"))),
    (_Pattern(rb"\x1aE\xdf\xa3", re.DOTALL), Container(("webm",))),
    # ADTS: a sync word of 12 bits, layer 0, one of 13 sampling frequencies.
    (
        _Pattern(rb"\xff[\xf0\xf1\xf8\xf9][\x00-\x33\x40-\x73\x80-\xb3\xc0-\xf3]", re.DOTALL),
        Container(("aac",), False),
    ),
    # MPEG audio: a sync word of 11 bits, layer III or II, a bit rate and a sampling frequency.
    # Layer I is left out: it is not in use, and the byte order mark of UTF-16 looks like it.
    (
        _Pattern(
            rb"\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd][\x10-\x1b\x20-\x2b\x30-\x3b\x40-\x4b\x50-\x5b"
            rb"\x60-\x6b\x70-\x7b\x80-\x8b\x90-\x9b\xa0-\xab\xb0-\xbb\xc0-\xcb\xd0-\xdb\xe0-\xeb]",
            re.DOTALL,
        ),
        Container(("mp3",), False),
    ),
]
_GZIP = _Pattern(rb"\x1f\x8b\x08[\x00-\x1f].{4}[\x00\x02\x04][\x00-\x0d\xff]", re.DOTALL)
_ZIP = _Pattern(rb"PK\x03\x04[\x0a-\x3f]\x00")
#: The first bytes of all signatures, and of compressed files.
_BEGINNINGS = frozenset({b"O", b"R", b"f", b"I", b"\0", b"\x1a", b"\xff", b"\x1f", b"P"})
#: The beginning of a web page, or of an API's error.
_PAGE = _Pattern(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!doctype|<html|<head|<body|<\?xml|"
    rb'\{\s*"(?:detail|error|message|status)")',
    re.IGNORECASE,
)
_MARKUP = _Pattern(r"<[!?/a-z]", re.IGNORECASE)
_JSON = _Pattern(r'\{\s*"|\[\s*(?:["\[{-]|\d|true|false|null)')
_WORDS = _Pattern(r"[a-z]{2,}[,.:;!?]? [a-z]{2,}", re.IGNORECASE)
#: Bytes that no text in an 8-bit encoding has, and characters that no text has.
_BINARY = _Pattern(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_CONTROL = _Pattern(r"[^\t\n\v\f\r\x1b\x20-\x7e\x85\xa0-\U0010ffff]")


@lru_cache(maxsize=256)  # an account has a handful of pairs, and each stat needs one
def declared_extension(content_type: str, output_format: str) -> str:
    """Return the extension, without a dot, by the API's fields.

    Args:
        content_type: a media type without parameters, lower case; may be empty.
        output_format: the API's name of a format (``pcm_16000``); may be empty. Takes precedence.
    """
    family = output_format.partition("_")[0].lower()
    return _BY_OUTPUT_FORMAT.get(family) or _BY_CONTENT_TYPE.get(content_type) or "bin"


def is_raw(content_type: str, output_format: str) -> bool:
    """Say whether a clip is declared to be samples without a container (`declared_extension`)."""
    return declared_extension(content_type, output_format) in _RAW


def sniff(head: bytes) -> Container | None:
    """Return the container whose signature a clip begins with; None if there is none."""
    found = (container for pattern, container in _SIGNATURES if pattern.match(head))
    return next(found, None)


def actual_extension(head: bytes, content_type: str, output_format: str) -> str:
    """Return the extension, without a dot, for a clip whose first bytes are known.

    It is the declared one unless a signature contradicts it. A weak signature does not contradict a
    raw format, in which two bytes may look like an MPEG frame by chance.

    Args:
        head: the first bytes, `WINDOW` of them or more, or the complete clip.
        content_type: see `declared_extension`.
        output_format: see `declared_extension`.
    """
    declared, found = declared_extension(content_type, output_format), sniff(head)
    if found is None or declared in found.extensions or (declared in _RAW and not found.strong):
        return declared
    return found.extensions[0]


def is_decided(head: bytes) -> bool:
    """Say whether more bytes can change neither `refusal` nor `actual_extension`.

    A download passes its bytes on from then on.

    Args:
        head: the first bytes that have arrived.
    """
    if len(head) >= WINDOW:
        return True
    found = sniff(head)
    if found is not None and found.strong and found is not _OGG:
        return True
    partial = head[:1] in _BEGINNINGS and len(head) < _SIGNATURE
    return not (partial or _is_utf16(head)) and _BINARY.search(head) is not None


def refusal(head: bytes, *, whole: bool, raw: bool) -> str | None:
    """Return why an answer is not audio, such as ``a web page``; None if it may be audio.

    Args:
        head: the first bytes; at most `WINDOW` of them are examined.
        whole: whether these are all bytes of the answer.
        raw: whether the declared format is raw, or not known: any bytes may be audio then, except
            a web page, JSON, a compressed file, or words.
    """
    whole = whole and len(head) <= WINDOW
    head = head[:WINDOW]
    found = sniff(head)
    if found is not None and found.strong:
        return None
    if _GZIP.match(head) or _ZIP.match(head):
        return "a compressed file"
    if _PAGE.match(head):
        return "a web page, or an error message"
    text = _as_text(head, whole=whole)
    if text is None or _is_monotone(text):
        return None
    text = text.strip()
    if _MARKUP.match(text):
        return "a web page, or an error message"
    if _is_json(text, whole=whole):
        return "JSON"
    if _WORDS.search(text) or not raw:
        return "text"
    return None


def _is_monotone(text: str) -> bool:
    return len(text) >= _MONOTONE_LENGTH and text.isascii() and len(set(text)) < _MONOTONE


def _is_json(text: str, *, whole: bool) -> bool:
    if not whole:
        return _JSON.match(text) is not None
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return _JSON.match(text) is not None
    return True


def _as_text(head: bytes, *, whole: bool) -> str | None:
    """Decode bytes as text; None if they are not text, or empty."""
    if not head:
        return None
    if _is_utf16(head):
        return _as_utf16(head)
    head = head.removeprefix(b"\xef\xbb\xbf")
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if not whole and error.reason == "unexpected end of data":
            text = head[: error.start].decode()  # the window cuts a character
        elif _ascii_share(text := head.decode("latin-1")) < _ASCII_IN_8_BIT:
            return None
    return None if _CONTROL.search(text) else text


def _is_utf16(head: bytes) -> bool:
    """Say whether bytes can be text in no other encoding than UTF-16."""
    return head.startswith((b"\xff\xfe", b"\xfe\xff")) or 0 in head[:2]


def _as_utf16(head: bytes) -> str | None:
    """Decode bytes as text in UTF-16; None if they are not text."""
    little = head.startswith(b"\xff\xfe") or head[1:2] == b"\0"
    decoded = head[: len(head) & ~1].decode("utf-16-le" if little else "utf-16-be", "replace")
    text = decoded.removeprefix("\ufeff")
    if not text or _CONTROL.search(text) or _ascii_share(text) < _ASCII_IN_UTF16:
        return None
    if text == decoded:
        # Without a byte order mark, quiet PCM looks like letters.
        start = text.lstrip()
        if not (_MARKUP.match(start) or _JSON.match(start) or _WORDS.search(text)):
            return None
    return text


def _ascii_share(text: str) -> float:
    return sum(char.isascii() for char in text) / len(text)
