"""A catalog that is refreshed from a source in memory, with a clock that the test sets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.circuit_breaker import CircuitBreaker
from histfs.catalog.refresher import Refresher
from histfs.catalog.scanner import Scanner
from histfs.catalog.span_reader import SpanReader
from histfs.core.item import Record
from histfs.core.server_breaker import ServerBreaker
from histfs.core.single_flight import SingleFlight
from histfs.core.times import ALWAYS, Span
from histfs.core.waiting import Waiter
from histfs.sources.request_policies import ReportingSource
from tests.support.clock import Clock
from tests.support.memory import MemorySource, record

TTL = 30.0


class World:
    """A refresher and a scanner, with their source, store and clock.

    Args:
        path: the catalog file.
        source: lists the items; its page size is the one that the refresher expects.
        clock: shared by the worlds that share a file.
        rescan: seconds.
        idle: seconds of quiet before the scanner begins by itself.
    """

    def __init__(
        self,
        path: Path,
        source: MemorySource,
        clock: Clock | None = None,
        rescan: float = 0,
        idle: float = math.inf,
    ) -> None:
        self.source = source
        self.clock = clock or Clock()
        self._path = path
        self._rescan = rescan
        self._idle = idle
        self.mount()

    def mount(self) -> None:
        """Create all parts, with nothing in memory."""
        self.store = CatalogStore(self._path, self.clock)
        server = ServerBreaker(self.clock)
        self.breaker = CircuitBreaker(self.clock, server)
        self.flights = [SingleFlight("list", 4), SingleFlight("probe", 4)]
        self.reader = SpanReader(
            ReportingSource(self.source, server),
            self.store,
            self.breaker,
            self.clock,
            self.source.page_size,
            pause=lambda seconds: None,
        )
        self.scanner = Scanner(
            self.reader, self._path.with_name("scan.lock"), rescan=self._rescan, idle=self._idle
        )
        self.refresher = Refresher(
            self.reader,
            self.scanner,
            flights=self.flights[0],
            probes=self.flights[1],
            ttl=TTL,
        )

    def unmount(self) -> None:
        """Close all parts, once no thread writes any more."""
        self.scanner.close()
        for number, flights in enumerate(self.flights):
            # One task for each thread begins only when all earlier tasks have ended.
            for end in [flights.submit(("end", number, n), lambda: None) for n in range(4)]:
                end.result(10)
            flights.close()
        self.store.close()

    def remount(self) -> None:
        """Forget what is in memory."""
        self.unmount()
        self.mount()

    def contact(self) -> None:
        """Read the newest page, as a mount does when the catalog is not complete."""
        self.reader.read(ALWAYS).next()

    def later(self, seconds: float = TTL + 1) -> None:
        """Let time pass; what was fresh is stale."""
        self.clock.now += seconds

    def list(self, span: Span = ALWAYS, timeout: float = 10) -> list[str]:
        """List as a directory does: after the refresher has ensured the span."""
        self.refresher.ensure(span, Waiter(timeout))
        return self.known(span)

    def known(self, span: Span = ALWAYS) -> list[str]:
        """Return what is stored of a span, complete or not."""
        return [item.key for item in self.store.between(span)]

    def ensure_newest(self, *spans: Span) -> list[int | None]:
        """Return the dates of the newest items of spans, as years and months need them."""
        self.refresher.ensure_newest(spans, Waiter(10))
        return [self.store.newest(span) for span in spans]

    def covers(self, span: Span) -> bool:
        """Say whether a span is completely known."""
        return self.store.covers(span)

    def requests(self, action: Callable[[], object]) -> int:
        """Return how many list requests an action costs."""
        before = self.source.count("list")
        action()
        return self.source.count("list") - before


@contextmanager
def world_at(path: Path, source: MemorySource, **arguments: object) -> Iterator[World]:
    """Yield a world, and end its threads."""
    world = World(path, source, **arguments)
    try:
        yield world
    finally:
        source.recover()
        world.unmount()


def numbered(dates: Sequence[int]) -> list[Record]:
    """Return items that are named by their dates."""
    return [record(f"{date:04}", date) for date in dates]


def names(*dates: int) -> list[str]:
    """Return the names of `numbered` items of these dates."""
    return [f"{date:04}" for date in dates]
