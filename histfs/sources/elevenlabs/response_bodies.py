"""Bodies of HTTP responses, decompressed chunk by chunk, so that none exceeds its size limit.

A megabyte of gzip may decompress to a gigabyte. urllib3 would decompress whatever encodings the
server names, in whatever number, each chunk at once.

Threads: a body belongs to the thread that reads it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from histfs.core.errors import AnswerTooLarge, BadAnswer

#: Bytes that are read at once, and the most that they are decompressed to at once.
_READ_SIZE, _DECOMPRESSED_SIZE = 32 * 1024, 256 * 1024
#: The size from which the compression ratio of a body is limited, and the limit: silence compresses
#: a thousandfold, but no recording is an hour of it.
_RATIO_CHECKED_FROM, _MAX_RATIO = 64 << 20, 100

_AUDIO_TYPES = ("audio/", "video/")
_OTHER_AUDIO_TYPES = {
    "", "application/ogg", "application/octet-stream", "binary/octet-stream",
}  # fmt: skip

#: Media types that need no sanitizing, which takes as long as the rest of a `StreamedBody`.
_PLAIN_TYPES = frozenset({"", "audio/mpeg", "audio/wav", "audio/pcm", "audio/ogg"})

_ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})


class RawResponse(Protocol):
    """The part of `requests.Response` that is used here.

    Attributes:
        headers: the headers; names are case-insensitive.
        raw: the response of urllib3.
    """

    @property
    def headers(self) -> Mapping[str, str]: ...  # noqa: D102

    raw: Any


class StreamedBody:
    """The body of a response, while it is read. Implements `histfs.core.source.AudioStream`.

    Args:
        response: the response.
        map_errors: a context that raises the errors of the HTTP library as `SourceError`.
        sanitize: makes a server's text one line without secrets.

    Attributes:
        content_type: media type without parameters, lower case; empty when there is none.
        accepts_ranges: whether the server says that it sends parts of the body, too.
        length: bytes of the body; None when the server doesn't say.
        throttled: always False: a 429 is raised, and not retried here.
    """

    throttled = False

    def __init__(
        self,
        response: RawResponse,
        map_errors: Callable[[], AbstractContextManager[None]],
        sanitize: Callable[[str], str],
    ) -> None:
        self._response = response
        self._map_errors = map_errors
        media_type = media_type_of(response.headers)
        self.content_type = media_type if media_type in _PLAIN_TYPES else sanitize(media_type)
        self.accepts_ranges = response.headers.get("Accept-Ranges", "").strip().lower() == "bytes"
        content_length = _content_length(response.headers)
        chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        self._is_delimited = content_length is not None or chunked
        self.length = body_length(response.headers)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive; end only when the body is complete.

        Raises:
            BadAnswer: the body was cut short, is damaged, or nothing tells where it ends.
            Unreachable: the connection broke, or nothing arrived for too long.
        """
        if not self._is_delimited:
            # Such a body ends where the connection does (RFC 9112, section 6.3), cut or not.
            raise BadAnswer("the answer gives neither its length nor chunks: it may be cut short")
        received = 0
        with self._map_errors():
            for chunk in _decoded_chunks(self._response):
                received += len(chunk)
                yield chunk
        if self.length is not None and received != self.length:
            raise BadAnswer(f"the answer has {received} bytes instead of {self.length}")


def read_up_to(response: RawResponse, max_bytes: int) -> tuple[bytes, bool]:
    """Read the body of a response, or its beginning.

    Args:
        response: the response.
        max_bytes: the most bytes to return.

    Returns:
        The bytes, and whether they are the complete body.
    """
    content = bytearray()
    for chunk in _decoded_chunks(response):
        content += chunk
        if len(content) > max_bytes:
            del content[max_bytes:]
            return bytes(content), False
    return bytes(content), True


def read_complete(response: RawResponse, max_bytes: int) -> bytes:
    """Read the complete body of a response.

    Raises:
        AnswerTooLarge: it has more than ``max_bytes`` bytes.
    """
    content_length = _content_length(response.headers)
    complete = content_length is None or content_length <= max_bytes
    if complete:
        content, complete = read_up_to(response, max_bytes)
    if not complete:
        raise AnswerTooLarge(f"the answer has more than {max_bytes >> 20} MB")
    return content


def media_type_of(headers: Mapping[str, str]) -> str:
    """Return the media type without parameters, in lower case; empty when there is none."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


def check_audio_type(media_type: str) -> None:
    """Raise `BadAnswer` where a media type, in lower case, is not of audio."""
    if not media_type.startswith(_AUDIO_TYPES) and media_type not in _OTHER_AUDIO_TYPES:
        raise BadAnswer(f"the answer is not audio but {media_type}")


def body_length(headers: Mapping[str, str]) -> int | None:
    """Return the bytes of the body as it is read; None where the headers don't tell."""
    return _content_length(headers) if _encoding(headers) is None else None


def _content_length(headers: Mapping[str, str]) -> int | None:
    """Return the length of the body as sent, still compressed; None when there is no valid one."""
    value = headers.get("Content-Length", "")
    # str.isdigit takes digits that int refuses; int refuses thousands of digits.
    is_number = value.isascii() and value.isdigit() and len(value) < 20
    return int(value) if is_number else None


def _encoding(headers: Mapping[str, str]) -> str | None:
    """Return the Content-Encoding of a body; None when it isn't compressed."""
    encoding = headers.get("Content-Encoding", "").strip().lower()
    return None if encoding in ("", "identity") else encoding


def _decoded_chunks(response: RawResponse) -> Iterator[bytes]:
    """Yield the body of a response, decompressed, as it arrives.

    Raises:
        BadAnswer: the encoding was not requested, the data is damaged, or the compression ratio is
            implausible.
    """
    encoding = _encoding(response.headers)
    chunks: Iterator[bytes] = response.raw.stream(_READ_SIZE, decode_content=False)
    if encoding is None:
        return chunks
    if encoding not in _ENCODINGS:
        raise BadAnswer(f"the answer has an unknown encoding ({encoding[:40]!r})")
    return _decompress(chunks)


def _decompress(chunks: Iterable[bytes]) -> Iterator[bytes]:
    received = produced = 0
    decompressor = _decompressor()
    try:
        for chunk in chunks:
            received += len(chunk)
            rest = chunk
            while rest:
                if decompressor.eof:
                    if not rest.strip(b"\0"):
                        break  # padding
                    decompressor = _decompressor()  # another member (RFC 1952, section 2.2)
                decompressed = decompressor.decompress(rest, _DECOMPRESSED_SIZE)
                rest = decompressor.unconsumed_tail or decompressor.unused_data
                produced += len(decompressed)
                if produced > _RATIO_CHECKED_FROM and produced > _MAX_RATIO * received:
                    raise BadAnswer("the answer decompresses to an implausible size")
                yield decompressed
        yield decompressor.flush()
    except zlib.error as error:
        raise BadAnswer("the compressed answer is damaged") from error
    if not decompressor.eof:
        raise BadAnswer("the compressed answer was cut short")


def _decompressor() -> zlib._Decompress:
    return zlib.decompressobj(zlib.MAX_WBITS | 32)
