"""Parts of a body (RFC 9110, section 14), and the ETag that tells two bodies apart."""

from __future__ import annotations

import hashlib
import re

from histfs.simulator.http_messages import ApiRequest, ApiResponse


def etag_of(response: ApiResponse) -> str:
    """Makes a strong ETag of a body, which stays the same."""
    blocks = list(response.blocks)
    response.blocks = blocks
    return f'"{hashlib.sha256(b"".join(blocks)).hexdigest()[:16]}"'


def part_of(response: ApiResponse, request: ApiRequest) -> ApiResponse:
    """Gives the part of a body that a request asks for with one range, else the whole of it."""
    response.headers["accept-ranges"] = "bytes"
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if asked is None:
        return response
    first, last = int(asked[1]), min(int(asked[2] or response.length), response.length - 1)
    if first > last:
        headers = {"content-range": f"bytes */{response.length}"}
        return ApiResponse(416, headers, [], 0)
    part = b"".join(response.blocks)[first : last + 1]
    headers = {**response.headers, "content-range": f"bytes {first}-{last}/{response.length}"}
    return ApiResponse(206, headers, [part], len(part))
