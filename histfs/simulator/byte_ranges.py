"""Serve byte ranges (RFC 9110, section 14) and ETags (section 8.8.3)."""

from __future__ import annotations

import hashlib
import re

from histfs.simulator.http_messages import ApiRequest, ApiResponse


def etag_of(response: ApiResponse) -> str:
    """Return a strong ETag of a body."""
    blocks = list(response.blocks)
    response.blocks = blocks
    return f'"{hashlib.sha256(b"".join(blocks)).hexdigest()[:16]}"'


def part_of(response: ApiResponse, request: ApiRequest) -> ApiResponse:
    """Return the single byte range that a request asks for; without one, the complete body."""
    response.headers["accept-ranges"] = "bytes"
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if match is None:
        return response
    first, last = (
        int(match[1]),
        min(int(match[2] or response.length), response.length - 1),
    )
    if first > last:
        headers = {"content-range": f"bytes */{response.length}"}
        return ApiResponse(416, headers, [], 0)
    part = b"".join(response.blocks)[first : last + 1]
    headers = {**response.headers, "content-range": f"bytes {first}-{last}/{response.length}"}
    return ApiResponse(206, headers, [part], len(part))
