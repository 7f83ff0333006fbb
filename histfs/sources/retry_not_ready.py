"""A source that is waited for while it is still making the audio that was asked for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from histfs.core.errors import NotReady
from histfs.core.item import Details, Record
from histfs.core.source import AudioStream, Page, Query, Source, Traits, attachment_of

#: Seconds between two tries.
_PAUSES = (0.5, 1.0, 2.0, 4.0)
#: The part of a call's time that may be spent on them: after it comes the answer that there is none
#: yet, and not the end of the call's time.
_SHARE = 0.5


class RetryNotReady:
    """A `Source` that asks again for audio that isn't ready.

    Args:
        source: hands it out.
        timeout: seconds that a call on the mount may take.
        sleep: waits for some seconds.
    """

    def __init__(
        self, source: Source, timeout: float, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._source = source
        self._patience = timeout * _SHARE
        self._sleep = sleep

    @property
    def traits(self) -> Traits:
        """What the source is like."""
        return self._source.traits

    def list(self, query: Query) -> Page:
        """Return one page of items."""
        return self._source.list(query)

    def get(self, item_id: str) -> Record:
        """Return one item."""
        return self._source.get(item_id)

    def delete(self, item_id: str) -> None:
        """Delete one item."""
        self._source.delete(item_id)

    @contextlib.contextmanager
    def audio(self, item_id: str) -> Iterator[AudioStream]:
        """Open the audio of an item; `NotReady` when it wasn't there in time."""
        pauses = iter(_PAUSES)
        left = self._patience
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    stream = stack.enter_context(self._source.audio(item_id))
                    break
                except NotReady:
                    pause = next(pauses, None)
                    if pause is None or pause > left:
                        raise
                    left -= pause
                    self._sleep(pause)
            yield stream

    def attachment(self, item_id: str, attachment_id: str) -> AbstractContextManager[AudioStream]:
        """Open an attachment of an item."""
        return attachment_of(self._source, item_id, attachment_id)

    def describe(self, raw: bytes) -> Details:
        """Read the details out of a raw object."""
        return self._source.describe(raw)

    def close(self) -> None:
        """Let go of the connections."""
        self._source.close()
