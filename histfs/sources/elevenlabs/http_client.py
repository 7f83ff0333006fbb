"""HTTP to the API: the one place where requests is used, and where its errors end.

Requests are handed to requests' adapter. A session would look for proxies and merge the same
settings for each, which takes as long as urllib3 takes for all of it; and it would keep cookies.

Threads: any number may use an `HttpClient` at once; urllib3's pool is shared and guards itself, and
nothing else is kept but the date of the last answer, whole. The deadline of a request travels in a
context variable (`deadlines`).
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.exceptions import InvalidHeader, MaxRetryError, ReadTimeoutError, ResponseError
from urllib3.util.retry import Retry

from histfs import __version__
from histfs.core.errors import BadAnswer, RateLimited, SourceError, TimedOut, Unreachable
from histfs.core.secret import Secret
from histfs.core.server_url import is_loopback, parse_server_url
from histfs.sources.elevenlabs import socket_deadlines
from histfs.sources.elevenlabs.error_responses import TEXT_MAX, fault_of, one_line
from histfs.sources.elevenlabs.response_bodies import (
    announced_length,
    content,
    encoding_of,
    pieces,
    whole_content,
)

#: Seconds to wait for a connection, and for the next bytes of an answer; `deadlines` has more.
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 10.0
#: Tries after the first one, for what may be asked twice.
RETRIES = 3

#: Bytes of a listing or of an object, unpacked, and of the body of an error, at the most. JSON that
#: is made to do harm takes 25 times as much memory when it is read.
_ANSWER, _ERROR = 32 << 20, 64 << 10
#: The header that may tell how many requests the account may have at once.
_MAXIMUM = "maximum-concurrent-requests"
_MAXIMUM_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_Read = TypeVar("_Read")


class _BoundedRetry(Retry):
    """urllib3's retry policy, which never sleeps past the deadline of the request.

    A ``Retry-After`` is honoured as long as it ends in time; else the answer stands as it is. A 429
    is no matter of this policy: all requests of the account have to know of it (`Limiter`).
    """

    RETRY_AFTER_STATUS_CODES = frozenset({413, 503})

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: Any = None,  # noqa: ANN401 - urllib3's own signature
        _stacktrace: TracebackType | None = None,
    ) -> _BoundedRetry:
        following = super().increment(method, url, response, error, _pool, _stacktrace)
        pause = following.get_retry_after(response) if response is not None else None
        if pause is None:
            pause = following.get_backoff_time()
        if time.monotonic() + pause >= socket_deadlines.current().end:
            reason = error or ResponseError("no time is left for another try")
            raise MaxRetryError(_pool, url or "", reason)
        return following

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        """Return the seconds that the server asks for; None when they make no sense."""
        try:
            return super().get_retry_after(response)
        except InvalidHeader:
            return None


class _Adapter(HTTPAdapter):
    """The adapter of requests, with connections that keep to the deadlines of requests."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Make the pools of connections without a proxy."""
        super().init_poolmanager(*args, **kwargs)
        socket_deadlines.keep_to_budgets(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Return the pools of connections of a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        socket_deadlines.keep_to_budgets(manager)
        return manager


class Body:
    """The body of an answer, while it is being read.

    Attributes:
        content_type: media type without parameters, lower case; empty when there is none.
        length: bytes to come, None when the server doesn't say.
        throttled: always False: a 429 is raised, and not tried again here.
    """

    throttled = False

    def __init__(self, response: requests.Response, key: Secret) -> None:
        headers = response.headers
        self._response = response
        content_type = headers.get("Content-Type", "").partition(";")[0].strip()
        self.content_type = one_line(key.redact(content_type)).lower()
        announced = announced_length(response)
        chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        self._framed = announced is not None or chunked
        self.length = announced if encoding_of(response) is None else None

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they come; end only when the body was whole.

        Raises:
            BadAnswer: the body was cut short, is damaged, or can't be told from one cut short.
            Unreachable: the connection broke, or stood still for too long.
        """
        if not self._framed:
            # Such a body ends where the connection does (RFC 9112, section 6.3), cut or not.
            raise BadAnswer("the answer gives neither its length nor chunks: it may be cut short")
        received = 0
        with _translated():
            for chunk in pieces(self._response):
                received += len(chunk)
                yield chunk
        if self.length is not None and received != self.length:
            raise BadAnswer(f"the answer has {received} bytes instead of {self.length}")


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer of any status, as it came.

    Attributes:
        status: the HTTP status.
        headers: the headers; their names are found in whatever case.
        content: the body, or its beginning.
        whole: whether `content` is all of the body.
        seconds: time from the request to the headers of the answer.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    whole: bool
    seconds: float


class HttpClient:
    """Requests to one server with one key.

    Args:
        base_url: scheme, host and perhaps a path, such as ``https://api.elevenlabs.io``; what
            `parse_server_url` takes.
        key: the API key.
        timeout: seconds that one request with all its retries may take.
        connections: connections that are kept for the next request.
        retries: tries after the first one, for what may be asked twice.
        state_maximum: takes the number of requests at once that an answer says are allowed.
    """

    def __init__(
        self,
        base_url: str,
        key: Secret,
        timeout: float,
        connections: int,
        *,
        retries: int = RETRIES,
        state_maximum: Callable[[int], None] | None = None,
    ) -> None:
        server = parse_server_url(base_url)
        self._base_url = str(server)
        self._key = key
        self._timeout = timeout
        self._state_maximum = state_maximum
        session = requests.Session()
        # What can be packed more tightly is not asked for: its unpacking could not be bounded.
        self._headers = {
            **session.headers,
            "User-Agent": f"histfs/{__version__}",
            "Accept-Encoding": "gzip",
        }
        self._dated = "", 0.0
        # A proxy of the environment has no business between this machine and itself.
        proxies = {"no_proxy": server.host} if is_loopback(server.host) else {}
        # Proxies and certificates of the environment, as they are at the start.
        self._settings: Mapping[str, Any] = session.merge_environment_settings(
            self._base_url, proxies, stream=True, verify=None, cert=None
        )
        retry = _BoundedRetry(
            total=retries,
            # What is neither connecting nor reading, such as TLS that breaks, urllib3 would repeat
            # whatever the method.
            other=0,
            backoff_factor=0.25,
            backoff_jitter=0.1,
            status_forcelist=(408, 500, 502, 503, 504),
            allowed_methods=("GET",),
            raise_on_status=False,
            respect_retry_after_header=True,
        )
        self._adapter = _Adapter(max_retries=retry, pool_maxsize=connections)

    @property
    def ahead(self) -> float | None:
        """The seconds by which the server's clock was ahead of ours; None when it didn't say.

        As of its last answer, whatever that was.
        """
        said, received = self._dated
        try:
            return parsedate_to_datetime(said).timestamp() - received
        except (TypeError, ValueError, OverflowError):
            return None

    @property
    def server_time(self) -> float:
        """The server's time, or ours where that is later or it didn't say, in Unix seconds."""
        return time.time() + max(0.0, self.ahead or 0.0)

    def json(
        self,
        method: str,
        path: str,
        read: Callable[[bytes], _Read],
        query: Mapping[str, str | int] | None = None,
    ) -> _Read:
        """Send a request and return what the JSON is that answers it.

        Args:
            method: the HTTP method.
            path: the path, escaped.
            read: reads the JSON; ValueError and RecursionError mean that it is none.
            query: the query's parameters.

        Raises:
            SourceError: anything else came, or nothing.
        """
        with self._answer(method, path, query=query) as response:
            with _translated():
                answer = whole_content(response, _ANSWER)
            try:
                return read(answer)
            except (ValueError, RecursionError) as error:
                kind = self._shown(response.headers.get("Content-Type", "no content type"))
                raise BadAnswer(f"the answer is not JSON ({kind})") from error

    @contextlib.contextmanager
    def stream(
        self, method: str, path: str, payload: Mapping[str, Any] | None = None
    ) -> Iterator[Body]:
        """Send a request for bytes, uncompressed, and lend the body of the answer.

        Raises:
            SourceError: the server refused, or can't be reached.
        """
        headers = {"Accept-Encoding": "identity"}
        with self._answer(method, path, headers=headers, payload=payload) as response:
            socket_deadlines.current().relax()
            yield Body(response, self._key)

    def ask(
        self,
        method: Literal["GET", "HEAD"],
        path: str,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        at_most: int = _ANSWER,
    ) -> HttpResponse:
        """Send a request that changes nothing, and return the answer whatever its status is.

        Args:
            method: the HTTP method.
            path: the path, escaped.
            query: the query's parameters.
            headers: headers beside the usual ones.
            at_most: bytes of the body after which no more of it is read.

        Raises:
            Unreachable: no answer came in time.
            BadAnswer: the body was cut short or is damaged.
        """
        began = time.monotonic()
        with self._exchange(method, path, query=query, headers=headers) as response:
            seconds = time.monotonic() - began
            with _translated():
                body, whole = content(response, at_most)
        return HttpResponse(response.status_code, response.headers, body, whole, seconds)

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._adapter.close()

    @contextlib.contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> Iterator[requests.Response]:
        """Lend the answer to a request; one that is not a 2xx becomes an exception."""
        with self._exchange(
            method, path, query=query, headers=headers, payload=payload
        ) as response:
            if not 200 <= response.status_code < 300:
                raise self._fault(response)
            yield response

    @contextlib.contextmanager
    def _exchange(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> Iterator[requests.Response]:
        """Lend the answer to a request, whatever its status is."""
        silence = min(READ_TIMEOUT, self._timeout)
        budget = socket_deadlines.begin(self._timeout, silence)
        with _translated():
            request = requests.PreparedRequest()
            request.prepare_method(method)
            request.prepare_url(self._base_url + path, query)
            request.prepare_headers({**self._headers, **(headers or {})})
            request.prepare_body(data=None, files=None, json=payload)
            request.headers["xi-api-key"] = self._key.reveal()
            # No redirect is followed: the key is for the host that the user named, and no other.
            response = self._adapter.send(
                request,
                timeout=(min(CONNECT_TIMEOUT, self._timeout), silence),
                **self._settings,
            )
        budget.claim()
        self._dated = response.headers.get("Date", ""), time.time()
        self._hear_maximum(response.headers.get(_MAXIMUM, ""))
        with contextlib.closing(response):
            yield response

    def _fault(self, response: requests.Response) -> SourceError:
        if response.is_redirect:
            try:
                host = urlsplit(response.headers["Location"]).hostname or "another page"
            except ValueError:
                host = "another page"
            return BadAnswer(f"the server redirects to {self._shown(host)}: not followed")
        try:
            with _translated():
                sent, _ = content(response, _ERROR)
            body = json.loads(sent.decode("utf-8", "replace"))
        except (ValueError, RecursionError, SourceError):
            body = None
        permission = _permission(response.request)
        # The key is looked for in what was said, not in how the JSON spells it.
        fault = fault_of(response.status_code, body, permission, self._shown)
        if isinstance(fault, RateLimited):
            fault.retry_after = _retry_after(response)
        return fault

    def _hear_maximum(self, stated: str) -> None:
        """Pass on what the server says it allows; what is no number says nothing."""
        if self._state_maximum is not None and _MAXIMUM_NUMBER.fullmatch(stated):
            self._state_maximum(int(stated))

    def _shown(self, text: str) -> str:
        """Return a server's text as it may stand in a message."""
        return one_line(self._key.redact(text[:TEXT_MAX]))


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds that the server asks to wait; None when it doesn't, or makes no sense."""
    said = response.headers.get("Retry-After")
    try:
        return None if said is None else _BoundedRetry().parse_retry_after(said)
    except (InvalidHeader, OverflowError, ValueError):
        return None


def _permission(request: requests.PreparedRequest) -> str:
    """Return what a key needs for a request."""
    scope = "convai" if "/v1/convai/" in request.path_url else "speech_history"
    return f"{scope}_write" if request.method == "DELETE" else f"{scope}_read"


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn the errors of requests and urllib3 into the core's."""
    try:
        yield
    except (
        requests.exceptions.ChunkedEncodingError,
        requests.exceptions.ContentDecodingError,
        urllib3.exceptions.ProtocolError,
    ) as error:
        raise BadAnswer("the answer was cut short or is damaged") from error
    except (requests.exceptions.SSLError, urllib3.exceptions.SSLError) as error:
        raise Unreachable(f"no safe connection to the server: {_reason(error)}") from error
    except (requests.exceptions.Timeout, requests.exceptions.ConnectionError) as error:
        if any(isinstance(cause, ReadTimeoutError) for cause in _causes(error)):
            raise TimedOut("the server did not answer in time") from error
        if any(isinstance(cause, TimeoutError) for cause in _causes(error)):
            raise Unreachable("the server did not answer in time") from error
        raise Unreachable(f"the server can't be reached: {_reason(error)}") from error
    except ReadTimeoutError as error:
        raise TimedOut("the server did not answer in time") from error
    except (
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        ValueError,  # requests looks at a redirect's Location even when it doesn't follow it
    ) as error:
        raise BadAnswer(f"the request failed: {one_line(str(error))}") from error
    except OSError as error:  # such as a CA bundle of the environment that isn't there
        raise Unreachable(f"no connection can be made: {one_line(str(error))}") from error


def _reason(error: BaseException) -> str:
    """Return what the operating system said at the bottom of a chain of exceptions."""
    said = [e.strerror for e in _causes(error) if isinstance(e, OSError) and e.strerror]
    return one_line(said[0]) if said else "connection failed"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it was raised from, as urllib3 and Python keep it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        inner = getattr(cause, "reason", None) or cause.__cause__ or cause.__context__
        cause = inner if isinstance(inner, BaseException) else None
