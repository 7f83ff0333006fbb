"""What can go wrong on the way, on demand."""

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

# With these the endpoint is asked all the same: its answer comes late, damaged or in part.
_DAMAGING = frozenset({"cut", "hang", "gzip", "empty", "headers", "disguise", "truncate", "omit"})
# Under which names the answers of lists have their items, and the cursor of the next page.
_ITEMS = ("history", "conversations")
_CURSORS = ("last_history_item_id", "next_cursor")

_SIGN_IN = b"""<!DOCTYPE html>
<html><head><title>Sign in</title></head>
<body><form action="/login"><input name="user"><input name="password"></form></body></html>
"""
_GARBAGE = b'{"history":[{"history_item_id":"'


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    The kinds:
        status: An error with `status` (500 if not given) and `body`, or else a body of the given
            `shape` and `code`.
        reset: The connection is reset, before the answer or `at_byte` bytes into its body.
        cut: The connection is closed `at_byte` bytes into the body, or at its middle.
        hang: Nothing is sent for `seconds`, before the answer or `at_byte` bytes into its body;
            then it goes on. Without `seconds` it hangs until the simulator stops.
        drip: From `at_byte` bytes into the body on, one byte is sent each `seconds` (1 if not
            given); with `head`, from the first byte of the status line on.
        html: A sign-in page, with status 200 unless `status` is given.
        redirect: 302 (or `status`) to the Location in `headers`.
        gzip: The right body, compressed, whatever the client accepts.
        empty: The right headers and no body.
        garbage: JSON that ends in the middle, as a whole body.
        headers: The right answer, with `headers` replaced or added.
        disguise: The right status and headers, such as a content type of audio, and `body` (JSON,
            or text that is sent as it is) in place of the right one.
        truncate: A list that is well formed and ends after `at_item` items of the page, or at its
            middle; it says that there is no other page.
        omit: A list that is well formed and lacks the items at the `positions` of its page.

    Attributes:
        pattern: A regular expression that is searched in "METHOD /path" (without the query).
        kind: What happens.
        status: The HTTP status of the answer.
        shape: The shape of an error's body.
        code: The API's code in an error's body.
        body: The body of an error, or of a disguise: JSON, or text that is sent as it is.
        headers: Headers beside the usual ones, such as Retry-After.
        after: Let so many matching requests pass first.
        count: Happen so many times; None is for ever.
        at_byte: Where in the body it happens.
        seconds: How long it takes.
        perform: Ask the endpoint even though its answer is not sent, so that a deletion happens
            and the client doesn't hear of it.
        query: A regular expression that is searched in the query as it was sent, too.
        head: Whether a drip begins with the status line, and not in the body.
        at_item: After how many items a list is truncated.
        positions: Which items of a page are omitted, counted from 0.
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
        """Refuses what can't be meant.

        Raises:
            ValueError: A value is out of range or misses.
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
        """Makes a fault out of a JSON object with the names of the attributes; null is the default.

        Raises:
            ValueError: A name is unknown, one misses, or a value can't be meant.
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
        """Whether it happens while the body is sent."""
        return self.kind in {"cut", "drip"} or (
            self.kind in {"reset", "hang"} and self.at_byte is not None
        )

    @property
    def asks_endpoint(self) -> bool:
        """Whether the endpoint is asked, and so does what it does."""
        return self.perform or self.in_body or self.kind in _DAMAGING

    def apply(self, response: ApiResponse | None) -> ApiResponse | None:
        """Does what happens to a whole answer; what happens in its body is up to the sender.

        Args:
            response: The right answer, or None if the endpoint was not asked.

        Returns:
            The answer to send, or None to send nothing at all.
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
            text = isinstance(self.body, str)
            body = str(self.body).encode() if text else dump_json(self.body)
            response.blocks, response.length = [body], len(body)
        if self.kind in {"truncate", "omit"}:
            return self._shortened(response)
        if self.kind == "empty":
            response.blocks, response.length = [], 0
        return response

    def _shortened(self, response: ApiResponse) -> ApiResponse:
        """Returns a list without some of its items; any other answer as it is."""
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


class Faults:
    """The faults that are in force. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # With each, how many requests matched, and to how many of them it happened.
        self._active: list[tuple[Fault, list[int]]] = []
        self._happened: Counter[Kind] = Counter()

    @property
    def happened(self) -> Mapping[Kind, int]:
        """How often each kind of fault has happened."""
        with self._lock:
            return dict(self._happened)

    def add(self, *faults: Fault) -> None:
        """Puts faults in force; of several that match a request, the first added happens."""
        with self._lock:
            self._active += [(fault, [0, 0]) for fault in faults]

    def clear(self) -> None:
        """Takes all faults out of force; what hangs already goes on hanging."""
        with self._lock:
            self._active.clear()

    def remove(self, *faults: Fault) -> int:
        """Takes these faults out of force, and no others.

        Returns:
            How often they have happened.
        """
        with self._lock:
            removing = {id(fault) for fault in faults}
            removed = [entry for entry in self._active if id(entry[0]) in removing]
            self._active = [entry for entry in self._active if id(entry[0]) not in removing]
            return sum(happened for _, (_, happened) in removed)

    def take(self, method: str, path: str, query: str = "") -> Fault | None:
        """Gives the fault that happens to a request, and counts it."""
        with self._lock:
            for fault, seen in self._active:
                asked = re.search(fault.pattern, f"{method} {path}")
                if asked and re.search(fault.query, query):
                    seen[0] += 1
                    turn = seen[0] - fault.after
                    if turn > 0 and (fault.count is None or turn <= fault.count):
                        seen[1] += 1
                        self._happened[fault.kind] += 1
                        return fault
        return None
