"""A rate-limited source: its requests share the limit of the account; refused ones are retried.

Threads: any number at once; the limiter has its own lock, and there is no other state.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeVar

from histfs.core.errors import RateLimited
from histfs.core.item import Record
from histfs.core.limiter import Attempts, Limiter
from histfs.core.source import AudioStream, Page, Query, Source
from histfs.sources.forwarding import ForwardingSource

T = TypeVar("T")


class RateLimitedSource(ForwardingSource):
    """A `Source` that sends no more requests at once than a limiter allows.

    A request that is refused with `RateLimited` is retried, except a delete: a delete is one
    request, whatever the answer.

    Args:
        source: the source that is wrapped; each of its calls sends one request at a time.
        limiter: the limiter of the account.
        patience: seconds that a request may wait, as of `Attempts`.
    """

    def __init__(self, source: Source, limiter: Limiter, patience: float) -> None:
        super().__init__(source)
        self._limiter = limiter
        self._wait_budget = patience

    def list(self, query: Query) -> Page:
        """Return one page of items."""
        return self._retried(partial(self._source.list, query))

    def get(self, item_id: str) -> Record:
        """Return one item."""
        return self._retried(partial(self._source.get, item_id))

    def delete(self, item_id: str) -> None:
        """Delete one item."""
        with self._limiter.acquire(audio=False, timeout=self._wait_budget) as slot:
            try:
                self._source.delete(item_id)
            except RateLimited:
                slot.refused()
                raise

    def audio(self, item_id: str) -> AbstractContextManager[AudioStream]:
        """Open the audio of an item; the slot is held until the body has ended."""
        return self._stream_retried(partial(self._source.audio, item_id))

    def attachment(self, item_id: str, attachment_id: str) -> AbstractContextManager[AudioStream]:
        """Open an attachment of an item; the slot is held until the body has ended."""
        return self._stream_retried(partial(super().attachment, item_id, attachment_id))

    def _retried(self, send: Callable[[], T]) -> T:
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
    def _stream_retried(
        self, send: Callable[[], AbstractContextManager[AudioStream]]
    ) -> Iterator[AudioStream]:
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
