"""Estimates the size of a clip before it was downloaded. Pure functions.

No field of the API gives the size. An estimate that is not 0 keeps programs that stat before they
open (rsync, tar, cp) from taking the file for an empty one; `open` then finds the exact size.
"""

from __future__ import annotations

import functools
import math
import re
import struct

#: Bytes in a second of a recorded conversation, as measured.
_CALL_RATE = 15_200
#: Bytes in a second of the API's default format, mp3_44100_128: 128 kbit/s.
_DEFAULT_RATE = 16_000
_WAV_HEADER = 44
#: Characters spoken in a second: 1,000 characters are about a minute.
_SPEED = 16.0
#: The estimate of a clip that is on its way is at least so many bytes more than what has come.
AHEAD = 32 << 10
#: By how much an estimate is rounded up: players end right with a size that is too big.
_ROUNDED_UP, _ROUNDED_BY = 1.02, 4096
#: Bit rates of MPEG audio layer III in kbit/s (ISO/IEC 11172-3, 13818-3): of MPEG 1, and of 2.
_MPEG_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
#: Header of a frame: the sync word, version 1, 2 or 2.5, layer III; bit rate.
_MP3_FRAME = re.compile(rb"\xff([\xe2\xe3\xf2\xf3\xfa\xfb])([\x10-\xeb])", re.DOTALL)
_ID3_HEADER = 10
#: Sizes in a WAV of which the encoder didn't know the length begin here.
_UNKNOWN_LENGTH = 0x7FFFF000
#: Longer than any clip: an invalid duration must not become a huge size.
_MAX_SECONDS = 86_400.0


def audio_bytes(
    content_type: str, output_format: str, seconds: float | None, characters: int
) -> int:
    """Return the estimated size of a clip in bytes, at least 1.

    Args:
        content_type: media type of the audio, lower case; may be empty.
        output_format: the API's name of a format (``mp3_44100_128``); may be empty.
        seconds: the duration; None if it is not known.
        characters: the length of the text.
    """
    if seconds is None or not 0 < seconds < _MAX_SECONDS:
        seconds = min(max(characters / _SPEED, 1.0), _MAX_SECONDS)
    rate, header = _rate(content_type, output_format)
    return max(1, header + math.ceil(seconds * rate))


def call_bytes(seconds: float | None) -> int:
    """Return the estimated size of a recorded conversation in bytes, at least a second's.

    Args:
        seconds: the duration; None if it is not known.
    """
    return math.ceil(min(max(seconds or 0.0, 1.0), _MAX_SECONDS) * _CALL_RATE)


@functools.lru_cache(maxsize=64)  # an account has a handful
def _rate(content_type: str, output_format: str) -> tuple[int, int]:
    """Return the bytes in a second, and those of the header."""
    match = re.fullmatch(r"([a-z0-9]+)_(\d{1,6})(?:_(\d{1,6}))?", output_format.lower(), re.ASCII)
    if match is None:
        return (88_200, _WAV_HEADER) if "wav" in content_type else (_DEFAULT_RATE, 0)
    codec, sample_rate, bit_rate = match[1], int(match[2]), int(match[3] or 128) * 1000 // 8
    rates = {
        "mp3": (bit_rate, 0),
        "opus": (bit_rate, 0),
        "pcm": (2 * sample_rate, 0),
        "wav": (2 * sample_rate, _WAV_HEADER),
        "ulaw": (sample_rate, 0),
        "alaw": (sample_rate, 0),
    }
    return rates.get(codec, (_DEFAULT_RATE, 0))


def rounded_up(size: int) -> int:
    """Return an estimate that is a little larger than a size in bytes."""
    return math.ceil(size * _ROUNDED_UP) + _ROUNDED_BY


def size_by_head(head: bytes, content_type: str, output_format: str, estimate: int) -> int | None:
    """Return a better estimate of the size of a clip by its first bytes, rounded up.

    Args:
        head: the first bytes of the clip.
        content_type: see `audio_bytes`.
        output_format: see `audio_bytes`.
        estimate: in bytes, made before anything had come, from the duration or the text.

    Returns:
        None where they don't tell.
    """
    if head[:4] == b"RIFF" and len(head) >= 8:
        (size,) = struct.unpack_from("<I", head, 4)
        return size + 8 if 0 < size < _UNKNOWN_LENGTH else None
    begin = 0
    if head[:3] == b"ID3" and len(head) >= _ID3_HEADER:
        a, b, c, d = head[6:_ID3_HEADER]
        begin = _ID3_HEADER + (a << 21 | b << 14 | c << 7 | d)
    frame = _MP3_FRAME.match(head, begin)
    if frame is None:
        return None
    is_mpeg_1 = frame[1][0] >= 0xFA
    actual = (_MPEG_1 if is_mpeg_1 else _MPEG_2)[frame[2][0] >> 4] * 1000 // 8
    assumed, _ = _rate(content_type, output_format)
    return rounded_up(begin + estimate * actual // assumed)
