"""The types of WSGI (PEP 3333), and answers of one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

#: Of each answer: other origins may not embed it, nothing guesses its type or keeps it unasked.
COMMON_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def path_of(environ: Environ) -> str:
    """Return the path that a request names; bytes that are not UTF-8 are surrogates.

    Args:
        environ: of the request; WSGI has the bytes of the path as Latin-1.
    """
    raw: str = environ.get("PATH_INFO") or "/"
    return raw.encode("latin-1").decode("utf-8", "surrogateescape")


def begin(
    start_response: StartResponse, status: HTTPStatus, headers: Mapping[str, str] | None = None
) -> None:
    """Begin an answer.

    Args:
        start_response: of the request.
        status: of the answer.
        headers: beside `COMMON_HEADERS`.
    """
    sent = COMMON_HEADERS | dict(headers or {})
    start_response(f"{status.value} {status.phrase}", list(sent.items()))


def answer(
    environ: Environ,
    start_response: StartResponse,
    status: HTTPStatus,
    text: str = "",
    headers: Mapping[str, str] | None = None,
) -> list[bytes]:
    """Answer with a line of text.

    Args:
        environ: of the request.
        start_response: of the request.
        status: of the answer.
        text: the line; by default the phrase of the status.
        headers: more headers.
    """
    if status is HTTPStatus.NOT_MODIFIED:
        begin(start_response, status, headers)
        return []
    body = f"{text or status.phrase}\n".encode("utf-8", "replace")
    own = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))}
    begin(start_response, status, own | dict(headers or {}))
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
