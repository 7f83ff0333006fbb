"""What the API's error answers mean. Pure: a status and a body become a domain exception.

Four shapes of body are documented or were seen:

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

_PERMISSION = {"missing_permissions", "insufficient_permissions"}
#: A permission, such as speech_history_write.
_NAMED = re.compile(r"\w_(read|write)\b")
#: An unknown id was answered with 400 in 2024 and is documented as 404.
_MISSING = {"invalid_id", "history_item_not_found", "not_found"}
#: What a recording that isn't made yet, or never was, is answered with (404).
_NO_AUDIO = "missing_conversation_audio"
_MESSAGE_MAX = 300
#: Characters of a text that are looked at.
TEXT_MAX = 4000


_ADVICE: dict[type[SourceError], str] = {
    MissingPermission: "give the key this permission on the API keys page of your account",
    KeyRefused: "check the key, and its region: a key belongs to one, and others refuse it (try"
    f" --region {'|'.join(REGIONS)})",
}


def fault_of(
    status: int,
    body: Any,  # noqa: ANN401 - whatever JSON holds
    permission: str = "speech_history_read",
    shown: Callable[[str], str] | None = None,
) -> SourceError:
    """Return the exception that an error answer stands for.

    Args:
        status: the HTTP status, not a 2xx.
        body: the answer's JSON; None when it was none.
        permission: what the request needed, for a server that says only that one is missing.
        shown: makes a text of the server's one line without the key; None for `one_line`.
    """
    codes, message = _read(body, shown or one_line)
    said = f"the server says: {message} (HTTP {status})" if message else f"HTTP {status}"
    kind = _kind(status, codes)
    if kind is MissingPermission and not _NAMED.search(message):
        said += f"; the request needs the permission {permission}"
    if kind is InvalidRequest:
        return InvalidRequest(said, _blamed(body))
    error = Missing(said, codes) if kind is Missing else kind(said)
    error.advice = _ADVICE.get(kind, "")
    return error


def _kind(status: int, codes: set[str]) -> type[SourceError]:
    if status in (401, 403):
        return MissingPermission if codes & _PERMISSION else KeyRefused
    if status == 404 and _NO_AUDIO in codes:
        return NotReady
    if status == 404 or (status == 400 and codes & _MISSING):
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


def _read(
    body: Any,  # noqa: ANN401 - whatever JSON holds
    shown: Callable[[str], str],
) -> tuple[set[str], str]:
    """Return the machine-readable words of an error body, and the message for a person."""
    if not isinstance(body, Mapping):
        return set(), ""
    detail = body.get("detail", body)
    if isinstance(detail, str):
        return set(), shown(detail)
    if isinstance(detail, list):
        return set(), shown("; ".join(filter(None, map(_invalid, detail))))
    if not isinstance(detail, Mapping):
        return set(), ""
    words = (detail.get(name) for name in ("code", "status", "error", "type"))
    codes = {word for word in words if isinstance(word, str)}
    message = detail.get("message")
    return codes, shown(message if isinstance(message, str) else ", ".join(sorted(codes)))


def _blamed(body: Any) -> frozenset[str]:  # noqa: ANN401 - whatever JSON holds
    """Return the names of the parameters that an error body blames."""
    detail = body.get("detail") if isinstance(body, Mapping) else None
    if isinstance(detail, Mapping):
        names = [detail.get("param")]
    elif isinstance(detail, list):
        # Such as ["query", "source"], or ["query", "exclude_statuses", 0].
        places = [problem.get("loc") for problem in detail if isinstance(problem, Mapping)]
        names = [place[1] for place in places if isinstance(place, list) and len(place) > 1]
    else:
        names = []
    return frozenset(name for name in names if isinstance(name, str))


def _invalid(problem: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    if not isinstance(problem, Mapping):
        return ""
    where = problem.get("loc")
    place = ".".join(map(str, where)) if isinstance(where, list) else ""
    return f"{place}: {problem.get('msg', 'invalid')}"


def one_line(text: str) -> str:
    """Return a text of a stranger's as one short line without control characters, or any key."""
    # Before it is cut: what is left of a key then may be too short to be found.
    safe = redact(text[:TEXT_MAX])
    shown = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in safe[:1000])
    line = " ".join(shown.split())
    return line if len(line) <= _MESSAGE_MAX else line[: _MESSAGE_MAX - 1] + "…"
