"""Who exports the items: the threads of this process, or the workers of a cluster.

Threads: a crew is used by one thread. That of this process has a `SingleFlight` of daemon threads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar

from histfs.core.errors import SourceError
from histfs.core.item import Item
from histfs.core.single_flight import SingleFlight
from histfs.exporting.destination import Destination
from histfs.exporting.item_export import ItemResult, carry_out, order_of
from histfs.exporting.manifest import Written
from histfs.exporting.recordings import LocalRecordings
from histfs.mounting import MountedSource


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """An item that is to be exported.

    Attributes:
        mounted: its source.
        item: the item.
        old: its objects of an earlier run, by kind.
        there: the sizes of the objects that are there, of all items of its month.
    """

    mounted: MountedSource
    item: Item
    old: Mapping[str, Written]
    there: Mapping[str, int]


W = TypeVar("W", bound=Work)
Outcome = ItemResult | SourceError


class Crew(Protocol):
    """Exports items, several at once."""

    def outcomes(self, works: Iterable[W]) -> Generator[tuple[W, Outcome], None, None]:
        """Yield each work with its result, or why it failed, as they end.

        When the generator is closed, what is under way is given up.

        Args:
            works: taken one by one, as there is room.

        Raises:
            DestinationFailed, NoSpace: the destination can't be used.
            CacheFailed: the catalog can't be read.
            ClusterFailed: there is no cluster any more.
        """


class LocalCrew:
    """The threads of this process. Implements `Crew`.

    Args:
        destination: where.
        threads: how many items are exported at once.
        max_size: bytes; larger audio is not fetched.
        verify: whether the objects that are there are read back.
    """

    def __init__(
        self, destination: Destination, threads: int, max_size: int, *, verify: bool
    ) -> None:
        self._destination = destination
        self._threads = threads
        self._max_size = max_size
        self._verify = verify

    def outcomes(self, works: Iterable[W]) -> Generator[tuple[W, Outcome], None, None]:
        """Yield each work with its result, or why it failed, as they end."""
        ended = _Ended[W]()
        with contextlib.closing(SingleFlight("export", self._threads)) as flights:
            for work in works:
                while len(ended.in_flight) >= self._threads:
                    yield ended.next()
                ended.add(work, flights.submit(object(), partial(self._export, work)))
            while ended.in_flight:
                yield ended.next()

    def _export(self, work: Work) -> ItemResult:
        order = order_of(work.mounted, work.item, work.old, work.there)
        recordings = LocalRecordings(work.mounted, self._max_size)
        return carry_out(order, self._destination, recordings, verify=self._verify)


class _Ended(Generic[W]):
    """What is under way, and ends in any order.

    Attributes:
        in_flight: each work, by its future.
    """

    def __init__(self) -> None:
        self.in_flight: dict[Future[ItemResult], W] = {}
        self._done: SimpleQueue[Future[ItemResult]] = SimpleQueue()

    def add(self, work: W, future: Future[ItemResult]) -> None:
        """Note what is under way."""
        self.in_flight[future] = work
        future.add_done_callback(self._done.put)

    def next(self) -> tuple[W, Outcome]:
        """Wait for the next one that ends."""
        future = self._done.get()
        work = self.in_flight.pop(future)
        try:
            return work, future.result()
        except SourceError as error:
            return work, error
