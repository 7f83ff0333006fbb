"""A source that is watched: what was asked of it how often, and how it failed last.

Threads: any number at once; `_lock` guards the counts and the failure.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from histfs.core.errors import SourceError
from histfs.core.item import Details, Record
from histfs.core.source import AudioStream, Page, Query, Source, Traits, attachment_of


class LastError(NamedTuple):
    """When a call failed, in seconds since the epoch, and why."""

    at: float
    message: str


class InstrumentedSource:
    """A `Source` that hands every call on to another one.

    Args:
        source: what is watched.
        clock: seconds since the epoch.
    """

    def __init__(self, source: Source, clock: Callable[[], float] = time.time) -> None:
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        kinds = ("list", "get", "audio", "attachment", "delete")
        self._requests = dict.fromkeys(kinds, 0)
        self._failure: LastError | None = None

    @property
    def requests(self) -> dict[str, int]:
        """How often each was called; a call that was tried again by itself counts once."""
        with self._lock:
            return dict(self._requests)

    @property
    def last_error(self) -> LastError | None:
        """How a call, or the reading of a body, failed last; None when none has."""
        with self._lock:
            return self._failure

    @property
    def traits(self) -> Traits:
        """What the source is like."""
        return self._source.traits

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
            # What goes wrong with whoever reads it is none of the source's errors.
            with self._counted("audio"):
                stream = stack.enter_context(self._source.audio(item_id))
            yield _InstrumentedStream(stream, self._failing)

    @contextlib.contextmanager
    def attachment(self, item_id: str, attachment_id: str) -> Iterator[AudioStream]:
        """Open an attachment of an item."""
        with contextlib.ExitStack() as stack:
            with self._counted("attachment"):
                opened = attachment_of(self._source, item_id, attachment_id)
                stream = stack.enter_context(opened)
            yield _InstrumentedStream(stream, self._failing)

    def describe(self, raw: bytes) -> Details:
        """Read the details out of a raw object."""
        return self._source.describe(raw)

    def close(self) -> None:
        """Let go of the connections."""
        self._source.close()

    @contextlib.contextmanager
    def _counted(self, kind: str) -> Iterator[None]:
        with self._lock:
            self._requests[kind] += 1
        with self._failing():
            yield

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Remember how the block fails."""
        try:
            yield
        except SourceError as error:
            with self._lock:
                self._failure = LastError(self._clock(), str(error))
            raise


class _InstrumentedStream:
    """An answer with audio in it."""

    def __init__(
        self,
        stream: AudioStream,
        failing: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> None:
        self._stream = stream
        self._failing = failing

    @property
    def length(self) -> int | None:
        """The exact number of bytes to come, None when the server does not say."""
        return self._stream.length

    @property
    def throttled(self) -> bool:
        """Whether the server asked for fewer requests before it answered."""
        return self._stream.throttled

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they come."""
        with self._failing():
            yield from self._stream.chunks()
