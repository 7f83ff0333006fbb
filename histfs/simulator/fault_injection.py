"""Inject faults into answers, on demand.

========  ==========================================================================================
kind      effect
========  ==========================================================================================
status    An error with `status` (500) and `body`; without `body`, one of `shape` with `code`.
reset     The connection is reset before the answer, or at `at_byte` in its body.
cut       The connection is closed at `at_byte` in the body (half of it).
hang      Nothing is sent for `seconds` (until the simulator stops), before the answer or at
          `at_byte` in its body; then the answer continues.
drip      From `at_byte` in the body (half of it), one byte is sent every `seconds` (1); with
          `head`, from the first byte of the status line.
html      A sign-in page with `status` (200).
redirect  `status` (302) with the Location in `headers`.
gzip      The true body, compressed whatever the client accepts.
empty     The true headers, no body.
garbage   JSON that ends in the middle, as a complete body.
headers   The true answer, with `headers` added or replaced.
disguise  The true status and headers, such as the content type of audio, with `body` (null).
truncate  A well-formed list with the first `at_item` items of its page (half of them), which
          states that no page follows.
omit      A well-formed list without the items at `positions` of its page.
========  ==========================================================================================

Values in parentheses are the defaults. The order of a request: `Faults.take` chooses its fault, the
endpoint is called if `Fault.calls_endpoint`, `Fault.apply` changes the complete answer, and the
connection applies those that are `in_body` while it sends.

Threads: a `Fault` is immutable; one lock guards the list in `Faults` and its counters.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from http import HTTPStatus
from typing import Literal, get_args

from histfs.simulator.api_errors import (
    detail_body,
    flat_body,
    legacy_body,
    problem,
    validation_error,
)
from histfs.simulator.http_messages import ApiResponse, dump_json

Kind = Literal[
    "status", "reset", "cut", "hang", "html", "redirect", "gzip", "empty", "garbage", "headers",
    "disguise", "drip", "truncate", "omit",
]  # fmt: skip
Shape = Literal["detail", "legacy", "validation", "flat"]

_KINDS: tuple[Kind, ...] = get_args(Kind)
_SHAPES: tuple[Shape, ...] = get_args(Shape)

# Kinds that send the endpoint's answer late, damaged or in part.
_DAMAGING = frozenset({"cut", "hang", "gzip", "empty", "headers", "disguise", "truncate", "omit"})
# The names of the items and of the next page's cursor in list answers.
_ITEMS = ("history", "conversations")
_CURSORS = ("last_history_item_id", "next_cursor")

_SIGN_IN = b"""<!DOCTYPE html>
<html><head><title>Sign in</title></head>
<body><form action="/login"><input name="user"><input name="password"></form></body></html>
"""
_GARBAGE = b'{"history":[{"history_item_id":"'


@dataclass(frozen=True)
class Fault:
    """One fault; the module's table describes the kinds.

    Attributes:
        pattern: A regular expression that is searched in "METHOD /path" (without the query).
        kind: The kind of fault.
        status: The HTTP status of the answer.
        shape: The shape of an error's body.
        code: The API's code in an error's body.
        body: The body of an error or a disguise: JSON, or text that is sent as it is.
        headers: Additional headers, such as Retry-After.
        after: The number of matching requests to pass first.
        count: The number of requests to affect; None is unlimited.
        at_byte: The offset in the body.
        seconds: The duration of a hang, or the interval of a drip.
        perform: Call the endpoint even though its answer is not sent; a deletion then takes effect
            although the client gets no confirmation.
        query: A regular expression that must also be found in the query, as it was sent.
        head: Whether a drip begins with the status line instead of the body.
        at_item: The number of items that a truncated list keeps.
        positions: The indices of the omitted items in a page.
    """

    pattern: str
    kind: Kind
    status: int | None = None
    shape: Shape = "detail"
    code: str | None = None
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after: int = 0
    count: int | None = None
    at_byte: int | None = None
    seconds: float | None = None
    perform: bool = False
    query: str = ""
    head: bool = False
    at_item: int | None = None
    positions: Sequence[int] = ()

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: A value is out of range or missing.
        """
        re.compile(self.pattern)
        re.compile(self.query)
        if self.kind not in _KINDS:
            raise ValueError(f"no such kind of fault: {self.kind}")
        if self.shape not in _SHAPES:
            raise ValueError(f"no such shape of an error: {self.shape}")
        numbers = (self.status, self.after, self.count, self.at_byte, self.seconds, self.at_item)
        if not isinstance(self.positions, list | tuple):
            raise ValueError("the positions must be a list")
        for number in (*numbers, *self.positions):
            if number is not None and (not isinstance(number, int | float) or number < 0):
                raise ValueError("the numbers of a fault must be 0 or more")
        if not isinstance(self.headers, Mapping):
            raise ValueError("the headers must be an object")
        if self.head and self.kind != "drip":
            raise ValueError("head is for a drip")
        if self.kind == "redirect" and "location" not in {name.lower() for name in self.headers}:
            raise ValueError("a redirect needs a Location among its headers")

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Fault:
        """Create a fault from a JSON object of its attributes; null is the default.

        Raises:
            ValueError: A name is unknown or missing, or a value is out of range.
        """
        unknown = values.keys() - {known.name for known in fields(cls)}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        given = {name: value for name, value in values.items() if value is not None}
        try:
            return cls(**given)  # type: ignore[arg-type]
        except (TypeError, re.error) as error:
            raise ValueError(str(error)) from error

    @property
    def in_body(self) -> bool:
        """Whether the connection applies it while it sends the body."""
        return self.kind in {"cut", "drip"} or (
            self.kind in {"reset", "hang"} and self.at_byte is not None
        )

    @property
    def calls_endpoint(self) -> bool:
        """Whether the endpoint is called, with its side effects."""
        return self.perform or self.in_body or self.kind in _DAMAGING

    def apply(self, response: ApiResponse | None) -> ApiResponse | None:
        """Change a complete answer; the connection applies faults that are `in_body`.

        Args:
            response: The true answer, or None if the endpoint was not called.

        Returns:
            The answer to send, or None to reset the connection.
        """
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.kind == "status":
            return self._error(self.status or 500, headers)
        if self.kind == "html":
            return _page(_SIGN_IN, "text/html; charset=utf-8", self.status or 200, headers)
        if self.kind == "redirect":
            return _page(b"", "text/plain", self.status or 302, headers)
        if self.kind == "garbage":
            return _page(_GARBAGE, "application/json", self.status or 200, headers)
        if response is None or (self.kind == "reset" and not self.in_body):
            return None
        response.headers.update(headers)
        if self.kind == "gzip":
            body = gzip.compress(b"".join(response.blocks))
            response.headers["content-encoding"] = "gzip"
            response.blocks, response.length = [body], len(body)
        if self.kind == "disguise":
            is_text = isinstance(self.body, str)
            body = str(self.body).encode() if is_text else dump_json(self.body)
            response.blocks, response.length = [body], len(body)
        if self.kind in {"truncate", "omit"}:
            return self._shortened(response)
        if self.kind == "empty":
            response.blocks, response.length = [], 0
        return response

    def _shortened(self, response: ApiResponse) -> ApiResponse:
        """Remove items from a list; return any other answer unchanged."""
        body = b"".join(response.blocks)
        response.blocks = [body]
        if response.status != HTTPStatus.OK or not body.startswith(b"{"):
            return response
        page = json.loads(body)
        name = next((name for name in _ITEMS if isinstance(page.get(name), list)), None)
        if name is None:
            return response
        items = page[name]
        if self.kind == "omit":
            page[name] = [item for n, item in enumerate(items) if n not in self.positions]
        else:
            page[name] = items[: len(items) // 2 if self.at_item is None else self.at_item]
            page |= {cursor: None for cursor in _CURSORS if cursor in page} | {"has_more": False}
        shortened = dump_json(page)
        response.blocks, response.length = [shortened], len(shortened)
        return response

    def _error(self, status: int, headers: Mapping[str, str]) -> ApiResponse:
        if isinstance(self.body, str):
            return _page(self.body.encode(), "text/plain; charset=utf-8", status, headers)
        body = self._error_body(status) if self.body is None else self.body
        return ApiResponse.of_json(body, status=status, headers=headers)

    def _error_body(self, status: int) -> object:
        if self.shape == "legacy":
            return legacy_body(status, self.code)
        if self.shape == "flat":
            return flat_body(status, self.code)
        if self.shape == "validation":
            return validation_error(
                [problem(["query"], self.code or "value_error", "Bad value")]
            ).body
        return detail_body(status, self.code)


def _page(body: bytes, content_type: str, status: int, headers: Mapping[str, str]) -> ApiResponse:
    return ApiResponse.of_bytes(body, content_type, status=status, headers=headers)


@dataclass
class _ActiveFault:
    """A fault in force, with the number of requests that matched it and that it affected."""

    fault: Fault
    matched: int = 0
    affected: int = 0

    def affects(self, method: str, path: str, query: str) -> bool:
        """Count a request, and return whether the fault affects it."""
        fault = self.fault
        if not re.search(fault.pattern, f"{method} {path}") or not re.search(fault.query, query):
            return False
        self.matched += 1
        number = self.matched - fault.after
        affected = number > 0 and (fault.count is None or number <= fault.count)
        self.affected += affected
        return affected


class Faults:
    """The faults in force."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[_ActiveFault] = []
        self._happened: Counter[Kind] = Counter()

    @property
    def happened(self) -> Mapping[Kind, int]:
        """The number of affected requests by kind."""
        with self._lock:
            return dict(self._happened)

    def add(self, *faults: Fault) -> None:
        """Put faults in force; if several affect a request, the first added applies."""
        with self._lock:
            self._active += map(_ActiveFault, faults)

    def clear(self) -> None:
        """Remove all faults; answers that hang already continue to hang."""
        with self._lock:
            self._active.clear()

    def remove(self, *faults: Fault) -> int:
        """Remove these faults, compared by identity.

        Returns:
            The number of requests that they affected.
        """
        with self._lock:
            ids = {id(fault) for fault in faults}
            removed = [active for active in self._active if id(active.fault) in ids]
            self._active = [active for active in self._active if id(active.fault) not in ids]
            return sum(active.affected for active in removed)

    def take(self, method: str, path: str, query: str = "") -> Fault | None:
        """Return the fault that affects a request and count it; None without one."""
        with self._lock:
            for active in self._active:
                if active.affects(method, path, query):
                    self._happened[active.fault.kind] += 1
                    return active.fault
        return None
