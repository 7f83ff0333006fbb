"""Probe a source: whether it can be listed at all decides whether its folder is shown.

A mount probes its sources before it is mounted; without a mount a source is probed when its folder
is looked up.

A folder is hidden only if the server says twice, some seconds apart, that it has no such list, and
this catalog has never shown the folder nor had the list: a root without the folder looks complete,
and a backup would lose it. A hidden source is probed again from time to time.

Threads: any number at once. `_failure` and `_hidden` are replaced as a whole; `_probed` and
`_permanent` are set once.
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
    MissingPermission,
    NoSpace,
    NotOffered,
    without_traceback,
)
from histfs.core.single_flight import SingleFlight
from histfs.core.times import ALWAYS
from histfs.core.waiting import Waiter

#: Seconds that a probe may take, unless the mount consists of this source alone.
PROBE_TIMEOUT = 5.0
#: Seconds after which a refused key, or a list that the server did not have, is tried again: the
#: permissions of the key may have changed.
_RETRY_AFTER = 30.0
#: Seconds after which a server that says that it has no such list is asked again.
CONFIRM_AFTER = 2.0

log = logging.getLogger(__name__)


class SourceProbe:
    """Asks a source for its newest items where the catalog knows none of them.

    Args:
        reader: reads the list into the catalog.
        flights: runs the request; concurrent probes share one.
        clock: seconds, monotonic.
        sleep: sleeps for a number of seconds.
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
        self._probed = False
        self._hidden = False
        self._permanent = False

    def require(self) -> None:
        """Ask the server, which also checks the key.

        The refresher is not used: it accepts what the catalog knows when the server fails.

        Raises:
            SourceError: the request failed.
            NoSpace, CacheFailed: the answer can't be stored.
        """
        try:
            self._request()
        except HistfsError as error:
            self._note_failure(error)
            raise
        else:
            self._failure = None
        finally:
            self._probed = True

    def ask(self, waiter: Waiter) -> None:
        """Ask the server if the catalog knows nothing; remember a failure.

        Raises:
            Interrupted: the wait was interrupted.
        """
        if not self._knows_any():
            try:
                self._flights.run_hedged("probe", self._request, waiter)
            except Interrupted:
                raise
            except HistfsError as error:
                log.warning("the source can't be listed: %s", error)
                self._note_failure(error)
            else:
                self._failure = None
        self._probed = True

    def ensure_probed(self, waiter: Waiter) -> None:
        """Ask the server, unless this process has done so, for `PROBE_TIMEOUT` at the most."""
        if not self._probed:
            self.ask(waiter.at_most(PROBE_TIMEOUT + CONFIRM_AFTER))

    @property
    def key_is_wrong(self) -> bool:
        """Whether the server does not know the key; not that the key lacks a permission."""
        error = self._failure and self._failure[1]
        return isinstance(error, KeyRefused) and not isinstance(error, MissingPermission)

    def is_available(self, waiter: Waiter) -> bool:
        """Return whether the source's folder is shown; once shown, it stays."""
        if self._is_permanent():
            return True
        self.ensure_probed(waiter)
        failure = self._failure
        if self._hidden and failure is not None and self._clock() - failure[0] > _RETRY_AFTER:
            self.ask(waiter.at_most(PROBE_TIMEOUT))
        if self._hidden:
            return False
        self._make_permanent()
        return True

    def check(self, waiter: Waiter) -> None:
        """Check that the source can be listed: an unknown folder must not look empty.

        Raises:
            SourceError, NoSpace, CacheFailed: it can't be listed, and the catalog knows nothing.
        """
        self.ensure_probed(waiter)
        failure = self._failure
        if failure is None or self._knows_any():
            return
        if not isinstance(failure[1], KeyRefused) or self._clock() - failure[0] > _RETRY_AFTER:
            self.ask(waiter)
            failure = self._failure
        if failure is not None and not self._knows_any():
            raise without_traceback(failure[1])

    def _request(self) -> None:
        """Ask for the newest items; ask again if the server says that it has no such list.

        Raises:
            NotOffered: the server has said so twice, and never had the list.
            SourceError, NoSpace, CacheFailed: the request failed.
        """
        store = self._reader.store
        try:
            try:
                self._reader.read(ALWAYS).next()
            except NotOffered:
                if self._is_permanent() or store.notes.list_absent:
                    raise
                self._sleep(CONFIRM_AFTER)
                # Another limit: the circuit breaker would answer the same request from memory.
                self._reader.read(ALWAYS, limit=self._reader.page_size).next()
        except NotOffered as error:
            if self._is_permanent():
                raise BadAnswer(f"the server has had this list before, but: {error}") from error
            store.notes.list_absent = True
            raise
        self._hidden = False
        self._make_permanent()

    def _note_failure(self, error: HistfsError) -> None:
        """Remember a failure; a hidden folder stays hidden until the list is read."""
        self._hidden = self._hidden or (isinstance(error, NotOffered) and not self._is_permanent())
        self._failure = (self._clock(), error)

    def _is_permanent(self) -> bool:
        """Return whether the folder is shown permanently."""
        if not self._permanent:
            self._permanent = self._reader.store.notes.folder_shown or self._knows_any()
        return self._permanent

    def _make_permanent(self) -> None:
        """Show the folder permanently, in later processes, too."""
        if not self._permanent:
            self._permanent = True
            try:
                self._reader.store.notes.folder_shown = True
            except (NoSpace, CacheFailed) as error:
                log.warning("can't store that the folder is shown: %s", error)

    def _knows_any(self) -> bool:
        return bool(self._reader.store.coverage().spans())
