"""A source that retries audio that the server is still making."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from histfs.core.errors import NotReady
from histfs.core.source import AudioStream, Source
from histfs.sources.forwarding import ForwardingSource

#: Seconds between two attempts.
_PAUSES = (0.5, 1.0, 2.0, 4.0)
#: The share of a call's timeout for the pauses, so that the caller gets `NotReady` and not the end
#: of its own timeout.
_SHARE = 0.5


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
        self._wait_budget = timeout * _SHARE
        self._sleep = sleep

    @contextlib.contextmanager
    def audio(self, item_id: str) -> Iterator[AudioStream]:
        """Open the audio of an item; `NotReady` when it is not ready in time."""
        pauses = iter(_PAUSES)
        remaining = self._wait_budget
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    stream = stack.enter_context(self._source.audio(item_id))
                    break
                except NotReady:
                    pause = next(pauses, None)
                    if pause is None or pause > remaining:
                        raise
                    remaining -= pause
                    self._sleep(pause)
            yield stream
