"""Error responses of the API: maps a status and a body to a domain exception. Pure.

Four shapes of body are documented or have been seen:

    {"detail": {"type", "code", "message", "status", "request_id"}}     API reference, errors
    {"detail": {"status", "message"}}                                   help centre, older
    {"detail": [{"loc", "msg", "type"}]}                                422, OpenAPI
    {"error", "message"}                                                400 of /v1/history/download
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from histfs.core.errors import (
    BadAnswer,
    InvalidRequest,
    KeyRefused,
    Missing,
    MissingPermission,
    NotOffered,
    NotReady,
    RateLimited,
    Rejected,
    ServerFailed,
    SourceError,
)
from histfs.core.secret import redact
from histfs.sources.elevenlabs.service import REGIONS

_PERMISSION_CODES = {"missing_permissions", "insufficient_permissions"}
#: The end of a permission's name, such as speech_history_write.
_PERMISSION_NAME = re.compile(r"\w_(read|write)\b")
#: The codes for an unknown id: answered with 400 in 2024, documented as 404.
_MISSING_CODES = {"invalid_id", "history_item_not_found", "not_found"}
#: The code for a recording that isn't made yet, or never was (404).
_NO_AUDIO_CODE = "missing_conversation_audio"
_MAX_MESSAGE = 300
#: Characters of a text that are processed.
MAX_TEXT = 4000


_ADVICE: dict[type[SourceError], str] = {
    MissingPermission: "give the key this permission on the API keys page of your account",
    KeyRefused: "check the key, and its region: a key belongs to one, and others refuse it (try"
    f" --region {'|'.join(REGIONS)})",
}


def error_from_response(
    status: int,
    body: Any,  # noqa: ANN401 - any JSON
    permission: str = "speech_history_read",
    sanitize: Callable[[str], str] | None = None,
) -> SourceError:
    """Return the exception for an error response.

    Args:
        status: the HTTP status, not a 2xx.
        body: the JSON of the body; None when it is not JSON.
        permission: the permission that the request needs, added where the server names none.
        sanitize: makes a server's text one line without secrets; None for `one_line`.
    """
    codes, message = _codes_and_message(body, sanitize or one_line)
    text = f"the server says: {message} (HTTP {status})" if message else f"HTTP {status}"
    error_class = _error_class(status, codes)
    if error_class is MissingPermission and not _PERMISSION_NAME.search(message):
        text += f"; the request needs the permission {permission}"
    if error_class is InvalidRequest:
        return InvalidRequest(text, _invalid_parameters(body))
    error = Missing(text, codes) if error_class is Missing else error_class(text)
    error.advice = _ADVICE.get(error_class, "")
    return error


def _error_class(status: int, codes: set[str]) -> type[SourceError]:
    if status in (401, 403):
        return MissingPermission if codes & _PERMISSION_CODES else KeyRefused
    if status == 404 and _NO_AUDIO_CODE in codes:
        return NotReady
    if status == 404 or (status == 400 and codes & _MISSING_CODES):
        return Missing
    if status == 405:
        return NotOffered
    if status == 429:
        return RateLimited
    if status >= 500:
        return ServerFailed
    if status in (400, 422):
        return InvalidRequest
    if 400 <= status < 500:
        return Rejected
    return BadAnswer


def _codes_and_message(
    body: Any,  # noqa: ANN401 - any JSON
    sanitize: Callable[[str], str],
) -> tuple[set[str], str]:
    """Return the machine-readable codes of an error body, and its message."""
    if not isinstance(body, Mapping):
        return set(), ""
    detail = body.get("detail", body)
    if isinstance(detail, str):
        return set(), sanitize(detail)
    if isinstance(detail, list):
        return set(), sanitize("; ".join(filter(None, map(_validation_message, detail))))
    if not isinstance(detail, Mapping):
        return set(), ""
    values = (detail.get(name) for name in ("code", "status", "error", "type"))
    codes = {value for value in values if isinstance(value, str)}
    message = detail.get("message")
    return codes, sanitize(message if isinstance(message, str) else ", ".join(sorted(codes)))


def _invalid_parameters(body: Any) -> frozenset[str]:  # noqa: ANN401 - any JSON
    """Return the names of the parameters that an error body says are invalid."""
    detail = body.get("detail") if isinstance(body, Mapping) else None
    if isinstance(detail, Mapping):
        names = [detail.get("param")]
    elif isinstance(detail, list):
        # Such as ["query", "source"], or ["query", "exclude_statuses", 0].
        locations = [problem.get("loc") for problem in detail if isinstance(problem, Mapping)]
        names = [loc[1] for loc in locations if isinstance(loc, list) and len(loc) > 1]
    else:
        names = []
    return frozenset(name for name in names if isinstance(name, str))


def _validation_message(problem: Any) -> str:  # noqa: ANN401 - any JSON
    """Return one problem of a 422 as a text; empty when it has another shape."""
    if not isinstance(problem, Mapping):
        return ""
    loc = problem.get("loc")
    location = ".".join(map(str, loc)) if isinstance(loc, list) else ""
    return f"{location}: {problem.get('msg', 'invalid')}"


def one_line(text: str) -> str:
    """Return untrusted text as one short line, without control characters and without keys."""
    # Redacted before it is cut: the rest of a key may be too short to be recognised.
    safe = redact(text[:MAX_TEXT])
    printable = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in safe[:1000])
    line = " ".join(printable.split())
    return line if len(line) <= _MAX_MESSAGE else line[: _MAX_MESSAGE - 1] + "…"
