"""Requests and responses as endpoints see them, without sockets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from histfs.simulator.api_errors import ApiError, invalid_body


def dump_json(value: object) -> bytes:
    """Serialize JSON as the API does: compact and in UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # A lone surrogate has no UTF-8 form; its backslash escape is valid JSON.
    return text.encode(errors="backslashreplace")


@dataclass(frozen=True)
class ApiRequest:
    """One request.

    Attributes:
        method: The method, in capitals.
        target: The path with the query, as it was sent.
        headers: The headers; names are in lower case.
        body: The complete body.
        client: The IP address of the client.
        path_values: The values of the route's placeholders.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    client: str
    path_values: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path without the query, still percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query, still percent-encoded; empty without one."""
        return self.target.partition("?")[2]

    def json_object(self) -> dict[str, object]:
        """Parse the body.

        Raises:
            ApiError: 422, the body is not a JSON object.
        """
        try:
            value = json.loads(self.body)
        # RecursionError: it is nested too deeply for the parser.
        except (ValueError, RecursionError) as error:
            raise invalid_body("json_invalid", "JSON decode error") from error
        if not isinstance(value, dict):
            raise invalid_body("model_attributes_type", "Input should be a valid dictionary")
        return value


@dataclass
class ApiResponse:
    """One response.

    Attributes:
        status: The HTTP status.
        headers: All headers except those that frame the body.
        blocks: The body, in pieces.
        length: The length of the body in bytes.
        streamed: Whether the real API sends this response without Content-Length.
    """

    status: int
    headers: dict[str, str]
    blocks: Iterable[bytes]
    length: int
    streamed: bool = False

    @classmethod
    def of_bytes(
        cls, body: bytes, content_type: str, *, status: int = 200, headers: Mapping[str, str] = {}
    ) -> ApiResponse:
        """Return a response with a complete body."""
        return cls(status, {"content-type": content_type, **headers}, [body], len(body))

    @classmethod
    def of_json(
        cls, value: object, *, status: int = 200, headers: Mapping[str, str] = {}
    ) -> ApiResponse:
        """Return a response with a JSON value."""
        return cls.of_bytes(dump_json(value), "application/json", status=status, headers=headers)

    @classmethod
    def of_error(cls, error: ApiError) -> ApiResponse:
        """Return the response for an error."""
        return cls.of_json(error.body, status=error.status, headers=error.headers)
