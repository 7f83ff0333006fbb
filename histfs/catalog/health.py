"""Whether the source answers, so that those who can do without it don't wait again and again.

Threads: any number at once; `_lock` guards all state.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from histfs.core.errors import OF_ALL

#: Seconds that a listing which is known, but not fresh, waits for news before it does without.
PATIENCE = 5.0
#: Seconds after a failure in which nothing is asked: what is known is shown, the rest fails.
FAILURE_MEMORY = 10.0


class Health:
    """Remembers what is being asked, and what failed.

    Args:
        clock: seconds; any origin.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._asking: dict[object, tuple[float, bool]] = {}
        self._failure: tuple[float, Exception] | None = None
        self._used = clock()

    @contextlib.contextmanager
    def asking(self, background: bool = False) -> Iterator[None]:
        """Ask for something within the block.

        Args:
            background: whether others come first. A page that fails there fails nobody else's.
        """
        token = object()
        with self._lock:
            self._asking[token] = (self._clock(), background)
        try:
            yield
        except Exception as error:
            if not background or isinstance(error, OF_ALL):
                with self._lock:
                    self._failure = (self._clock(), error)
            raise
        else:
            with self._lock:
                self._failure = None
        finally:
            with self._lock:
                del self._asking[token]
                if not background:
                    self._used = self._clock()

    def failure(self) -> Exception | None:
        """Return why the last question failed, for as long as nothing is to be asked again."""
        with self._lock:
            if self._failure is None:
                return None
            since, error = self._failure
            return error if 0 <= self._clock() - since < FAILURE_MEMORY else None

    def patience(self) -> float:
        """Return the seconds that are worth waiting for news: none while an answer is overdue."""
        with self._lock:
            now = self._clock()
            asking = self._asking.values()
            waited = max((now - since for since, background in asking if not background), default=0)
            return min(PATIENCE, max(0.0, PATIENCE - waited))

    def busy(self) -> bool:
        """Say whether somebody waits for an answer."""
        with self._lock:
            return not all(background for _, background in self._asking.values())

    def quiet(self) -> float:
        """Return the seconds since somebody has waited for an answer."""
        with self._lock:
            return max(0.0, self._clock() - self._used)
