"""Bodies of answers: unpacked here, piece by piece, so that none grows beyond its bound.

A megabyte of gzip may unpack to a gigabyte. urllib3 would unpack whatever encodings the server
names, in whatever number, each piece at once.

Threads: a body belongs to the thread that reads it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from histfs.core.errors import AnswerTooLarge, BadAnswer

#: Bytes that are read at once, and that they are unpacked to at once.
_CHUNK, _UNPACKED = 32 * 1024, 256 * 1024
#: Bytes from which on a body may be no more than so many times as large as it came: silence can be
#: packed a thousandfold, but no recording is an hour of it.
_SUSPICIOUS, _RATIO = 64 << 20, 100

_ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})


class RawResponse(Protocol):
    """What is used of a response of requests.

    Attributes:
        headers: whose names are found in whatever case.
        raw: the response of urllib3.
    """

    @property
    def headers(self) -> Mapping[str, str]: ...  # noqa: D102

    raw: Any


def announced_length(response: RawResponse) -> int | None:
    """Return the bytes that an answer says its body has, as it is sent; None when it doesn't."""
    announced = response.headers.get("Content-Length", "")
    # str.isdigit takes digits that int refuses; int refuses thousands of digits.
    is_number = announced.isascii() and announced.isdigit() and len(announced) < 20
    return int(announced) if is_number else None


def encoding_of(response: RawResponse) -> str | None:
    """Return how a body is packed; None when it isn't."""
    encoding: str = response.headers.get("Content-Encoding", "").strip().lower()
    return None if encoding in ("", "identity") else encoding


def pieces(response: RawResponse) -> Iterator[bytes]:
    """Yield the body of an answer, unpacked, as it comes.

    Raises:
        BadAnswer: it is packed in a way that wasn't asked for, damaged, or unpacks to a multiple
            that no honest body does.
    """
    encoding = encoding_of(response)
    sent: Iterator[bytes] = response.raw.stream(_CHUNK, decode_content=False)
    if encoding is None:
        return sent
    if encoding not in _ENCODINGS:
        raise BadAnswer(f"the answer is packed in an unknown way ({encoding[:40]!r})")
    return _unpacked(sent)


def content(response: RawResponse, most: int) -> tuple[bytes, bool]:
    """Read the body of an answer, or the beginning of it.

    Args:
        response: the answer.
        most: bytes after which no more is read.

    Returns:
        At most so many bytes, and whether they are the whole body.
    """
    found = bytearray()
    for piece in pieces(response):
        found += piece
        if len(found) > most:
            del found[most:]
            return bytes(found), False
    return bytes(found), True


def whole_content(response: RawResponse, most: int) -> bytes:
    """Read the whole body of an answer.

    Raises:
        AnswerTooLarge: it has more than ``most`` bytes.
    """
    announced = announced_length(response)
    whole = announced is None or announced <= most
    if whole:
        found, whole = content(response, most)
    if not whole:
        raise AnswerTooLarge(f"the answer has more than {most >> 20} MB")
    return found


def _unpacked(sent: Iterable[bytes]) -> Iterator[bytes]:
    received = unpacked = 0
    unpacker = _unpacker()
    try:
        for packed in sent:
            received += len(packed)
            rest = packed
            while rest:
                if unpacker.eof:
                    if not rest.strip(b"\0"):
                        break  # padding
                    unpacker = _unpacker()  # another member (RFC 1952, section 2.2)
                piece = unpacker.decompress(rest, _UNPACKED)
                rest = unpacker.unconsumed_tail or unpacker.unused_data
                unpacked += len(piece)
                if unpacked > _SUSPICIOUS and unpacked > _RATIO * received:
                    raise BadAnswer("the answer unpacks to far more than it can honestly be")
                yield piece
        yield unpacker.flush()
    except zlib.error as error:
        raise BadAnswer("the compressed answer is damaged") from error
    if not unpacker.eof:
        raise BadAnswer("the compressed answer was cut short")


def _unpacker() -> zlib._Decompress:
    return zlib.decompressobj(zlib.MAX_WBITS | 32)
