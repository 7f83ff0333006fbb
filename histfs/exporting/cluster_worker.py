"""What a worker of a Dask cluster does for an export: it carries out a page of orders.

The orders have all that the catalog knows; a worker asks the API for audio alone. It takes the API
key from where a command on its machine would, so that no key travels through the cluster.

Threads: any number of tasks at once, each with a pool of daemon threads. `_lock` guards the table
of runs, and `SharedLimiter._leases` the slots that hold a lease; nothing else is done while either
is held. A run is opened by the first task that needs it, the others wait for its future.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import distributed

from histfs import plugins
from histfs.account_settings import settings_of
from histfs.core import errors
from histfs.core.errors import (
    HistfsError,
    Interrupted,
    RateLimited,
    SourceError,
)
from histfs.core.limiter import Limiter, Slot
from histfs.core.server_breaker import ServerBreaker
from histfs.core.single_flight import SingleFlight
from histfs.core.source import Source
from histfs.exporting.bucket import destination_of
from histfs.exporting.crew import Outcome
from histfs.exporting.destination import read
from histfs.exporting.errors import ClusterFailed
from histfs.exporting.item_export import Order, carry_out
from histfs.exporting.recordings import ServerRecordings
from histfs.exporting.table import STATE
from histfs.mounting.limited_source import open_limited

#: Runs whose connections a worker keeps, at most.
_RUNS = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class RunSettings:
    """An export, as its workers have to know it. It holds no key.

    Attributes:
        id: of the run.
        destination: a folder or a URL, as given.
        accounts: of the sources, by name: a worker must find the same ones.
        options: of the account, as for `histfs.open`.
        slot_timeout: seconds that a request may wait for the limit on requests.
        connections: requests that all workers together may send at once.
        semaphore: the name of that limit.
        topic: under which workers report refusals.
        verify: whether the objects that are there are read back.
    """

    id: str
    destination: str
    accounts: Mapping[str, str]
    options: Mapping[str, Any]
    slot_timeout: float
    connections: int
    semaphore: str
    topic: str
    verify: bool


@dataclass(frozen=True, slots=True, repr=False)
class PageResult:
    """What became of a page.

    Attributes:
        outcomes: of its orders, as many as were carried out before an error that ends the export.
        fatal: that error; None if there was none.
    """

    outcomes: Sequence[Outcome]
    fatal: HistfsError | None = None


def export_page(run: RunSettings, page: Sequence[tuple[str, Order]]) -> PageResult:
    """Carry out orders; a task of Dask.

    Args:
        run: the export.
        page: the orders, each with the name of its source.
    """
    outcomes: list[Outcome] = []
    try:
        opened = _opened(run)
        threads = max(1, min(run.connections, len(page)))
        with contextlib.closing(SingleFlight("export", threads)) as flights:
            futures = [flights.submit(object(), partial(opened.carry_out, *each)) for each in page]
            for future in futures:
                try:
                    outcomes.append(future.result())
                except SourceError as error:
                    outcomes.append(_portable(error))
    except HistfsError as error:
        return PageResult(outcomes, _portable(error))
    return PageResult(outcomes)


def end_run(run_id: str) -> None:
    """Have what is still under way for a run end, and close its connections."""
    with _lock:
        opened = _runs.pop(run_id, None)
    if opened is not None and opened.done() and opened.exception() is None:
        opened.result().close()


class SharedLimiter(Limiter):
    """Limits the requests of all workers together: a slot is a lease of a semaphore, too.

    The client lowers the limit when the server refuses requests: it takes leases itself.

    Args:
        maximum: requests at once that the user allows.
        semaphore: has as many leases.
        tell: takes what concerns all workers, for the client.
    """

    def __init__(
        self,
        maximum: int,
        semaphore: distributed.Semaphore,
        tell: Callable[[Mapping[str, float]], None],
    ) -> None:
        super().__init__(maximum)
        self._semaphore = semaphore
        self._tell = tell
        self._leases = threading.Lock()
        self._leased: dict[Slot, float] = {}

    def acquire(self, *, audio: bool, timeout: float) -> Slot:
        """Wait for a slot of this process, then for a lease."""
        deadline = time.monotonic() + timeout
        slot = super().acquire(audio=audio, timeout=timeout)
        try:
            self._lease(deadline)
        except BaseException:
            super().release(slot, succeeded=False)
            raise
        with self._leases:
            self._leased[slot] = time.monotonic()
        return slot

    def release(self, slot: Slot, *, succeeded: bool) -> None:
        """Free a slot, and its lease."""
        with self._leases:
            leased = self._leased.pop(slot, None)
        if leased is not None:
            self._semaphore.release()
        super().release(slot, succeeded=succeeded)

    def refused(self, slot: Slot) -> None:
        """Have the limit lowered."""
        with self._leases:
            since = self._leased.get(slot, time.monotonic())
        self._tell({"refused": time.monotonic() - since})

    def state_maximum(self, number: int) -> None:
        """Have the limit bounded by the number that the server states."""
        self._tell({"stated": number})

    def _lease(self, deadline: float) -> None:
        while not self._closing.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                raise RateLimited("the other workers' requests left no room for this one in time")
            try:
                if self._semaphore.acquire(timeout=min(left, 1.0)):
                    return
            except (OSError, RuntimeError) as error:
                raise Interrupted(f"the cluster's limit is gone: {error}") from error
        raise Interrupted("the export has ended")


class _OpenRun:
    """The connections of a worker for a run.

    Args:
        run: the export.

    Raises:
        HistfsError: the worker lacks the key, or a source, or does not see the destination.
    """

    def __init__(self, run: RunSettings) -> None:
        worker = distributed.get_worker()
        self._where = worker.address
        self._verify = run.verify
        try:
            settings = settings_of(None, run.options)
        except HistfsError as error:
            raise ClusterFailed(f"the worker {self._where} can't be used: {error}") from error
        semaphore = distributed.Semaphore(run.connections, run.semaphore)
        self._limiter = SharedLimiter(
            run.connections, semaphore, partial(worker.log_event, run.topic)
        )
        self._destination = destination_of(run.destination, Path(worker.local_directory))
        if read(self._destination, STATE) is None:
            raise ClusterFailed(
                f"the worker {self._where} does not see what is at {self._destination}: give a"
                " folder that all machines share, or a URL"
            )
        breakers: dict[str, ServerBreaker] = {}
        self._recordings: dict[str, ServerRecordings] = {}
        self._sources: list[Source] = []
        for plugin in plugins.sources(settings.sources):
            if plugin.name not in run.accounts:
                continue
            opened = open_limited(
                plugin,
                settings,
                limiter=self._limiter,
                slot_timeout=run.slot_timeout,
                breakers=breakers,
                tell=self._refuse,
            )
            assert opened is not None  # `_refuse` has raised
            if opened.account.id != run.accounts[plugin.name]:
                raise ClusterFailed(
                    f"the worker {self._where} has the key of another account"
                    f" ({opened.account.key.origin})"
                )
            self._sources.append(opened.source)
            self._recordings[plugin.name] = ServerRecordings(opened.source, settings.max_clip_size)
        if lacking := run.accounts.keys() - self._recordings.keys():
            self._refuse(f"the source {min(lacking)} is not installed")

    def carry_out(self, source: str, order: Order) -> Outcome:
        """Have the objects of an item at the destination."""
        return carry_out(order, self._destination, self._recordings[source], verify=self._verify)

    def close(self) -> None:
        """End what waits for the limit, and close the connections."""
        self._limiter.close()
        for source in self._sources:
            source.close()

    def _refuse(self, line: str) -> None:
        raise ClusterFailed(f"the worker {self._where} can't be used: {line}")


_lock = threading.Lock()
_runs: dict[str, Future[_OpenRun]] = {}


def _opened(run: RunSettings) -> _OpenRun:
    """Return the connections for a run, made by its first page."""
    with _lock:
        found = _runs.get(run.id)
        if found is None:
            while len(_runs) >= _RUNS:
                # Its client was killed; tasks that still use it keep it until they end.
                del _runs[next(iter(_runs))]
            making = _runs[run.id] = Future()
    if found is not None:
        return found.result()
    try:
        making.set_result(_OpenRun(run))
    except BaseException as error:
        with _lock:
            _runs.pop(run.id, None)  # the next page tries again
        making.set_exception(error)
        raise
    return making.result()


def _portable(error: HistfsError) -> Any:  # noqa: ANN401 - of the same kind
    """Return an error as it may leave this process: of this package, and without any key."""
    own = (vars(errors).values(), (ClusterFailed,))
    kinds = {kind for group in own for kind in group if isinstance(kind, type)}
    kind = next((kind for kind in type(error).__mro__ if kind in kinds), SourceError)
    return kind(str(error))
