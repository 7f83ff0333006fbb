"""Wrappers of a source, each of which applies one policy to its requests.

`ForwardingSource` forwards every call; a policy overrides how a request is sent, or how a stream is
opened. A mount stacks them in this order, the outermost first:

InstrumentedSource  counts the calls by kind, and records the last error
RetryNotReady       retries audio that the server is still making; takes no slot meanwhile
FailFastSource      passes nothing on while the server does not answer; waits for no slot then
RateLimitedSource   keeps the limit of the account, and retries what is refused
ReportingSource     tells the server's breaker what is sent, when it is sent, and how it ends

Threads: any number at once. `InstrumentedSource._lock` guards its counts and its last error; no
call is made while it is held. Breaker and limiter have locks of their own; there is no other state.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple, TypeVar

from histfs.core.errors import NotOffered, NotReady, RateLimited, SourceError, Unreachable
from histfs.core.item import Details, Record
from histfs.core.limiter import Limiter
from histfs.core.server_breaker import Asks, Pending, ServerBreaker
from histfs.core.source import (
    AudioStream,
    Page,
    Query,
    Source,
    Traits,
    attachment_of,
    audio_size_of,
)
from histfs.sources.attempts import RETRY_SHARE, Attempts

T = TypeVar("T")
Stream = AbstractContextManager[AudioStream]

#: Seconds between two attempts to open audio that is not ready.
_PAUSES = (0.5, 1.0, 2.0, 4.0)


class Request(NamedTuple):
    """A kind of request: its method of `Source`, and what it asks for."""

    method: str
    asks: Asks


_LIST, _SEARCH = Request("list", Asks.LIST), Request("list", Asks.SEARCH)
_GET, _DELETE = Request("get", Asks.ITEM), Request("delete", Asks.DELETION)
_SIZE = Request("audio_size", Asks.ITEM)
_AUDIO, _ATTACHMENT = Request("audio", Asks.ITEM), Request("attachment", Asks.ITEM)


class ForwardingSource:
    """A `Source` that forwards every call to another source. Keeps no state of its own.

    Args:
        source: the source that is wrapped.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def traits(self) -> Traits:
        """The traits of the wrapped source."""
        return self._source.traits

    def list(self, query: Query) -> Page:
        """Return one page of items."""
        request = _LIST if query.words is None else _SEARCH
        return self._send(request, partial(self._source.list, query))

    def get(self, item_id: str) -> Record:
        """Return one item."""
        return self._send(_GET, partial(self._source.get, item_id))

    def delete(self, item_id: str) -> None:
        """Delete one item."""
        self._send(_DELETE, partial(self._source.delete, item_id))

    def audio(self, item_id: str) -> Stream:
        """Open the audio of an item."""
        return self._open(_AUDIO, partial(self._source.audio, item_id))

    def audio_size(self, item_id: str) -> int:
        """Return the size of the audio of an item; `NotOffered` when the source tells none."""
        return self._send(_SIZE, partial(audio_size_of, self._source, item_id))

    def attachment(self, item_id: str, attachment_id: str) -> Stream:
        """Open an attachment of an item; `NotOffered` when the source has no attachments."""
        return self._open(_ATTACHMENT, partial(attachment_of, self._source, item_id, attachment_id))

    def describe(self, raw: bytes) -> Details:
        """Return the details of an item from its raw object."""
        return self._source.describe(raw)

    def close(self) -> None:
        """Close the connections."""
        self._source.close()

    def _send(self, request: Request, send: Callable[[], T]) -> T:
        """Send a request, and return its answer."""
        return send()

    def _open(self, request: Request, send: Callable[[], Stream]) -> Stream:
        """Send a request whose answer is a stream."""
        return self._send(request, send)


class _ForwardingStream:
    """An `AudioStream` that forwards to another one."""

    def __init__(self, stream: AudioStream) -> None:
        self._stream = stream

    @property
    def length(self) -> int | None:
        """The exact number of bytes in the body; None when the server does not say."""
        return self._stream.length

    @property
    def throttled(self) -> bool:
        """Whether the server answered 429 before, and the source retried."""
        return self._stream.throttled


class LastError(NamedTuple):
    """When a call failed, in seconds since the epoch, and why."""

    at: float
    message: str


class InstrumentedSource(ForwardingSource):
    """A `Source` whose calls are counted.

    Args:
        source: the source that is wrapped.
        clock: seconds since the epoch.
    """

    def __init__(self, source: Source, clock: Callable[[], float] = time.time) -> None:
        super().__init__(source)
        self._clock = clock
        self._lock = threading.Lock()
        methods = ("list", "get", "audio_size", "audio", "attachment", "delete")
        self._requests = dict.fromkeys(methods, 0)
        self._last_error: LastError | None = None

    @property
    def requests(self) -> dict[str, int]:
        """The number of calls by method; a call that the source itself retries counts once."""
        with self._lock:
            return dict(self._requests)

    @property
    def last_error(self) -> LastError | None:
        """The last failure of a call, or of the reading of a body; None when there was none."""
        with self._lock:
            return self._last_error

    @contextlib.contextmanager
    def errors_recorded(self) -> Iterator[None]:
        """Record the error of the source that ends the block.

        `NotOffered` is no failure, but what the server is.
        """
        try:
            yield
        except NotOffered:
            raise
        except SourceError as error:
            with self._lock:
                self._last_error = LastError(self._clock(), str(error))
            raise

    def _send(self, request: Request, send: Callable[[], T]) -> T:
        with self._lock:
            self._requests[request.method] += 1
        with self.errors_recorded():
            return send()

    @contextlib.contextmanager
    def _open(self, request: Request, send: Callable[[], Stream]) -> Iterator[AudioStream]:
        with contextlib.ExitStack() as stack:
            # An error of the caller that reads the stream is not an error of the source.
            stream = self._send(request, lambda: stack.enter_context(send()))
            yield _InstrumentedStream(stream, self)


