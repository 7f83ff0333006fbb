"""Whether a source can be listed at all: the first answer decides what its folder looks like.

A mount asks before it is there; without one a source is asked when somebody looks for its folder.

Threads: any number at once; `_failure` is replaced whole, and `_asked` set once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from histfs.catalog.reading import Reader
from histfs.core.errors import HistfsError, KeyRefused, NotOffered, again
from histfs.core.flights import Flights
from histfs.core.times import ALWAYS
from histfs.core.waiting import Waiter

#: Seconds in which a source has to say whether it can be listed, where that isn't all there is.
PATIENCE = 5.0
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
        self._asked = False

    def require(self) -> None:
        """Ask, which also tells whether the server and the key are good.

        Not through the refresher, for which what was known before is good enough when the server
        fails or is slow.

        Raises:
            SourceError: it failed.
            NoSpace, CacheFailed: the answer can't be kept.
        """
        try:
            self._request()
        except HistfsError as error:
            self._failure = (self._clock(), error)
            raise
        else:
            self._failure = None
        finally:
            self._asked = True

    def ask(self, waiter: Waiter) -> None:
        """Ask, where nothing is known yet; how it failed is remembered."""
        if not self._known():
            try:
                waiter.result(self._flights.fly("contact", self._request))
            except HistfsError as error:
                log.warning("the source can't be listed: %s", error)
                self._failure = (self._clock(), error)
            else:
                self._failure = None
        self._asked = True

    def meet(self, waiter: Waiter) -> None:
        """Ask, unless that was done; not for long."""
        if not self._asked:
            self.ask(waiter.at_most(PATIENCE))

    def shown(self, waiter: Waiter) -> bool:
        """Say whether there is such a source: a server that has none says so.

        Never of one that had something: a backup would lose it.
        """
        self.meet(waiter)
        failure = self._failure
        return failure is None or not isinstance(failure[1], NotOffered) or self._known()

    def check(self, waiter: Waiter) -> None:
        """See whether the source can be listed: a folder of which nothing is known isn't empty.

        Raises:
            SourceError, NoSpace, CacheFailed: it can't, and nothing is known.
        """
        self.meet(waiter)
        failure = self._failure
        if failure is None or self._known():
            return
        if not isinstance(failure[1], KeyRefused) or self._clock() - failure[0] > _AGAIN:
            self.ask(waiter)
            failure = self._failure
        if failure is not None and not self._known():
            raise again(failure[1])

    def _request(self) -> None:
        self._reader.read(ALWAYS).next()

    def _known(self) -> bool:
        return bool(self._reader.store.windows().spans())
