"""What goes in and out of an endpoint, free of sockets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from histfs.simulator.api_errors import ApiError, invalid_body


def dump_json(value: object) -> bytes:
    """Writes JSON as the API does: compact and in UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # A lone surrogate has no UTF-8; its backslash form is the JSON escape that it came from.
    return text.encode(errors="backslashreplace")


@dataclass(frozen=True)
class ApiRequest:
    """One request.

    Attributes:
        method: The method, in capitals.
        target: The path with the query, as it was sent.
        headers: The headers; names compare without regard to case.
        body: The whole body.
        client: The address of the other end.
        path_values: What the route's placeholders stand for.
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
        """The query, still percent-encoded; empty when there is none."""
        return self.target.partition("?")[2]

    def json_object(self) -> dict[str, object]:
        """Reads the body.

        Raises:
            ApiError: 422, when the body is no JSON object.
        """
        try:
            value = json.loads(self.body)
        # RecursionError: it is nested deeper than Python reads.
        except (ValueError, RecursionError) as error:
            raise invalid_body("json_invalid", "JSON decode error") from error
        if not isinstance(value, dict):
            raise invalid_body("model_attributes_type", "Input should be a valid dictionary")
        return value


@dataclass
class ApiResponse:
    """One answer.

    Attributes:
        status: The HTTP status.
        headers: All headers but those that say where the body ends.
        blocks: The body, in pieces.
        length: Bytes of the body.
        streamed: Whether the real API sends this answer without telling its length.
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
        """Makes an answer out of a whole body."""
        return cls(status, {"content-type": content_type, **headers}, [body], len(body))

    @classmethod
    def of_json(
        cls, value: object, *, status: int = 200, headers: Mapping[str, str] = {}
    ) -> ApiResponse:
        """Makes an answer out of a JSON value."""
        return cls.of_bytes(dump_json(value), "application/json", status=status, headers=headers)

    @classmethod
    def of_error(cls, error: ApiError) -> ApiResponse:
        """Makes the answer that tells of an error."""
        return cls.of_json(error.body, status=error.status, headers=error.headers)
