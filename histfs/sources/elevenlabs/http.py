"""HTTP to the API: the one place where requests is used, and where its errors end.

Threads: a `Http` may be used by any number at once; requests' session and urllib3's pool are shared
and guarded by themselves, and nothing else is kept. The deadline of a request travels in a context
variable, because urllib3 asks the retry policy and gives it no other way to know.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, ResponseError
from urllib3.util.retry import Retry

from histfs import __version__
from histfs.core.errors import BadAnswer, SourceError, Unreachable
from histfs.core.secret import Secret
from histfs.sources.elevenlabs.faults import fault_of, one_line

#: Seconds to wait for a connection, and for the next bytes of an answer.
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 10.0
#: Tries after the first one, for what may be asked twice.
RETRIES = 3

_CHUNK = 32 * 1024
_deadline: ContextVar[float] = ContextVar("deadline")


class _BoundedRetry(Retry):
    """urllib3's retry policy, which never sleeps past the deadline of the request.

    A ``Retry-After`` is honoured as long as it ends in time; else the answer stands as it is.
    """

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
        if time.monotonic() + pause >= _deadline.get():
            reason = error or ResponseError("no time is left for another try")
            raise MaxRetryError(_pool, url or "", reason)
        return following


class _KeyHeader(requests.auth.AuthBase):
    """Puts the API key into a request; as requests' auth it also keeps ``.netrc`` out of it."""

    def __init__(self, key: Secret) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["xi-api-key"] = self._key.reveal()
        return request


class Body:
    """The body of an answer, while it is being read.

    Attributes:
        content_type: media type without parameters, lower case; empty when there is none.
        length: bytes to come, None when the server doesn't say.
    """

    def __init__(self, response: requests.Response) -> None:
        headers = response.headers
        self._response = response
        self.content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        announced = headers.get("Content-Length", "")
        encoded = headers.get("Content-Encoding", "identity").lower() != "identity"
        self._framed = announced.isdigit() or "chunked" in headers.get("Transfer-Encoding", "")
        self.length = int(announced) if announced.isdigit() and not encoded else None

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
            for chunk in self._response.iter_content(_CHUNK):
                received += len(chunk)
                yield chunk
        if self.length is not None and received != self.length:
            raise BadAnswer(f"the answer has {received} bytes instead of {self.length}")


class Http:
    """Requests to one server with one key.

    Args:
        base_url: scheme, host and perhaps a path, such as ``https://api.elevenlabs.io``.
        key: the API key.
        timeout: seconds that one request with all its retries may take.
        connections: connections that are kept for the next request.
    """

    def __init__(self, base_url: str, key: Secret, timeout: float, connections: int) -> None:
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._timeout = timeout
        self._session = requests.Session()
        self._session.auth = _KeyHeader(key)
        self._session.headers["User-Agent"] = f"histfs/{__version__}"
        host = urlsplit(base_url).hostname or ""
        # A proxy of the environment has no business between this machine and itself.
        self._session.trust_env = host != "localhost" and not host.startswith("127.")
        retry = _BoundedRetry(
            total=RETRIES,
            backoff_factor=0.25,
            backoff_jitter=0.1,
            status_forcelist=(408, 429, 500, 502, 503, 504),
            allowed_methods=("GET",),
            raise_on_status=False,
            respect_retry_after_header=True,
        )
        adapter = HTTPAdapter(max_retries=retry, pool_maxsize=connections)
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, adapter)

    def json(
        self, method: str, path: str, query: Mapping[str, str | int] | None = None
    ) -> dict[str, Any]:
        """Send a request and return the JSON object that answers it.

        Raises:
            SourceError: anything else came, or nothing.
        """
        with self._answer(method, path, query=query) as response:
            with _translated():
                content = response.content
            try:
                body = json.loads(content)
            except ValueError as error:
                kind = response.headers.get("Content-Type", "no content type")
                raise BadAnswer(f"the answer is not JSON ({one_line(kind)})") from error
            if not isinstance(body, dict):
                raise BadAnswer("the answer is JSON, but not an object")
            return body

    def send(self, method: str, path: str) -> None:
        """Send a request whose answer says nothing but that it was done."""
        with self._answer(method, path):
            pass

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
            yield Body(response)

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._session.close()

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
        _deadline.set(time.monotonic() + self._timeout)
        with _translated():
            response = self._session.request(
                method,
                self._base_url + path,
                params=query,
                headers=headers,
                json=payload,
                timeout=(min(CONNECT_TIMEOUT, self._timeout), min(READ_TIMEOUT, self._timeout)),
                # The key is for the host that the user named, and for no other.
                allow_redirects=False,
                stream=True,
            )
        with contextlib.closing(response):
            if not 200 <= response.status_code < 300:
                raise self._fault(response)
            yield response

    def _fault(self, response: requests.Response) -> SourceError:
        if response.is_redirect:
            host = urlsplit(response.headers["Location"]).hostname or "another page"
            return BadAnswer(f"the server redirects to {one_line(host)}: not followed")
        try:
            body = json.loads(response.content)
        except (ValueError, requests.RequestException):
            body = None
        fault = fault_of(response.status_code, body)
        return type(fault)(self._key.redact(str(fault)))


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn the errors of requests and urllib3 into the core's."""
    try:
        yield
    except (
        requests.exceptions.ChunkedEncodingError,
        requests.exceptions.ContentDecodingError,
    ) as error:
        raise BadAnswer("the answer was cut short or is damaged") from error
    except requests.exceptions.Timeout as error:
        raise Unreachable("the server did not answer in time") from error
    except requests.exceptions.SSLError as error:
        raise Unreachable(f"no safe connection to the server: {_cause(error)}") from error
    except requests.exceptions.ConnectionError as error:
        raise Unreachable(f"the server can't be reached: {_cause(error)}") from error
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        raise BadAnswer(f"the request failed: {one_line(str(error))}") from error


def _cause(error: BaseException) -> str:
    """Return what the operating system said at the bottom of a chain of exceptions."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return one_line(cause.strerror)
        inner = getattr(cause, "reason", None) or cause.__cause__ or cause.__context__
        cause = inner if isinstance(inner, BaseException) else None
    return "connection failed"
