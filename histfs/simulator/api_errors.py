"""Build the API's error bodies.

Four shapes are known: `detail_body` is the present one; `legacy_body` is older and still seen;
`validation_error` is FastAPI's; `flat_body` is used by the download endpoint only.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Iterator, Mapping

# HTTP status: the default (type, code, message).
_DEFAULTS = {
    400: ("validation_error", "bad_request", "The request is not valid."),
    401: ("authentication_error", "unauthorized", "Invalid API key"),
    402: ("payment_required", "insufficient_credits", "You have insufficient credits."),
    403: ("authorization_error", "insufficient_permissions", "You lack the permission for this."),
    404: ("not_found", "history_item_not_found", "The history item was not found."),
    409: ("conflict", "conflict", "The request conflicts with the state of the resource."),
    422: ("validation_error", "unprocessable_entity", "The request can't be processed."),
    429: ("rate_limit_error", "rate_limit_exceeded", "Too many requests, please slow down."),
    500: ("internal_error", "internal_error", "An unexpected error occurred."),
    503: ("service_unavailable", "service_unavailable", "The service is unavailable."),
}


class ApiError(Exception):
    """An error answer.

    Attributes:
        status: The HTTP status.
        body: The body, a JSON value.
        headers: Additional headers.
    """

    def __init__(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


def detail_body(
    status: int,
    code: str | None = None,
    message: str | None = None,
    *,
    legacy_status: str | None = None,
    param: str | None = None,
) -> dict[str, object]:
    """Return a body of the present shape.

    Args:
        status: The HTTP status; it sets the type and the defaults of the others.
        code: The API's code for the error.
        message: The message for a person.
        legacy_status: The older code, where it differs.
        param: The rejected parameter.

    Returns:
        The body.
    """
    error_type, default_code, default_message = _DEFAULTS.get(status, _DEFAULTS[500])
    code = code or default_code
    detail = {
        "type": error_type,
        "code": code,
        "message": message or default_message,
        "status": legacy_status or code,
        "request_id": uuid.uuid4().hex,
    }
    if param is not None:
        detail["param"] = param
    return {"detail": detail}


def legacy_body(status: int, code: str | None = None, message: str | None = None) -> object:
    """Return a body of the older shape; the HTTP status sets the defaults."""
    _, default_code, default_message = _DEFAULTS.get(status, _DEFAULTS[500])
    return {"detail": {"status": code or default_code, "message": message or default_message}}


def flat_body(status: int, code: str | None = None, message: str | None = None) -> object:
    """Return a body without a detail object; the HTTP status sets the defaults."""
    _, default_code, default_message = _DEFAULTS.get(status, _DEFAULTS[500])
    return {"error": code or default_code, "message": message or default_message}


def problem(
    location: Iterable[str | int], error_type: str, message: str, **more: object
) -> dict[str, object]:
    """Return FastAPI's description of one rejected value.

    Args:
        location: The location, such as ("query", "page_size").
        error_type: pydantic's error type.
        message: The message for a person.
        **more: `input`, the rejected value, and `ctx`.

    Returns:
        One entry for `validation_error`.
    """
    return {"type": error_type, "loc": list(location), "msg": message, **more}


def validation_error(problems: list[dict[str, object]]) -> ApiError:
    """Return FastAPI's error for a request that violates the schema."""
    return ApiError(422, {"detail": problems})


def invalid_body(error_type: str, message: str) -> ApiError:
    """Return FastAPI's error for a body that is not a JSON object."""
    return validation_error([problem(["body"], error_type, message)])


@contextlib.contextmanager
def known_item(item_id: str) -> Iterator[None]:
    """Translate a KeyError for an item into the API's 404."""
    try:
        yield
    except KeyError as error:
        message = f"History item with id {item_id} not found."
        raise ApiError(404, detail_body(404, message=message)) from error


@contextlib.contextmanager
def known_conversation(conversation_id: str) -> Iterator[None]:
    """Translate a KeyError for a conversation into the API's 404."""
    try:
        yield
    except KeyError as error:
        message = f"Conversation with id {conversation_id} not found."
        code, status = "conversation_not_found", "conversation_history_not_found"
        raise ApiError(404, detail_body(404, code, message, legacy_status=status)) from error
