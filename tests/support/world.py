"""A catalog that is kept fresh from a source in memory, with a clock that the test turns."""

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
from histfs.core.single_flight import SingleFlight
from histfs.core.times import ALWAYS, Span
from histfs.core.waiting import Waiter
from tests.support.clock import Clock
from tests.support.memory import MemorySource, record

TTL = 30.0


class World:
    """A refresher and a scanner, what they ask, where they keep what they learn, and their clock.

    Args:
        path: the catalog file.
        source: where items are listed; its page size is the one that the refresher reckons with.
        clock: shared by those who share a file.
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
        """Begin with nothing in memory."""
        self.store = CatalogStore(self._path, self.clock)
        self.breaker = CircuitBreaker(self.clock)
        self.flights = [SingleFlight("list", 4), SingleFlight("probe", 4)]
        self.reader = SpanReader(
            self.source,
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
        """Let go of all that is in memory, once nobody writes any more."""
        self.scanner.close()
        for number, flights in enumerate(self.flights):
            # One piece of work for each thread is only begun when all that came before has ended.
            for end in [flights.submit(("end", number, n), lambda: None) for n in range(4)]:
                end.result(10)
            flights.close()
        self.store.close()

    def remount(self) -> None:
        """Forget what is in memory."""
        self.unmount()
        self.mount()

    def contact(self) -> None:
        """Ask for the newest page, as a mount does when it doesn't know all."""
        self.reader.read(ALWAYS).next()

    def later(self, seconds: float = TTL + 1) -> None:
        """Let time go by; what was fresh is stale."""
        self.clock.now += seconds

    def list(self, span: Span = ALWAYS, timeout: float = 10) -> list[str]:
        """List as a directory does: only when the refresher has agreed."""
        self.refresher.ensure(span, Waiter(timeout))
        return self.known(span)

    def known(self, span: Span = ALWAYS) -> list[str]:
        """Return what is stored of a span, whether it is all or not."""
        return [item.key for item in self.store.between(span)]

    def ensure_newest(self, *spans: Span) -> list[int | None]:
        """Return the dates of the newest items of spans, as years and months ask for them."""
        self.refresher.ensure_newest(spans, Waiter(10))
        return [self.store.newest(span) for span in spans]

    def covers(self, span: Span) -> bool:
        """Say whether a span is completely known."""
        return self.store.coverage().cover(span)

    def requests(self, act: Callable[[], object]) -> int:
        """Return how many requests something costs."""
        before = self.source.count("list")
        act()
        return self.source.count("list") - before


@contextmanager
def world_at(path: Path, source: MemorySource, **arguments: object) -> Iterator[World]:
    """Lend a world that leaves no thread behind."""
    world = World(path, source, **arguments)
    try:
        yield world
    finally:
        source.recover()
        world.unmount()


def numbered(dates: Sequence[int]) -> list[Record]:
    """Make items that are called by their dates."""
    return [record(f"{date:04}", date) for date in dates]


def names(*dates: int) -> list[str]:
    """Return what `numbered` items of these dates are called."""
    return [f"{date:04}" for date in dates]
