"""A crew of the workers of a Dask cluster.

The client, which is this process, has the catalog and the manifests; the workers get pages of
orders (`histfs.exporting.cluster_worker`) and ask the API for audio alone. What they have fetched
is noted in the catalog here.

All workers share one limit on requests, a semaphore with as many leases as `--connections`. When
the server refuses requests, the client takes leases itself, as many as `AdaptiveLimit` says, and
gives them back as requests succeed.

A page whose worker died is carried out by another one: each object has one name, and is written as
a whole, so that it is there once whoever wrote it.

Threads: one takes the outcomes. `cluster limit` follows the refusals; it alone has the
`AdaptiveLimit` and the leases. Dask's own threads call the callbacks, which only put into queues.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from histfs.core.errors import Missing, SourceError
from histfs.core.limiter import AdaptiveLimit
from histfs.exporting.crew import Outcome, W, Work
from histfs.exporting.errors import ClusterFailed, NoDask, WorkersDied
from histfs.exporting.item_export import ItemResult, Order, order_of
from histfs.exporting.recordings import note
from histfs.mounting import MountedSource
from histfs.settings import DEFAULT_PROFILE, Settings

if TYPE_CHECKING:
    from distributed import Client, Future

    from histfs.exporting.cluster_worker import PageResult, RunSettings

#: Orders of the first pages, which spread few items over all workers, and of the later ones.
_FIRST, _PAGE = 4, 32
#: Pages for each thread of the workers that are under way at once.
_AHEAD = 2
#: Seconds to wait for the scheduler, and for a worker.
_CONNECT, _NO_WORKER = 10.0, 120.0
#: Seconds between two looks at the cluster.
_LOOK = 2.0
#: Seconds after which the limit is looked at, without news.
_STEP = 0.5
#: What Dask raises when scheduler or workers are gone.
_GONE = (OSError, RuntimeError, ValueError, asyncio.TimeoutError)

log = logging.getLogger(__name__)


@contextlib.contextmanager
def cluster_crew(
    address: str, run: ClusterRun, settings: Settings, sources: Sequence[MountedSource]
) -> Iterator[ClusterCrew]:
    """Connect to a cluster, for the time of a block.

    Args:
        address: of the scheduler, or the path of its scheduler file.
        run: what is exported, and where.
        settings: of the account.
        sources: of the account.

    Raises:
        NoDask: Dask is not installed.
        ClusterFailed: there is no scheduler.
    """
    try:
        # Only an export to a cluster needs it.
        import distributed  # noqa: PLC0415
    except ImportError as error:
        raise NoDask(f"--dask needs Dask: pip install 'histfs[dask]' ({error})") from error
    _log_with_ours()
    where = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    try:
        client = distributed.Client(**where, timeout=_CONNECT, set_as_default=False)
    except (*_GONE, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ClusterFailed(f"no Dask scheduler answers at {address}: {reason}") from error
    with client, contextlib.closing(_Limit(client, settings.connections)) as limit:
        yield ClusterCrew(client, limit, _run_settings(run, settings, sources, limit))


class ClusterRun(NamedTuple):
    """What is exported, and where.

    Attributes:
        destination: a folder that all workers see, or a URL.
        verify: whether the objects that are there are read back.
        slot_timeout: seconds that a request may wait for the limit on requests.
    """

    destination: str
    verify: bool
    slot_timeout: float


class ClusterCrew:
    """The workers of a cluster. Implements `Crew`.

    Args:
        client: of the cluster.
        limit: on the requests of all workers.
        settings: of the run.
    """

    def __init__(self, client: Client, limit: _Limit, settings: RunSettings) -> None:
        self._client = client
        self._limit = limit
        self._settings = settings
        self._threads, self._looked, self._seen = 0, -_LOOK, time.monotonic()

    def outcomes(self, works: Iterable[W]) -> Generator[tuple[W, Outcome], None, None]:
        """Yield each work with its result, or why it failed, as they end."""
        in_flight: dict[Future, list[W]] = {}
        done: SimpleQueue[Future] = SimpleQueue()
        try:
            for page, refused in _pages(works):
                yield from refused
                if not page:
                    continue
                while len(in_flight) >= _AHEAD * self._workers_threads() or not self._threads:
                    yield from self._ended(in_flight, done)
                future = self._submit(page)
                in_flight[future] = [work for work, _ in page]
                future.add_done_callback(done.put)
            while in_flight:
                yield from self._ended(in_flight, done)
        finally:
            self._end(list(in_flight))

    def _submit(self, page: Sequence[tuple[Work, Order]]) -> Future:
        from histfs.exporting.cluster_worker import export_page  # noqa: PLC0415

        orders = [(work.mounted.name, order) for work, order in page]
        key = f"histfs-export-{uuid.uuid4().hex}"
        return self._client.submit(export_page, self._settings, orders, pure=False, key=key)

    def _ended(
        self, in_flight: dict[Future, list[W]], done: SimpleQueue[Future]
    ) -> Iterator[tuple[W, Outcome]]:
        """Wait a while for the next page that ends, and yield its outcomes."""
        try:
            future = done.get(timeout=_LOOK)
        except Empty:
            self._workers_threads()
            return
        works = in_flight.pop(future)
        for work, outcome in zip(works, self._outcomes(future, len(works)), strict=True):
            if isinstance(outcome, ItemResult):
                self._note(work, outcome)
            elif isinstance(outcome, Missing):
                work.mounted.catalog.invalidate(work.item)
            yield work, outcome

    def _outcomes(self, future: Future, number: int) -> Sequence[Outcome]:
        """Return the outcomes of a page that has ended.

        Raises:
            HistfsError: an error that ends the export.
        """
        import distributed  # noqa: PLC0415

        try:
            result: PageResult = future.result()
        except distributed.KilledWorker as error:
            log.warning("%d items are not exported: %s", number, error)
            return [WorkersDied("the workers that had it died")] * number
        except (*_GONE, CancelledError) as error:
            raise ClusterFailed(f"the cluster was lost: {error or type(error).__name__}") from error
        except Exception as error:  # whatever a worker raises
            raise ClusterFailed(f"a worker can't run histfs: {error!r}") from error
        if result.fatal is not None:
            raise result.fatal
        return result.outcomes

    def _note(self, work: Work, result: ItemResult) -> None:
        """Note in the catalog what a worker has fetched."""
        for found in result.fetched:
            self._limit.succeeded()
            note(work.mounted, found)

    def _workers_threads(self) -> int:
        """Return how many threads all workers have.

        Raises:
            ClusterFailed: there was no worker for long, or there is no scheduler any more.
        """
        now = time.monotonic()
        if now - self._looked >= _LOOK:
            try:
                self._threads = sum(self._client.nthreads().values())
            except _GONE as error:
                raise ClusterFailed(f"the scheduler is gone: {error}") from error
            self._looked = time.monotonic()
        if self._threads:
            self._seen = now
        elif now - self._seen > _NO_WORKER:
            raise ClusterFailed(f"the cluster has had no worker for {_NO_WORKER:.0f} seconds")
        return self._threads

    def _end(self, left: Sequence[Future]) -> None:
        """Give up what is under way.

        A page that runs can't be ended from outside: it ends for want of slots.
        """
        from histfs.exporting.cluster_worker import end_run  # noqa: PLC0415

        with contextlib.suppress(*_GONE):
            self._client.cancel(left)
            self._client.run(end_run, self._settings.id, on_error="ignore")


class _Limit:
    """The limit on the requests of all workers.

    Args:
        client: of the cluster.
        connections: requests at once that the user allows.

    Attributes:
        name: of the semaphore.
        topic: under which workers report refusals.
    """

    def __init__(self, client: Client, connections: int) -> None:
        import distributed  # noqa: PLC0415

        run = uuid.uuid4().hex
        self.name, self.topic = f"histfs-limit-{run}", f"histfs-limit-{run}"
        self._connections = connections
        self._client = client
        self._semaphore = distributed.Semaphore(
            connections, self.name, scheduler_rpc=client.scheduler, loop=client.loop
        )
        self._semaphore.register()
        self._events: SimpleQueue[Mapping[str, float] | None] = SimpleQueue()
        client.subscribe_topic(self.topic, lambda event: self._events.put(event[1]))
        self._thread = threading.Thread(target=self._follow, name="cluster limit", daemon=True)
        self._thread.start()

    def succeeded(self) -> None:
        """Note that a request was answered."""
        self._events.put({"succeeded": 1})

    def close(self) -> None:
        """Give the leases back, and remove the limit."""
        self._events.put(None)
        self._thread.join(_CONNECT)
        with contextlib.suppress(*_GONE):
            self._client.unsubscribe_topic(self.topic)
            self._semaphore.close()

    def _follow(self) -> None:
        """Take leases, or give them back, so that as many are left as are allowed."""
        limit = AdaptiveLimit(self._connections, time.monotonic)
        # Refusals of requests that were sent before this moment say nothing new.
        lowered_at, taken = -1.0, 0
        while True:
            with contextlib.suppress(Empty):
                event = self._events.get(timeout=_STEP)
                if event is None:
                    break
                lowered_at = _learn(limit, event, lowered_at)
            try:
                while taken > max(0, self._connections - limit.allowed):
                    self._semaphore.release()
                    taken -= 1
                if taken < self._connections - limit.allowed:
                    taken += bool(self._semaphore.acquire(timeout=_STEP))
                    lowered_at = time.monotonic()
            except _GONE as error:
                log.warning("the limit on requests can't be changed any more: %s", error)
                return
        with contextlib.suppress(*_GONE):
            for _ in range(taken):
                self._semaphore.release()


def _learn(limit: AdaptiveLimit, event: Mapping[str, float], lowered_at: float) -> float:
    """Follow a report of a worker; return when the limit was last lowered."""
    if "stated" in event:
        limit.state_maximum(int(event["stated"]))
    elif "refused" in event:
        now = time.monotonic()
        if now - event["refused"] > lowered_at:
            limit.refused(limit.allowed, limit.epoch)
            return now
    else:
        limit.succeeded(limit.allowed, limit.epoch)
    return lowered_at


def _pages(works: Iterable[W]) -> Iterator[tuple[list[tuple[W, Order]], list[tuple[W, Outcome]]]]:
    """Yield pages of orders, each with the works that have none, as their details can't be had.

    The first pages are short: few items are spread over all workers, too.
    """
    rest, number = iter(works), 0
    while batch := list(islice(rest, min(_PAGE, _FIRST + number))):
        page: list[tuple[W, Order]] = []
        refused: list[tuple[W, Outcome]] = []
        for work in batch:
            try:
                # Fetched a short while ago; the workers have the limit on requests for themselves.
                known = work.mounted.catalog.known(work.item)
                order = order_of(work.mounted, work.item, work.old, work.there, known)
            except SourceError as error:
                refused.append((work, error))
            else:
                page.append((work, order))
        number += 1
        yield page, refused


def _run_settings(
    run: ClusterRun, settings: Settings, sources: Sequence[MountedSource], limit: _Limit
) -> RunSettings:
    """Return what the workers have to know of an export: no key."""
    from histfs.exporting.cluster_worker import RunSettings  # noqa: PLC0415

    options: dict[str, Any] = {
        "base_url": settings.base_url,
        # The user has allowed that already, or it is not needed.
        "insecure_http": True,
        "timeout": settings.timeout,
        "max_clip_size": settings.max_clip_size,
        "connections": settings.connections,
        "sources": settings.sources,
    }
    if settings.profile != DEFAULT_PROFILE:
        options["profile"] = settings.profile
    return RunSettings(
        id=uuid.uuid4().hex,
        destination=run.destination,
        accounts={each.name: each.account for each in sources},
        options=options,
        slot_timeout=run.slot_timeout,
        connections=settings.connections,
        semaphore=limit.name,
        topic=limit.topic,
        verify=run.verify,
    )


def _log_with_ours() -> None:
    """Have Dask log where histfs logs, and not to the terminal."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
