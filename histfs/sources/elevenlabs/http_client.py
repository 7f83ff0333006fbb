"""HTTP to the API: the one place where requests is used, and where its errors end.

Requests are sent by the adapter of requests (`http_adapter`), without its session: a session would
merge the settings of the environment anew for each request, which takes as long as the rest of it,
and would keep cookies.

Threads: any number may use an `HttpClient` at once. urllib3's pool has its own lock; the only other
state, `_last_date` and `_prefix`, is replaced as a whole. The deadline of a request is in a context
variable (`http_connections`).
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from urllib3.exceptions import InvalidHeader, ReadTimeoutError

from histfs import __version__
from histfs.core.errors import BadAnswer, RateLimited, SourceError, TimedOut, Unreachable
from histfs.core.secret import Secret
from histfs.core.server_breaker import probe_timeout
from histfs.core.server_url import is_loopback, parse_server_url
from histfs.sources.elevenlabs import http_connections
from histfs.sources.elevenlabs.error_responses import MAX_TEXT, error_from_response, one_line
from histfs.sources.elevenlabs.http_adapter import Adapter
from histfs.sources.elevenlabs.http_connections import (
    MAX_IDLE,
    MAX_IDLE_DELETE,
    BoundedRetry,
    Deadline,
)
from histfs.sources.elevenlabs.response_bodies import StreamedBody, read_complete, read_up_to

#: Seconds to wait for a connection, and for the next bytes of a response; `http_connections` has
#: further limits.
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 10.0
#: Retries of a GET.
RETRIES = 3

#: The most bytes of a list or an object, decompressed, and of the body of an error. Hostile JSON
#: takes 25 times as much memory when it is parsed.
_MAX_JSON_SIZE, _MAX_ERROR_SIZE = 32 << 20, 64 << 10
#: The header that may state how many requests the account may send at once.
_MAX_CONCURRENT_HEADER = "maximum-concurrent-requests"
_POSITIVE_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
#: A path that requests leaves as it is: without escapes, and without a segment of dots.
_PLAIN_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9_.~-]+)+")
_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response of any status.

    Attributes:
        status: the HTTP status.
        headers: the headers; names are case-insensitive.
        content: the body, or its beginning.
        complete: whether `content` is the complete body.
        seconds: time from the request to the headers of the response.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    complete: bool
    seconds: float


class HttpClient:
    """Requests to one server with one key.

    Args:
        base_url: scheme, host and perhaps a path, such as ``https://api.elevenlabs.io``; as for
            `parse_server_url`.
        key: the API key.
        timeout: seconds that one request may take, its retries included.
        connections: connections that are kept open.
        retries: retries of a GET.
        state_maximum: called with the number of concurrent requests that a response allows.
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
        self._read_timeout = min(READ_TIMEOUT, timeout)
        self._state_maximum = state_maximum
        session = requests.Session()
        # Encodings with a higher ratio are not requested: they could not be decompressed in bounds.
        self._headers = {
            **session.headers,
            "User-Agent": f"histfs/{__version__}",
            "Accept-Encoding": "gzip",
        }
        self._last_date = "", 0.0
        self._prefix: str | None = None
        # Requests to this machine do not go through a proxy of the environment.
        proxies = {"no_proxy": server.host} if is_loopback(server.host) else {}
        # Proxies and certificates of the environment, read once.
        self._settings: Mapping[str, Any] = session.merge_environment_settings(
            self._base_url, proxies, stream=True, verify=None, cert=None
        )
        retry = BoundedRetry(
            total=retries,
            # Errors outside of connecting and reading, such as of TLS, would be retried with any
            # method.
            other=0,
            backoff_factor=0.25,
            backoff_jitter=0.1,
            status_forcelist=(408, 500, 502, 503, 504),
            allowed_methods=("GET",),
            raise_on_status=False,
            respect_retry_after_header=True,
        )
        self._adapter = Adapter(max_retries=retry, pool_maxsize=connections)

    @property
    def clock_offset(self) -> float | None:
        """Seconds by which the server's clock is ahead, by its last response; None if unknown."""
        date, received = self._last_date
        try:
            return parsedate_to_datetime(date).timestamp() - received
        except (TypeError, ValueError, OverflowError):
            return None

    @property
    def server_time(self) -> float:
        """The later one of the server's time and this machine's, in Unix seconds."""
        return time.time() + max(0.0, self.clock_offset or 0.0)

    def json(
        self,
        method: str,
        path: str,
        parse: Callable[[bytes], _Parsed],
        query: Mapping[str, str | int] | None = None,
    ) -> _Parsed:
        """Send a request and return its parsed JSON response.

        Args:
            method: the HTTP method.
            path: the path, escaped.
            parse: parses the body; ValueError and RecursionError mean that it is not JSON.
            query: the parameters of the query.

        Raises:
            SourceError: the response is an error or not JSON, or there is none.
        """
        with self._send(method, path, query=query) as response:
            with _map_errors():
                content = read_complete(response, _MAX_JSON_SIZE)
            try:
                return parse(content)
            except (ValueError, RecursionError) as error:
                media_type = self._sanitize(response.headers.get("Content-Type", "no content type"))
                raise BadAnswer(f"the answer is not JSON ({media_type})") from error

    @contextlib.contextmanager
    def stream(
        self, method: str, path: str, payload: Mapping[str, Any] | None = None
    ) -> Iterator[StreamedBody]:
        """Send a request for uncompressed bytes, and yield the body of the response.

        Raises:
            SourceError: the response is an error, or there is none.
        """
        headers = {"Accept-Encoding": "identity"}
        # The server may have to make the clip before its first byte; whether it answers at all is
        # found out meanwhile (`ServerBreaker`).
        patience = max(READ_TIMEOUT, self._timeout - 0.5 * READ_TIMEOUT)
        wait = patience if method == "GET" else None
        exchange = self._send(method, path, headers=headers, payload=payload, wait=wait)
        with exchange as response:
            http_connections.current().extend_for_body(self._read_timeout)
            yield StreamedBody(response, _map_errors, self._sanitize)

    def request(
        self,
        method: Literal["GET", "HEAD"],
        path: str,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = _MAX_JSON_SIZE,
    ) -> HttpResponse:
        """Send a request that changes nothing, and return the response, whatever its status.

        Args:
            method: the HTTP method.
            path: the path, escaped.
            query: the parameters of the query.
            headers: headers beside the usual ones.
            max_bytes: the most bytes of the body to read.

        Raises:
            Unreachable: no response came in time.
            BadAnswer: the body was cut short or is damaged.
        """
        began = time.monotonic()
        exchange = self._send(method, path, query=query, headers=headers, raise_for_status=False)
        with exchange as response:
            seconds = time.monotonic() - began
            content, complete = b"", True
            # The answer to HEAD has no body, whatever its headers say of one.
            if method != "HEAD":
                with _map_errors():
                    content, complete = read_up_to(response, max_bytes)
        return HttpResponse(response.status_code, response.headers, content, complete, seconds)

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._adapter.close()

    @contextlib.contextmanager
    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        payload: Mapping[str, Any] | None = None,
        raise_for_status: bool = True,
        wait: float | None = None,
    ) -> Iterator[requests.Response]:
        """Send a request and yield the response; by default any but a 2xx is raised.

        It waits for the answer for ``wait`` seconds without a byte; for `READ_TIMEOUT` by default.
        """
        is_safe = method in ("GET", "HEAD")
        probe_wait = probe_timeout() if is_safe else None
        limit = min(self._timeout, probe_wait or self._timeout)
        read_timeout = min(READ_TIMEOUT if wait is None else wait, limit)
        max_idle = MAX_IDLE if is_safe else MAX_IDLE_DELETE
        if probe_wait is not None:
            max_idle = 0.0  # what is wrong with a kept connection says nothing of the server
        deadline = http_connections.start(
            Deadline(self._timeout, read_timeout, max_idle, retried=probe_wait is None)
        )
        with _map_errors():
            request = requests.PreparedRequest()
            request.prepare_method(method)
            self._prepare_url(request, path, query)
            request.prepare_headers({**self._headers, **(headers or {})})
            request.prepare_body(data=None, files=None, json=payload)
            request.headers["xi-api-key"] = self._key.reveal()
            # Redirects are not followed: the key is only for the host that the user configured.
            response = self._adapter.send(
                request,
                timeout=(min(CONNECT_TIMEOUT, limit), read_timeout),
                **self._settings,
            )
        deadline.response_returned()
        self._last_date = response.headers.get("Date", ""), time.time()
        self._report_maximum(response.headers.get(_MAX_CONCURRENT_HEADER, ""))
        with contextlib.closing(response):
            if raise_for_status and not 200 <= response.status_code < 300:
                raise self._error_from(response)
            yield response

    def _prepare_url(
        self,
        request: requests.PreparedRequest,
        path: str,
        query: Mapping[str, str | int] | None,
    ) -> None:
        """Set the URL; what comes before a plain path is parsed once."""
        if query is None and self._prefix is not None and _PLAIN_PATH.fullmatch(path):
            request.url = self._prefix + path
            return
        request.prepare_url(self._base_url + path, query)
        url = request.url or ""
        if query is None and url.endswith(path):
            self._prefix = url.removesuffix(path)

    def _error_from(self, response: requests.Response) -> SourceError:
        if response.is_redirect:
            try:
                host = urlsplit(response.headers["Location"]).hostname or "another page"
            except ValueError:
                host = "another page"
            return BadAnswer(f"the server redirects to {self._sanitize(host)}: not followed")
        try:
            with _map_errors():
                content, _ = read_up_to(response, _MAX_ERROR_SIZE)
            body = json.loads(content.decode("utf-8", "replace"))
        except (ValueError, RecursionError, SourceError):
            body = None
        permission = _permission(response.request)
        # The key is redacted in the decoded text: JSON may have escaped it.
        error = error_from_response(response.status_code, body, permission, self._sanitize)
        if isinstance(error, RateLimited):
            error.retry_after = _retry_after(response)
        return error

    def _report_maximum(self, header: str) -> None:
        """Report the number of concurrent requests that the server allows, if it is a number."""
        if self._state_maximum is not None and _POSITIVE_NUMBER.fullmatch(header):
            self._state_maximum(int(header))

    def _sanitize(self, text: str) -> str:
        """Return a server's text as one line without the key, for messages."""
        return one_line(self._key.redact(text[:MAX_TEXT]))


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds that the server asks to wait; None without a valid header."""
    value = response.headers.get("Retry-After")
    try:
        return None if value is None else BoundedRetry().parse_retry_after(value)
    except (InvalidHeader, OverflowError, ValueError):
        return None


def _permission(request: requests.PreparedRequest) -> str:
    """Return the permission that a request needs."""
    scope = "convai" if "/v1/convai/" in request.path_url else "speech_history"
    return f"{scope}_write" if request.method == "DELETE" else f"{scope}_read"


@contextlib.contextmanager
def _map_errors() -> Iterator[None]:
    """Raise the errors of requests and urllib3 as the core's."""
    try:
        yield
    except (
        requests.exceptions.ChunkedEncodingError,
        requests.exceptions.ContentDecodingError,
        urllib3.exceptions.ProtocolError,
    ) as error:
        raise BadAnswer("the answer was cut short or is damaged") from error
    except (requests.exceptions.SSLError, urllib3.exceptions.SSLError) as error:
        raise Unreachable(f"no safe connection to the server: {_os_message(error)}") from error
    except (requests.exceptions.Timeout, requests.exceptions.ConnectionError) as error:
        if any(isinstance(cause, ReadTimeoutError) for cause in _causes(error)):
            raise TimedOut("the server did not answer in time") from error
        if any(isinstance(cause, TimeoutError) for cause in _causes(error)):
            raise Unreachable("the server did not answer in time") from error
        raise Unreachable(f"the server can't be reached: {_os_message(error)}") from error
    except ReadTimeoutError as error:
        raise TimedOut("the server did not answer in time") from error
    except (
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        ValueError,  # requests parses a redirect's Location even when it doesn't follow it
    ) as error:
        raise BadAnswer(f"the request failed: {one_line(str(error))}") from error
    except OSError as error:  # such as a CA bundle of the environment that doesn't exist
        raise Unreachable(f"no connection can be made: {one_line(str(error))}") from error


def _os_message(error: BaseException) -> str:
    """Return the first message of the operating system in a chain of exceptions."""
    messages = [e.strerror for e in _causes(error) if isinstance(e, OSError) and e.strerror]
    return one_line(messages[0]) if messages else "connection failed"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes, as urllib3 and Python keep them."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        inner = getattr(cause, "reason", None) or cause.__cause__ or cause.__context__
        cause = inner if isinstance(inner, BaseException) else None
