"""The size of audio without its bytes: a HEAD request, or a range of one byte.

RFC 9110, sections 9.3.2 (HEAD) and 14 (ranges). The API documents neither, and a server may have
both or none. A range is asked for only where audio came with ``Accept-Ranges: bytes``: a server
that ignores it would send the whole clip.

Threads: any number at once, without a lock: each attribute changes once, and a thread that sees the
old value sends a request in vain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from histfs.core.errors import NotOffered, Rejected
from histfs.sources.elevenlabs.error_responses import error_from_response
from histfs.sources.elevenlabs.http_client import HttpClient
from histfs.sources.elevenlabs.response_bodies import (
    StreamedBody,
    body_length,
    check_audio_type,
    media_type_of,
)

_IDENTITY = {"Accept-Encoding": "identity"}
_ONE_BYTE = {**_IDENTITY, "Range": "bytes=0-0"}
#: The header of the answer: the size follows the slash (RFC 9110, section 14.4).
_CONTENT_RANGE = re.compile(r"bytes 0-0/([1-9][0-9]{0,18})", re.ASCII)


class AudioSizes:
    """Asks a server for the sizes of audio.

    Args:
        http: the server and the key.
    """

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._has_head = True
        self._has_ranges = False

    def note(self, body: StreamedBody) -> None:
        """Note what the answer with a clip tells of the server."""
        if body.accepts_ranges:
            self._has_ranges = True

    def size(self, path: str) -> int:
        """Return the size in bytes of the audio at a path.

        Raises:
            NotOffered: the server tells no sizes.
            SourceError: the request failed, or the answer is not about audio.
        """
        if self._has_head:
            size = self._by_head(path)
            if size is not None:
                return size
            self._has_head = False
        if self._has_ranges:
            size = self._by_range(path)
            if size is not None:
                return size
            self._has_ranges = False
        raise NotOffered("the server tells no size of audio without sending it")

    def _by_head(self, path: str) -> int | None:
        headers = self._answer("HEAD", path, _IDENTITY)
        # Some servers answer HEAD with the length 0; no clip is empty.
        return body_length(headers) or None

    def _by_range(self, path: str) -> int | None:
        headers = self._answer("GET", path, _ONE_BYTE)
        match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        return int(match[1]) if match else None

    def _answer(
        self, method: Literal["GET", "HEAD"], path: str, headers: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Return the headers of an answer that is about audio; none where the server refuses it."""
        answer = self._http.request(method, path, headers=headers, max_bytes=1)
        if not 200 <= answer.status < 300:
            error = error_from_response(answer.status, None)
            # 501: the server has no such method.
            if isinstance(error, Rejected) or answer.status == 501:
                return {}
            raise error
        check_audio_type(media_type_of(answer.headers))
        return answer.headers
