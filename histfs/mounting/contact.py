"""Whether a source can be listed at all: the first answer decides what its folder looks like.

Threads: any number at once; `_failure` is replaced whole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from histfs.catalog.reading import Reader
from histfs.core.errors import HistfsError, KeyRefused, NotOffered
from histfs.core.flights import Flights
from histfs.core.times import ALWAYS
from histfs.core.waiting import Waiter

#: Seconds after which a refused key is tried again: its permissions may have been changed.
_AGAIN = 30.0

log = logging.getLogger(__name__)


class Contact:
    """Asks a source of which nothing is known yet for its newest items.

    Args:
        reader: asks it, and has the store.
        flights: run the request.
        clock: seconds, monotonic.
    """

    def __init__(self, reader: Reader, flights: Flights, clock: Callable[[], float]) -> None:
        self._reader = reader
        self._flights = flights
        self._clock = clock
        self._failure: tuple[float, HistfsError] | None = None

    def require(self) -> None:
        """Ask, which also tells whether the server and the key are good.

        Not through the refresher, for which what was known before is good enough when the server
        fails or is slow.

        Raises:
            SourceError: it failed.
            NoSpace, CacheFailed: the answer can't be kept.
        """
        self._reader.read(ALWAYS).next()

    def ask(self, waiter: Waiter) -> None:
        """Ask, where nothing is known yet; how it failed is remembered."""
        if self._known():
            return
        try:
            waiter.result(self._flights.fly("contact", self.require))
        except HistfsError as error:
            log.warning("the source can't be listed: %s", error)
            self._failure = (self._clock(), error)
        else:
            self._failure = None

    def shown(self) -> bool:
        """Say whether there is such a source: a server that has none says so.

        Never of one that had something: a backup would lose it.
        """
        failure = self._failure
        return failure is None or not isinstance(failure[1], NotOffered) or self._known()

    def check(self, waiter: Waiter) -> None:
        """See whether the source may be listed.

        Raises:
            KeyRefused: the key may not do that, and nothing is known.
        """
        failure = self._failure
        if failure is not None and self._clock() - failure[0] > _AGAIN:
            self.ask(waiter)
            failure = self._failure
        if failure is not None and isinstance(failure[1], KeyRefused) and not self._known():
            raise failure[1]

    def _known(self) -> bool:
        return bool(self._reader.store.windows().spans())
