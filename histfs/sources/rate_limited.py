"""A source whose requests share the limit of the account, and which sends again what was refused.

Threads: any number at once; the limiter guards itself, and nothing else is kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

from histfs.core.errors import RateLimited
from histfs.core.item import Details, Record
from histfs.core.limiter import Attempts, Limiter
from histfs.core.source import AudioStream, Page, Query, Source, Traits, attachment_of

T = TypeVar("T")


class RateLimitedSource:
    """A `Source` that sends no more requests at once than a limiter allows.

    A request that is refused with `RateLimited` is sent again, but for a delete: a delete is one
    request by promise, whatever the answer.

    Args:
        source: sends the requests: one at a time for each call.
        limiter: of the account.
        patience: seconds for which a request may wait, as of `Attempts`.
    """

    def __init__(self, source: Source, limiter: Limiter, patience: float) -> None:
        self._source = source
        self._limiter = limiter
        self._patience = patience

    @property
    def traits(self) -> Traits:
        """What the source is like."""
        return self._source.traits

    def list(self, query: Query) -> Page:
        """Return one page of items."""
        return self._sent(lambda: self._source.list(query))

    def get(self, item_id: str) -> Record:
        """Return one item."""
        return self._sent(lambda: self._source.get(item_id))

    def delete(self, item_id: str) -> None:
        """Delete one item."""
        with self._limiter.acquire(audio=False, timeout=self._patience) as slot:
            try:
                self._source.delete(item_id)
            except RateLimited:
                slot.refused()
                raise

    def audio(self, item_id: str) -> AbstractContextManager[AudioStream]:
        """Open the audio of an item; the slot is taken until the body has ended."""
        return self._streamed(lambda: self._source.audio(item_id))

    def attachment(self, item_id: str, attachment_id: str) -> AbstractContextManager[AudioStream]:
        """Open an attachment of an item; the slot is taken until the body has ended."""
        return self._streamed(lambda: attachment_of(self._source, item_id, attachment_id))

    @contextlib.contextmanager
    def _streamed(
        self, request: Callable[[], AbstractContextManager[AudioStream]]
    ) -> Iterator[AudioStream]:
        attempts = Attempts(self._limiter, audio=True, timeout=self._patience)
        while True:
            with contextlib.ExitStack() as stack:
                slot = stack.enter_context(attempts.slot())
                try:
                    stream = stack.enter_context(request())
                except RateLimited as error:
                    slot.refused()
                    refusal = error
                else:
                    if stream.throttled:
                        slot.refused()
                    yield stream
                    return
            attempts.pause(refusal)

    def describe(self, raw: bytes) -> Details:
        """Read the details out of a raw object."""
        return self._source.describe(raw)

    def close(self) -> None:
        """Let go of the connections."""
        self._source.close()

    def _sent(self, send: Callable[[], T]) -> T:
        attempts = Attempts(self._limiter, audio=False, timeout=self._patience)
        while True:
            with attempts.slot() as slot:
                try:
                    return send()
                except RateLimited as error:
                    slot.refused()
                    refusal = error
            attempts.pause(refusal)
