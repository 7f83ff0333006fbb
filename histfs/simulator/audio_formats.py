"""Clips in every format that the API generates, for items that don't declare the true one.

Opus clips are silence, which needs no encoder; the others are a tone. Raw formats have no place for
an id: a few bytes of its hash make the clips differ.
"""

from __future__ import annotations

import functools
import hashlib
import math
import struct
from collections.abc import Callable, Iterator

from histfs.simulator.clip_bytes import MP3, WAV_RATE, ClipBytes, tone
from histfs.simulator.item_templates import ItemTemplate

_WAV = f"wav_{WAV_RATE}"
#: The formats that items have in turn.
FORMATS = (
    "mp3_22050_32",
    "opus_48000_32",
    _WAV,
    f"pcm_{WAV_RATE}",
    "ulaw_8000",
    "alaw_8000",
)
_RATE = 8000  # of u-law and A-law, in samples a second
# A packet of silence: CELT, full band, 20 ms, mono (RFC 6716).
_OPUS_SILENCE = b"\xf8\xff\xfe"
_OPUS_PACKETS, _OPUS_SAMPLES = 255, 960  # in a page; in a packet at 48 kHz
_OPUS_OVERHEAD = 300
_SILENT_BYTES = 400
_LOUDEST = 32_635


def format_of(number: int, template: ItemTemplate) -> str:
    """Return the format of an item; a template without MP3 frames gets WAV instead."""
    chosen = FORMATS[number % len(FORMATS)]
    return chosen if template.frames or not chosen.startswith("mp3") else _WAV


def make_clip(
    output_format: str, template: ItemTemplate, item_id: str, target_size: int | None
) -> ClipBytes:
    """Return the audio of one item in a format.

    Args:
        output_format: The format, from `format_of`.
        template: The item's template.
        item_id: The item's id.
        target_size: The approximate size of the file in bytes; None for the template's duration.

    Returns:
        The file; its declared content type is audio/mpeg except for WAV.
    """
    family = output_format.partition("_")[0]
    if family == "mp3":
        return template.clip(item_id, target_size)
    if family == "wav":
        return template.wav_clip(item_id, target_size)
    if family == "opus":
        return _opus(item_id, template.duration, target_size)
    silence, unit, rate = _RAW[family]()
    head = silence + hashlib.blake2b(item_id.encode(), digest_size=16).digest()
    length = (
        round(template.duration * rate) if target_size is None else max(target_size - len(head), 0)
    )
    # An even length: complete samples of 16 bits.
    return ClipBytes(head, unit, length & ~1, MP3)


def _opus(item_id: str, duration: float, target_size: int | None) -> ClipBytes:
    """Return an Ogg Opus file (RFC 7845) of silence, with at least one page of sound."""
    page_seconds = _OPUS_PACKETS * _OPUS_SAMPLES / 48_000
    page_bytes = 27 + _OPUS_PACKETS * (1 + len(_OPUS_SILENCE))
    page_count = (
        duration / page_seconds
        if target_size is None
        else (target_size - _OPUS_OVERHEAD) / page_bytes
    )
    *pages, last = _opus_pages(item_id, max(1, round(page_count)))
    return ClipBytes(b"".join(pages), last, len(last), MP3)


def _opus_pages(item_id: str, count: int) -> Iterator[bytes]:
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 312, 48_000, 0, 0)
    comments = [b"histfs", f"HISTORY_ITEM_ID={item_id}".encode()]
    vendor, comment = (struct.pack("<I", len(text)) + text for text in comments)
    tags = b"OpusTags" + vendor + struct.pack("<I", 1) + comment
    yield _ogg_page([head], 2, 0, 0)
    yield _ogg_page([tags], 0, 0, 1)
    for number in range(1, count + 1):
        flags = 4 if number == count else 0
        granule = number * _OPUS_PACKETS * _OPUS_SAMPLES
        yield _ogg_page([_OPUS_SILENCE] * _OPUS_PACKETS, flags, granule, number + 1)


def _ogg_page(packets: list[bytes], flags: int, granule: int, number: int) -> bytes:
    """Return one page (RFC 3533) of packets of less than 255 bytes."""
    head = b"OggS" + struct.pack("<BBqII", 0, flags, granule, 1, number)
    body = bytes([len(packets), *map(len, packets)]) + b"".join(packets)
    checksum = 0
    for byte in head + bytes(4) + body:
        checksum = (checksum << 8 & 0xFFFFFFFF) ^ _crc_table()[checksum >> 24 ^ byte]
    return head + struct.pack("<I", checksum) + body


@functools.cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for entry in range(256):
        value = entry << 24
        for _ in range(8):
            value = (value << 1 & 0xFFFFFFFF) ^ (0x04C11DB7 if value & 1 << 31 else 0)
        table.append(value)
    return tuple(table)


def _pcm() -> tuple[bytes, bytes, int]:
    return bytes(_SILENT_BYTES), tone(), 2 * WAV_RATE


@functools.cache
def _ulaw() -> tuple[bytes, bytes, int]:
    return b"\xff" * _SILENT_BYTES, bytes(map(_to_ulaw, _wave())), _RATE


@functools.cache
def _alaw() -> tuple[bytes, bytes, int]:
    # Silence as some encoders write it; in ASCII it is a row of U.
    return b"\x55" * _SILENT_BYTES, bytes(map(_to_alaw, _wave())), _RATE


#: For each raw format: silence, one second of a tone, and bytes per second.
_RAW: dict[str, Callable[[], tuple[bytes, bytes, int]]] = {
    "pcm": _pcm,
    "ulaw": _ulaw,
    "alaw": _alaw,
}


def _wave() -> list[int]:
    step = 2 * math.pi * 400 / _RATE
    return [round(6000 * math.sin(step * index)) for index in range(_RATE)]


def _to_ulaw(sample: int) -> int:
    """Encode a sample of 16 bits in u-law (G.711)."""
    magnitude = min(abs(sample), _LOUDEST) + 132
    exponent = magnitude.bit_length() - 8
    code = exponent << 4 | magnitude >> exponent + 3 & 0x0F
    return ~(code | (0x80 if sample < 0 else 0)) & 0xFF


def _to_alaw(sample: int) -> int:
    """Encode a sample of 16 bits in A-law (G.711)."""
    magnitude = (sample if sample >= 0 else ~sample) >> 3
    exponent = max(magnitude.bit_length() - 5, 0)
    mantissa = magnitude >> max(exponent, 1) & 0x0F
    return (exponent << 4 | mantissa | (0x80 if sample >= 0 else 0)) ^ 0x55
