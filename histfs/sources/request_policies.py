"""An instrumented source: counts the calls by kind, and records the last error.

Threads: any number at once. `_lock` guards the counts and the last error; no call is made while it
is held.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from histfs.core.errors import SourceError
from histfs.core.item import Record
from histfs.core.source import AudioStream, Page, Query, Source
from histfs.sources.forwarding import ForwardingSource


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
        kinds = ("list", "get", "audio", "attachment", "delete")
        self._requests = dict.fromkeys(kinds, 0)
        self._last_error: LastError | None = None

    @property
    def requests(self) -> dict[str, int]:
        """The number of calls by kind; a call that the source itself retries counts once."""
        with self._lock:
            return dict(self._requests)

    @property
    def last_error(self) -> LastError | None:
        """The last failure of a call, or of the reading of a body; None when there was none."""
        with self._lock:
            return self._last_error

    def list(self, query: Query) -> Page:
        """Return one page of items."""
        with self._counted("list"):
            return self._source.list(query)

    def get(self, item_id: str) -> Record:
        """Return one item."""
        with self._counted("get"):
            return self._source.get(item_id)

    def delete(self, item_id: str) -> None:
        """Delete one item."""
        with self._counted("delete"):
            self._source.delete(item_id)

    @contextlib.contextmanager
    def audio(self, item_id: str) -> Iterator[AudioStream]:
        """Open the audio of an item."""
        with contextlib.ExitStack() as stack:
            # An error of the caller that reads the stream is not an error of the source.
            with self._counted("audio"):
                stream = stack.enter_context(self._source.audio(item_id))
            yield _InstrumentedStream(stream, self._errors_recorded)

    @contextlib.contextmanager
    def attachment(self, item_id: str, attachment_id: str) -> Iterator[AudioStream]:
        """Open an attachment of an item."""
        with contextlib.ExitStack() as stack:
            with self._counted("attachment"):
                stream = stack.enter_context(super().attachment(item_id, attachment_id))
            yield _InstrumentedStream(stream, self._errors_recorded)

    @contextlib.contextmanager
    def _counted(self, kind: str) -> Iterator[None]:
        with self._lock:
            self._requests[kind] += 1
        with self._errors_recorded():
            yield

    @contextlib.contextmanager
    def _errors_recorded(self) -> Iterator[None]:
        try:
            yield
        except SourceError as error:
            with self._lock:
                self._last_error = LastError(self._clock(), str(error))
            raise


class _InstrumentedStream:
    """An `AudioStream` whose errors are recorded."""

    def __init__(
        self,
        stream: AudioStream,
        errors_recorded: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> None:
        self._stream = stream
        self._errors_recorded = errors_recorded

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
        with self._errors_recorded():
            yield from self._stream.chunks()
