"""Whether a source can be listed at all: the first answers decide what its folder looks like.

A mount asks before it is there; without one a source is asked when somebody looks for its folder.

A folder is hidden only when the server says that it has no such list, says so again a moment later,
and the folder was never shown, nor the list ever had, with this catalog: a listing of the root
without it looks complete, and a backup would lose the folder. A hidden one is asked for again from
time to time.

Threads: any number at once; `_failure` and `_hidden` are replaced whole, and `_asked` and
`_lasting` set once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from histfs.catalog.span_reader import SpanReader
from histfs.core.errors import (
    BadAnswer,
    CacheFailed,
    HistfsError,
    Interrupted,
    KeyRefused,
    NoSpace,
    NotOffered,
    without_traceback,
)
from histfs.core.single_flight import SingleFlight
from histfs.core.times import ALWAYS
from histfs.core.waiting import Waiter

#: Seconds in which a source has to say whether it can be listed, where that isn't all there is.
PATIENCE = 5.0
#: Seconds after which a refused key is tried again, as its permissions may have been changed, and
#: a list that the server had not.
_AGAIN = 30.0
#: Seconds after which a server that says that it has no such list is asked for the second time.
CONFIRM = 2.0

log = logging.getLogger(__name__)


class SourceProbe:
    """Asks a source of which nothing is known yet for its newest items.

    Args:
        reader: asks it, and has the store.
        flights: run the request.
        clock: seconds, monotonic.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        reader: SpanReader,
        flights: SingleFlight,
        clock: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._reader = reader
        self._flights = flights
        self._clock = clock
        self._sleep = sleep
        self._failure: tuple[float, HistfsError] | None = None
        self._asked = False
        self._hidden = False
        self._lasting = False

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
            self._failed(error)
            raise
        else:
            self._failure = None
        finally:
            self._asked = True

    def ask(self, waiter: Waiter) -> None:
        """Ask, where nothing is known yet; how it failed is remembered.

        Raises:
            Interrupted: the wait was interrupted.
        """
        if not self._known():
            try:
                self._flights.run_hedged("contact", self._request, waiter)
            except Interrupted:
                raise
            except HistfsError as error:
                log.warning("the source can't be listed: %s", error)
                self._failed(error)
            else:
                self._failure = None
        self._asked = True

    def meet(self, waiter: Waiter) -> None:
        """Ask, unless that was done; not for long."""
        if not self._asked:
            self.ask(waiter.at_most(PATIENCE + CONFIRM))

    def shown(self, waiter: Waiter) -> bool:
        """Say whether the source's folder is shown: what was shown once stays."""
        if self._lasts():
            return True
        self.meet(waiter)
        failure = self._failure
        if self._hidden and failure is not None and self._clock() - failure[0] > _AGAIN:
            self.ask(waiter.at_most(PATIENCE))
        if self._hidden:
            return False
        self._last()
        return True

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
            raise without_traceback(failure[1])

    def _request(self) -> None:
        """Ask for the newest items; a server that has no such list is not believed at once.

        Raises:
            NotOffered: the server has said twice that it has none, and never had one.
            SourceError, NoSpace, CacheFailed: it failed.
        """
        store = self._reader.store
        try:
            try:
                self._reader.read(ALWAYS).next()
            except NotOffered:
                if self._lasts() or store.said_absent:
                    raise
                self._sleep(CONFIRM)
                # Another question: the failure of the same one would be remembered.
                self._reader.read(ALWAYS, limit=self._reader.page).next()
        except NotOffered as error:
            if self._lasts():
                raise BadAnswer(f"the server has had this list before, but: {error}") from error
            store.said_absent = True
            raise
        self._hidden = False
        self._last()

    def _failed(self, error: HistfsError) -> None:
        """Remember how asking failed; what is hidden stays so until the list is had."""
        self._hidden = self._hidden or (isinstance(error, NotOffered) and not self._lasts())
        self._failure = (self._clock(), error)

    def _lasts(self) -> bool:
        """Say whether the folder is shown for good."""
        if not self._lasting:
            self._lasting = self._reader.store.folder_shown or self._known()
        return self._lasting

    def _last(self) -> None:
        """Have the folder shown for good."""
        if not self._lasting:
            self._lasting = True
            try:
                self._reader.store.folder_shown = True
            except (NoSpace, CacheFailed) as error:
                log.warning("that a folder was shown can't be kept: %s", error)

    def _known(self) -> bool:
        return bool(self._reader.store.windows().spans())
