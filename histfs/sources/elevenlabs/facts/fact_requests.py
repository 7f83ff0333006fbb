"""Questions to a server: with GET and HEAD alone, bounded in number, and what failed told apart.

Each request that fails makes the facts that need it unknown, with a class of failure as the reason,
and no others.
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

#: Where the histories are listed.
HISTORY = "/v1/history"
CONVERSATIONS = "/v1/convai/conversations"

#: Requests that are sent at most.
MOST_REQUESTS = 45
#: Seconds after which no further request is sent.
_MOST_SECONDS = 300.0
#: Answers after which a request is sent once more, after so many seconds.
_AGAIN = (429, 502, 503, 504)
_PAUSE = 2.0
#: Requests that may be sent once more, of all of them.
_MOST_AGAIN = 5

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that could not be found out.

    Attributes:
        why: what was in the way, one of few phrases.
    """

    why: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the page.

    Attributes:
        section: the heading under which it stands.
        name: what it is about.
        value: what was found.
    """

    section: str
    name: str
    value: Value | Unknown


class Cannot(Exception):
    """Something can't be found out; the message says why, in words of this module."""


class Attempt(Generic[_T]):
    """What was found out, or why it can't be."""

    def __init__(self, find: Callable[[], _T]) -> None:
        self._found: _T | None = None
        self._why: str | None = None
        try:
            self._found = find()
        except Cannot as error:
            self._why = str(error)

    def get(self) -> _T:
        """Return what was found.

        Raises:
            Cannot: nothing was.
        """
        if self._why is not None:
            raise Cannot(self._why)
        assert self._found is not None
        return self._found

    @property
    def succeeded(self) -> bool:
        """Whether something was found."""
        return self._why is None


class Asker:
    """Sends the requests, and counts them.

    Args:
        http: the server and the key; one that sends each request once.

    Attributes:
        http: the same.
        requests: how many were sent.
        statuses: the status of each answer.
        headers: the headers of each answer.
    """

    def __init__(self, http: HttpClient) -> None:
        self.http = http
        self.requests = 0
        self.statuses: list[int] = []
        self.headers: list[Mapping[str, str]] = []
        self._again = 0
        self._ends = time.monotonic() + _MOST_SECONDS

    def greet(self) -> None:
        """See whether there is a server that knows the key; any other failure is a fact.

        Raises:
            Unreachable: there is no server.
            KeyRefused: it doesn't know the key.
        """
        self.requests += 1
        try:
            HistorySource(self.http).page(page_size=1)
        except (Unreachable, KeyRefused) as error:
            if not isinstance(error, MissingPermission):
                raise
        except SourceError:
            return

    def ask(
        self,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        method: Literal["GET", "HEAD"] = "GET",
        headers: Mapping[str, str] | None = None,
        at_most: int = 1 << 28,
    ) -> HttpResponse:
        """Send a request, once more where the server asks for patience.

        Raises:
            Cannot: there was no answer.
        """
        while True:
            if self.requests >= MOST_REQUESTS:
                raise Cannot(f"more than {MOST_REQUESTS} requests would be needed")
            if time.monotonic() >= self._ends:
                raise Cannot(f"more than {_MOST_SECONDS:.0f} seconds would be needed")
            self.requests += 1
            try:
                answer = self.http.ask(method, path, query, headers, at_most)
            except BadAnswer:
                raise Cannot("the answer was cut short or is damaged") from None
            except SourceError:
                raise Cannot("no answer in time, or no connection") from None
            self.statuses.append(answer.status)
            self.headers.append(answer.headers)
            if answer.status not in _AGAIN or self._again >= _MOST_AGAIN:
                return answer
            self._again += 1
            time.sleep(_PAUSE)


def facts_of(section: str, table: Mapping[str, Callable[[], Value]]) -> Iterator[Fact]:
    """Find out the facts of a section; those that can't be are unknown."""
    for name, find in table.items():
        value: Value | Unknown
        try:
            value = find()
        except Cannot as error:
            value = Unknown(str(error))
        yield Fact(section, name, value)


def good(answer: HttpResponse) -> HttpResponse:
    """Return an answer that is one.

    Raises:
        Cannot: it is an error.
    """
    if answer.status != 200:
        raise Cannot(f"HTTP {answer.status}")
    return answer


def spread(numbers: Sequence[float], digits: int = 2) -> Value:
    """Return the quantiles of what was measured.

    Raises:
        Cannot: nothing was.
    """
    if not numbers:
        raise Cannot("nothing was measured")
    return quantiles(numbers, digits)
