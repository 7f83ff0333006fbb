"""Estimates the size of a clip before it was downloaded. Pure functions.

No field of the API gives the size. An estimate that is not 0 keeps programs that stat before they
open (rsync, tar, cp) from taking the file for an empty one; `open` then finds the exact size.

What is estimated by rates is no multiple of 512: buffers are, and a program that keeps to an
estimate is known by a request that is not (`histfs.core.estimate_readers`).
"""

from __future__ import annotations

import functools
import math
import re
import struct

#: Programs read by buffers of a multiple of so many bytes.
BUFFER = 512
#: Bytes in a second of a recorded conversation, as measured.
_CALL_RATE = 15_200
#: Bytes in a second of the API's default format, mp3_44100_128: 128 kbit/s.
_DEFAULT_RATE = 16_000
_WAV_HEADER = 44
#: Seconds of a clip without a text, such as a converted recording.
_WORDLESS = 10.0
#: Characters spoken in a second: 1,000 characters are about a minute.
_SPEED = 16.0
_ID3_HEADER = 10
#: The first frame of an MP3 file that has a Xing header, up to its flags: 4 bytes of the frame's
#: own, side information by MPEG version and channels, and the name.
_XING = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]..(?:.{9}|.{17}|.{32})(?:Xing|Info)", re.DOTALL)
#: Flags of a Xing header: it has the number of frames, and the number of bytes.
_HAS_FRAMES, _HAS_BYTES = 1, 2
#: Sizes in a WAV file of which the encoder didn't know the length begin here.
_UNKNOWN_LENGTH = 0x7FFF_F000
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
        characters: the length of the text, or what the clip has cost; 0 if neither is known.
    """
    if seconds is None or not 0 < seconds < _MAX_SECONDS:
        spoken = characters / _SPEED if characters > 0 else _WORDLESS
        seconds = min(max(spoken, 1.0), _MAX_SECONDS)
    rate, header = _rate(content_type, output_format)
    return unlike_buffers(max(1, header + math.ceil(seconds * rate)))


def call_bytes(seconds: float | None) -> int:
    """Return the estimated size of a recorded conversation in bytes, at least a second's.

    Args:
        seconds: the duration; None if it is not known.
    """
    return unlike_buffers(math.ceil(min(max(seconds or 0.0, 1.0), _MAX_SECONDS) * _CALL_RATE))


def unlike_buffers(size: int) -> int:
    """Return a size that is no multiple of a buffer's, at most a byte larger."""
    return size + (size % BUFFER == 0)


def seconds_in(size: int, output_format: str) -> float | None:
    """Return the duration of a clip of a known size; None where its format tells no rate.

    Args:
        size: exact, in bytes.
        output_format: the API's name of a format with a constant rate, such as ``mp3_44100_128``.
    """
    if output_format.partition("_")[0].lower() not in ("mp3", "pcm", "wav", "ulaw", "alaw"):
        return None
    rate, header = _rate("", output_format)
    return round(max(size - header, 0) / rate, 3) if rate else None


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


def size_in_header(head: bytes) -> int | None:
    """Return the size in bytes that a clip's own header tells; None where it tells none.

    It is that of the file unless the encoder didn't know it: a better estimate.

    Args:
        head: the first bytes of the clip.
    """
    if head[:4] == b"RIFF" and len(head) >= 8:
        (length,) = struct.unpack_from("<I", head, 4)
        return length + 8 if 0 < length < _UNKNOWN_LENGTH else None
    begin = 0
    if head[:3] == b"ID3" and len(head) >= _ID3_HEADER:
        # Seven bits a byte.
        a, b, c, d = head[6:_ID3_HEADER]
        begin = _ID3_HEADER + (a << 21 | b << 14 | c << 7 | d)
    xing = _XING.match(head, begin)
    if xing is None or len(head) < xing.end() + 12:
        return None
    flags, *numbers = struct.unpack_from(">3I", head, xing.end())
    if not flags & _HAS_BYTES:
        return None
    length = numbers[1 if flags & _HAS_FRAMES else 0]
    return begin + length if length else None
