"""Requests for facts: only GET and HEAD, limited in number, with classified failures.

A request that fails makes only the facts that need it unknown, with its class of failure as the
reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from histfs.core.errors import BadAnswer, KeyRefused, MissingPermission, SourceError, Unreachable
from histfs.sources.elevenlabs.facts.classes import Value, quantiles
from histfs.sources.elevenlabs.history import HistorySource
from histfs.sources.elevenlabs.http_client import HttpClient, HttpResponse

#: The paths of the lists.
HISTORY = "/v1/history"
CONVERSATIONS = "/v1/convai/conversations"

#: The most requests to send.
MOST_REQUESTS = 45
#: Seconds after which no more requests are sent.
_MOST_SECONDS = 300.0
#: Statuses that are retried, after a pause in seconds.
_RETRY_STATUSES = (429, 502, 503, 504)
_PAUSE = 2.0
#: The most retries of all requests together.
_MAX_RETRIES = 5

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Unknown:
    """The value of a fact that could not be determined.

    Attributes:
        why: the reason, one of a few phrases.
    """

    why: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the report.

    Attributes:
        section: the heading of the line.
        name: the name of the fact.
        value: its value.
    """

    section: str
    name: str
    value: Value | Unknown


class FactUnavailable(Exception):
    """A fact can't be determined; the message is `Unknown.why`."""


class Outcome(Generic[_T]):
    """The result of a function, or its `FactUnavailable`; the function is called at once."""

    def __init__(self, function: Callable[[], _T]) -> None:
        self._value: _T | None = None
        self._why: str | None = None
        try:
            self._value = function()
        except FactUnavailable as error:
            self._why = str(error)

    def get(self) -> _T:
        """Return the result.

        Raises:
            FactUnavailable: the function raised it.
        """
        if self._why is not None:
            raise FactUnavailable(self._why)
        assert self._value is not None
        return self._value

    @property
    def succeeded(self) -> bool:
        """Whether there is a result."""
        return self._why is None


class FactRequests:
    """Sends the requests, and counts them.

    Args:
        http: the server and the key; without retries.

    Attributes:
        http: the same.
        requests: the number of requests that were sent.
        statuses: the status of each response.
        headers: the headers of each response.
    """

    def __init__(self, http: HttpClient) -> None:
        self.http = http
        self.requests = 0
        self.statuses: list[int] = []
        self.headers: list[Mapping[str, str]] = []
        self._retries = 0
        self._end = time.monotonic() + _MOST_SECONDS

    def check_server(self) -> None:
        """Check that the server responds and accepts the key; any other failure is a fact.

        Raises:
            Unreachable: the server doesn't respond.
            KeyRefused: it refuses the key.
        """
        self.requests += 1
        try:
            HistorySource(self.http).page(page_size=1)
        except (Unreachable, KeyRefused) as error:
            if not isinstance(error, MissingPermission):
                raise
        except SourceError:
            return

    def send(
        self,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        method: Literal["GET", "HEAD"] = "GET",
        headers: Mapping[str, str] | None = None,
        max_bytes: int = 1 << 28,
    ) -> HttpResponse:
        """Send a request; retry it after a status that asks for that.

        Raises:
            FactUnavailable: there was no response, or a limit of this module is reached.
        """
        while True:
            if self.requests >= MOST_REQUESTS:
                raise FactUnavailable(f"more than {MOST_REQUESTS} requests would be needed")
            if time.monotonic() >= self._end:
                raise FactUnavailable(f"more than {_MOST_SECONDS:.0f} seconds would be needed")
            self.requests += 1
            try:
                response = self.http.request(method, path, query, headers, max_bytes)
            except BadAnswer:
                raise FactUnavailable("the answer was cut short or is damaged") from None
            except SourceError:
                raise FactUnavailable("no answer in time, or no connection") from None
            self.statuses.append(response.status)
            self.headers.append(response.headers)
            if response.status not in _RETRY_STATUSES or self._retries >= _MAX_RETRIES:
                return response
            self._retries += 1
            time.sleep(_PAUSE)


def section_facts(section: str, table: Mapping[str, Callable[[], Value]]) -> Iterator[Fact]:
    """Yield the facts of a section; those that are unavailable are `Unknown`."""
    for name, determine in table.items():
        value: Value | Unknown
        try:
            value = determine()
        except FactUnavailable as error:
            value = Unknown(str(error))
        yield Fact(section, name, value)


def require_ok(response: HttpResponse) -> HttpResponse:
    """Return a response with status 200.

    Raises:
        FactUnavailable: it has another status.
    """
    if response.status != 200:
        raise FactUnavailable(f"HTTP {response.status}")
    return response


def quantiles_of(numbers: Sequence[float], digits: int = 2) -> Value:
    """Return the quantiles of measurements.

    Raises:
        FactUnavailable: there are no measurements.
    """
    if not numbers:
        raise FactUnavailable("nothing was measured")
    return quantiles(numbers, digits)
