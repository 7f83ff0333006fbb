"""Audio files whose bytes differ from item to item and are generated only when sent."""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

MP3 = "audio/mpeg"
WAV = "audio/wav"
WAV_RATE = 22050

_TONE_HERTZ = 440
_BLOCK = 1 << 16


@dataclass(frozen=True)
class ClipBytes:
    """One audio file: a head of its own, then a body that repeats a shared unit.

    Attributes:
        head: Tags and headers, with the item's id in them.
        unit: The bytes that the body repeats.
        body_length: Bytes of the body; the last repetition of the unit is cut there.
        content_type: The declared content type.
    """

    head: bytes
    unit: bytes
    body_length: int
    content_type: str

    def __len__(self) -> int:
        """The size of the file in bytes."""
        return len(self.head) + self.body_length

    def __bytes__(self) -> bytes:
        """The complete file."""
        return b"".join(self.blocks())

    def blocks(self) -> Iterator[bytes]:
        """Yield the file in blocks of a size that is efficient to send."""
        unit = _repeated(self.unit, self.body_length)
        pending = self.head
        remaining = self.body_length
        while remaining > 0:
            block = unit[:remaining]
            remaining -= len(block)
            yield pending + block
            pending = b""
        if pending:
            yield pending


@functools.lru_cache(maxsize=64)
def _repeated(unit: bytes, length: int) -> bytes:
    """Repeat a unit up to the block size or the length."""
    return unit * max(1, math.ceil(min(_BLOCK, length) / len(unit)))


def mp3_clip(
    item_id: str,
    title: str,
    frames: bytes,
    *,
    target_size: int | None = None,
    key: str = "history_item_id",
) -> ClipBytes:
    """Return an MP3 file: an ID3v2.4 tag and a sample's frames.

    Args:
        item_id: Written into the tag, so that no two items have the same bytes.
        title: Written into the tag.
        frames: Bare MP3 frames.
        target_size: Repeat all frames until the file has at least this many bytes.
        key: The id's name in the tag.

    Returns:
        The file.
    """
    fields = [
        _id3_frame(b"TIT2", b"\x03" + title.encode()),
        _id3_frame(b"TXXX", f"\x03{key}\0{item_id}".encode()),
    ]
    content = b"".join(fields)
    head = b"ID3\x04\x00\x00" + _synchsafe(len(content)) + content
    repeats = (
        1 if target_size is None else max(1, math.ceil((target_size - len(head)) / len(frames)))
    )
    return ClipBytes(head, frames, repeats * len(frames), MP3)


def wav_clip(
    item_id: str, title: str, duration: float, *, target_size: int | None = None
) -> ClipBytes:
    """Return a WAV file (16-bit mono PCM) of a tone.

    Args:
        item_id: Written into the file's LIST chunk, so that no two items have the same bytes.
        title: Written into the LIST chunk.
        duration: Seconds.
        target_size: The size of the file in bytes; it overrides the duration.

    Returns:
        The file.
    """
    info = b"INFO" + _riff_chunk(b"INAM", title.encode() + b"\0")
    info += _riff_chunk(b"ICMT", item_id.encode() + b"\0")
    layout = struct.pack("<HHIIHH", 1, 1, WAV_RATE, WAV_RATE * 2, 2, 16)
    chunks = _riff_chunk(b"fmt ", layout) + _riff_chunk(b"LIST", info)
    overhead = len(b"RIFF....WAVE") + len(chunks) + len(b"data....")
    samples = (
        round(duration * WAV_RATE) if target_size is None else max(1, (target_size - overhead) // 2)
    )
    length = samples * 2
    riff = b"RIFF" + struct.pack("<I", overhead - 8 + length) + b"WAVE"
    return ClipBytes(riff + chunks + b"data" + struct.pack("<I", length), tone(), length, WAV)


def sent_file(owner_id: str, file_id: str, mime_type: str, size: int) -> ClipBytes:
    """Return a file that was sent in a conversation, with the magic bytes of its type.

    Args:
        owner_id: The conversation's id.
        file_id: Written into the file, so that no two files have the same bytes.
        mime_type: Determines the magic bytes.
        size: Its size in bytes, at least that of its head.

    Returns:
        The file.
    """
    magic = {
        "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
        "image/png": b"\x89PNG\r\n\x1a\n",
        "application/pdf": b"%PDF-1.7\n",
        "text/html": b"<!doctype html>\n<title>A page</title>\n",
        "application/json": b'{"error": "a log that a user sends is no error of the API",',
    }
    head = magic.get(mime_type.partition(";")[0], b"")
    head += f"{owner_id} {file_id}\n".encode()
    return ClipBytes(head, b"0123456789abcde\n", max(0, size - len(head)), mime_type)


@functools.cache
def tone() -> bytes:
    """Return one second of a quiet tone, of complete periods: it repeats without a click."""
    step = 2 * math.pi * _TONE_HERTZ / WAV_RATE
    wave = [round(6000 * math.sin(step * index)) for index in range(WAV_RATE)]
    return struct.pack(f"<{WAV_RATE}h", *wave)


def _id3_frame(name: bytes, content: bytes) -> bytes:
    return name + _synchsafe(len(content)) + b"\0\0" + content


def _synchsafe(number: int) -> bytes:
    """Encode a number as ID3 does: four bytes of seven bits."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def _riff_chunk(name: bytes, content: bytes) -> bytes:
    padding = b"\0" * (len(content) % 2)
    return name + struct.pack("<I", len(content)) + content + padding
