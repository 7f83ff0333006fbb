"""Sources whose requests fail at once while their server does not answer.

The requests of a source pass two wrappers around the limit of the account. `FailFastSource`,
outside of it, keeps requests that would fail from waiting for a slot. `ReportingSource`, inside of
it, tells the breaker of each request that is sent, when it is sent.

Threads: any number at once; the breaker has its own lock, and there is no other state.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

from histfs.core.errors import Unreachable
from histfs.core.item import Record
from histfs.core.server_breaker import Asks, Pending, ServerBreaker
from histfs.core.source import AudioStream, Page, Query, Source
from histfs.sources.forwarding import ForwardingSource


class FailFastSource(ForwardingSource):
    """A `Source` that passes no request on while its server's breaker is open.

    Args:
        source: the source that is wrapped.
        breaker: of the server.
    """

    def __init__(self, source: Source, breaker: ServerBreaker) -> None:
        super().__init__(source)
        self._breaker = breaker

    def list(self, query: Query) -> Page:
        """Return one page of items."""
        self._breaker.check(_asks(query))
        return self._source.list(query)

    def get(self, item_id: str) -> Record:
        """Return one item."""
        self._breaker.check(Asks.ITEM)
        return self._source.get(item_id)

    def delete(self, item_id: str) -> None:
        """Delete one item."""
        self._breaker.check(Asks.DELETION)
        self._source.delete(item_id)

    def audio(self, item_id: str) -> AbstractContextManager[AudioStream]:
        """Open the audio of an item."""
        self._breaker.check(Asks.ITEM)
        return self._source.audio(item_id)

    def attachment(self, item_id: str, attachment_id: str) -> AbstractContextManager[AudioStream]:
        """Open an attachment of an item."""
        self._breaker.check(Asks.ITEM)
        return super().attachment(item_id, attachment_id)


class ReportingSource(ForwardingSource):
    """A `Source` that sends its requests within its server's breaker.

    Args:
        source: the source that is wrapped; each of its calls sends requests.
        breaker: of the server.
    """

    def __init__(self, source: Source, breaker: ServerBreaker) -> None:
        super().__init__(source)
        self._breaker = breaker

    def list(self, query: Query) -> Page:
        """Return one page of items."""
        with self._breaker.request(_asks(query)):
            return self._source.list(query)

    def get(self, item_id: str) -> Record:
        """Return one item."""
        with self._breaker.request(Asks.ITEM):
            return self._source.get(item_id)

    def delete(self, item_id: str) -> None:
        """Delete one item."""
        with self._breaker.request(Asks.DELETION):
            self._source.delete(item_id)

    def audio(self, item_id: str) -> AbstractContextManager[AudioStream]:
        """Open the audio of an item."""
        return self._reported(partial(self._source.audio, item_id))

    def attachment(self, item_id: str, attachment_id: str) -> AbstractContextManager[AudioStream]:
        """Open an attachment of an item."""
        return self._reported(partial(super().attachment, item_id, attachment_id))

    @contextlib.contextmanager
    def _reported(
        self, send: Callable[[], AbstractContextManager[AudioStream]]
    ) -> Iterator[AudioStream]:
        with contextlib.ExitStack() as stack:
            with self._breaker.request(Asks.ITEM) as pending:
                stream = stack.enter_context(send())
            yield _ReportedStream(stream, self._breaker, pending)


class _ReportedStream:
    """An `AudioStream` that tells the breaker whether its bytes come."""

    def __init__(self, stream: AudioStream, breaker: ServerBreaker, pending: Pending) -> None:
        self._stream = stream
        self._breaker = breaker
        self._pending = pending

    @property
    def length(self) -> int | None:
        """The exact number of bytes in the body; None when the server does not say."""
        return self._stream.length

    @property
    def throttled(self) -> bool:
        """Whether the server answered 429 before, and the source retried."""
        return self._stream.throttled

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive."""
        try:
            for chunk in self._stream.chunks():
                self._breaker.note(self._pending, None)
                yield chunk
        except Unreachable as error:
            self._breaker.note(self._pending, error)
            raise


def _asks(query: Query) -> Asks:
    return Asks.LIST if query.words is None else Asks.SEARCH