class _InstrumentedStream(_ForwardingStream):
    """An `AudioStream` whose errors are recorded."""

    def __init__(self, stream: AudioStream, source: InstrumentedSource) -> None:
        super().__init__(stream)
        self._source = source

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive."""
        with self._source.errors_recorded():
            yield from self._stream.chunks()


class RetryNotReady(ForwardingSource):
    """A `Source` that retries audio that is not ready.

    Args:
        source: the source that is wrapped.
        timeout: seconds that a call on the mount may take.
        sleep: waits for some seconds.
    """

    def __init__(
        self, source: Source, timeout: float, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__(source)
        self._wait_budget = timeout * RETRY_SHARE
        self._sleep = sleep

    def _open(self, request: Request, send: Callable[[], Stream]) -> Stream:
        return self._retried(send) if request is _AUDIO else send()

    @contextlib.contextmanager
    def _retried(self, send: Callable[[], Stream]) -> Iterator[AudioStream]:
        pauses = iter(_PAUSES)
        remaining = self._wait_budget
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    stream = stack.enter_context(send())
                    break
                except NotReady:
                    pause = next(pauses, None)
                    if pause is None or pause > remaining:
                        raise
                    remaining -= pause
                    self._sleep(pause)
            yield stream


class FailFastSource(ForwardingSource):
    """A `Source` that passes no request on while its server's breaker is open.

    Args:
        source: the source that is wrapped.
        breaker: of the server.
    """

    def __init__(self, source: Source, breaker: ServerBreaker) -> None:
        super().__init__(source)
        self._breaker = breaker

    def _send(self, request: Request, send: Callable[[], T]) -> T:
        self._breaker.check(request.asks)
        return send()


class RateLimitedSource(ForwardingSource):
    """A `Source` that sends no more requests at once than a limiter allows.

    A request that is refused with `RateLimited` is retried, except a delete: a delete is one
    request, whatever the answer. The slot of a stream is held until its body has ended.

    Args:
        source: the source that is wrapped; each of its calls sends one request at a time.
        limiter: the limiter of the account.
        slot_timeout: seconds that a request may wait, as of `Attempts`.
    """

    def __init__(self, source: Source, limiter: Limiter, slot_timeout: float) -> None:
        super().__init__(source)
        self._limiter = limiter
        self._wait_budget = slot_timeout

    def delete(self, item_id: str) -> None:
        """Delete one item."""
        with self._limiter.acquire(audio=False, timeout=self._wait_budget) as slot:
            try:
                self._source.delete(item_id)
            except RateLimited:
                slot.refused()
                raise

    def _send(self, request: Request, send: Callable[[], T]) -> T:
        attempts = Attempts(self._limiter, audio=False, timeout=self._wait_budget)
        while True:
            with attempts.slot() as slot:
                try:
                    return send()
                except RateLimited as error:
                    slot.refused()
                    refusal = error
            attempts.pause(refusal)

    @contextlib.contextmanager
    def _open(self, request: Request, send: Callable[[], Stream]) -> Iterator[AudioStream]:
        attempts = Attempts(self._limiter, audio=True, timeout=self._wait_budget)
        while True:
            with contextlib.ExitStack() as stack:
                slot = stack.enter_context(attempts.slot())
                try:
                    stream = stack.enter_context(send())
                except RateLimited as error:
                    slot.refused()
                    refusal = error
                else:
                    if stream.throttled:
                        slot.refused()
                    yield stream
                    return
            attempts.pause(refusal)


class ReportingSource(ForwardingSource):
    """A `Source` that sends its requests within its server's breaker.

    Args:
        source: the source that is wrapped; each of its calls sends requests.
        breaker: of the server.
    """

    def __init__(self, source: Source, breaker: ServerBreaker) -> None:
        super().__init__(source)
        self._breaker = breaker

    def _send(self, request: Request, send: Callable[[], T]) -> T:
        with self._breaker.request(request.asks):
            return send()

    @contextlib.contextmanager
    def _open(self, request: Request, send: Callable[[], Stream]) -> Iterator[AudioStream]:
        with contextlib.ExitStack() as stack:
            with self._breaker.request(request.asks) as pending:
                stream = stack.enter_context(send())
            yield _ReportedStream(stream, self._breaker, pending)


class _ReportedStream(_ForwardingStream):
    """An `AudioStream` that tells the breaker whether its bytes come."""

    def __init__(self, stream: AudioStream, breaker: ServerBreaker, pending: Pending) -> None:
        super().__init__(stream)
        self._breaker = breaker
        self._pending = pending

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive."""
        try:
            for chunk in self._stream.chunks():
                self._breaker.note(self._pending, None)
                yield chunk
        except Unreachable as error:
            self._breaker.note(self._pending, error)
            raise
