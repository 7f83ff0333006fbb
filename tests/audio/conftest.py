from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from histfs.audio.audio_cache import AudioCache
from histfs.audio.disk_cache import DiskCache
from histfs.audio.download_scheduler import DownloadScheduler
from histfs.audio.reading_orders import ReadingOrders
from histfs.audio.size_registry import SizeRegistry
from histfs.audio.told_sizes import ToldSizes
from histfs.core.item import Item
from histfs.core.single_flight import SingleFlight
from histfs.core.sizes import Fingerprint, KnownSize, PastClip
from histfs.core.waiting import Waiter
from tests.support.eventually import eventually
from tests.support.memory import MemorySource, record

TIMEOUT = 10.0
PLENTY = 1 << 30
DATE = 1_714_650_306


class MemoryTable:
    """A `SizeTable` in memory.

    Attributes:
        listed: sizes that were known before the test.
        sizes: sizes that were stored by the registry.
        checksums: the same, SHA-256.
        error: what storing raises; None where it works.
        past: clips that were known before the test, by their items.
    """

    def __init__(self) -> None:
        self.listed: dict[str, int] = {}
        self.sizes: dict[str, int] = {}
        self.checksums: dict[str, bytes | None] = {}
        self.error: Exception | None = None
        self.past: list[PastClip] = []

    def fingerprint(self, key: str) -> Fingerprint | None:
        if key in self.sizes:
            return Fingerprint(self.sizes[key], self.checksums[key])
        return Fingerprint(self.listed[key], None) if key in self.listed else None

    def sizes_near(self, item: Item, number: int) -> list[KnownSize]:
        found = self.fingerprint(item.key)
        return [KnownSize(item.key, None if found is None else found.size)]

    def past_clips(self, number: int) -> list[PastClip]:
        return self.past[-number:]

    def forget_unverified(self) -> None:
        known = {key: size for key, size in self.sizes.items() if self.checksums[key] is not None}
        self.sizes, self.listed = known, {}

    def set_audio(self, key: str, size: int, sha256: bytes | None) -> None:
        if self.error is not None:
            raise self.error
        self.sizes[key], self.checksums[key] = size, sha256


@dataclass
class World:
    """An audio cache, and what it stands on.

    Attributes:
        invalidated: keys of the items that the cache has told the catalog to ask for again.
        extensions: the extensions that it has stored, by key.
    """

    source: MemorySource
    disk: DiskCache
    store: AudioCache
    table: MemoryTable
    invalidated: list[str] = field(default_factory=list)
    extensions: dict[str, str] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        """What the cache has stored of sizes."""
        return self.table.sizes

    @property
    def checksums(self) -> dict[str, bytes | None]:
        """The same, SHA-256."""
        return self.table.checksums

    def item(self, item_id: str = "a", size: int | None = None, date: int = DATE) -> Item:
        """Return an item as the catalog would; ``size`` is in the table then."""
        made = record(item_id, date)
        self.source.add(made)
        if size is not None:
            self.table.listed[made.item.key] = size
        return made.item

    def size(self, item: Item) -> int:
        """Return the size that stat shows."""
        return self.store.size(item, Waiter(TIMEOUT)).size

    def read(self, item: Item) -> bytes:
        """Open a clip, read all of it and close it; what was fetched is in its place then."""
        file = self.store.open(item, Waiter(TIMEOUT))
        try:
            return file.read(0, file.size, Waiter(TIMEOUT))
        finally:
            file.close()
            eventually(lambda: item.key not in self.store.fetching)

    def flush(self) -> None:
        """Wait until what was fetched is in its place."""
        eventually(lambda: not self.store.fetching)

    @property
    def fetched(self) -> int:
        """How often audio was fetched."""
        return self.source.count("audio")

    def kept(self) -> set[str]:
        """Return the keys of the clips on disk."""
        return {path.name for path in (self.disk.root / "audio").glob("*/*")}

    def unfinished(self) -> list[str]:
        """Return the names of the files in the making."""
        return os.listdir(self.disk.root / "incoming")


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    pools: list[DownloadScheduler | SingleFlight] = []

    def make(
        source: MemorySource | None = None,
        cap: int = PLENTY,
        exact: bool = False,
        connections: int = 4,
        ahead: int = 0,
        asked_ahead: int = 0,
        has_no_audio: Callable[[Item], bool] = lambda _: False,
        largest: int = PLENTY,
        clock: Callable[[], float] = time.monotonic,
    ) -> World:
        scheduler = DownloadScheduler(lambda: connections)
        pools.append(scheduler)
        source = MemorySource() if source is None else source
        table = MemoryTable()
        extensions: dict[str, str] = {}
        invalidated: list[str] = []
        disk = DiskCache(tmp_path / "cache", cap)
        sizes = SizeRegistry(table)
        pools.append(SingleFlight("size", connections))
        told = ToldSizes(
            source,
            sizes,
            flights=pools[-1],
            following=source.following,
            ahead=asked_ahead,
            clock=clock,
        )
        store = AudioCache(
            source,
            disk,
            scheduler,
            sizes,
            told,
            max_clip_size=largest,
            orders=ReadingOrders(source.following),
            prefetch_clips=ahead,
            prefetch_bytes=cap,
            set_extension=extensions.__setitem__,
            invalidate=lambda item: invalidated.append(item.key),
            has_no_audio=has_no_audio,
            exact=exact,
        )
        return World(source, disk, store, table, invalidated, extensions)

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
def world(make_world) -> World:
    return make_world()


class StepSource(MemorySource):
    """A source whose audio comes piece by piece, as the test lets it.

    Args:
        tries: what comes at each try, and at every later one what came at the last; an exception
            is raised in its place.
        length: what the stream says of its length.
        tells_sizes: as of `MemorySource`.
    """

    def __init__(
        self,
        *tries: list[bytes | Exception],
        length: int | None = None,
        tells_sizes: bool = False,
    ) -> None:
        super().__init__(tells_sizes=tells_sizes)
        self._tries = tries
        self._steps = threading.Semaphore(0)
        self.length = length
        self.throttled = False

    def go(self, steps: int = 1) -> None:
        """Let so many pieces come."""
        self._steps.release(steps)

    @contextlib.contextmanager
    def audio(self, item_id: str) -> Iterator[StepSource]:
        with super().audio(item_id):
            yield self

    def chunks(self) -> Iterator[bytes]:
        for piece in self._tries[min(self.count("audio"), len(self._tries)) - 1]:
            if not self._steps.acquire(timeout=TIMEOUT):
                raise AssertionError("the test did not release the next piece")
            if isinstance(piece, Exception):
                raise piece
            yield piece


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


_CAPABILITY_VERSION_3 = 0x20080522
# CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER.
_OVERRIDES = 1 << 1 | 1 << 2 | 1 << 3


@pytest.fixture
def bound_by_modes() -> Iterator[None]:
    """Let the modes of files count, even for root: this thread, and those that it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = _Header(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # twice effective, permitted, inheritable
    assert libc.capget(ctypes.byref(header), sets) == 0
    effective = sets[0]
    sets[0] &= ~_OVERRIDES
    assert libc.capset(ctypes.byref(header), sets) == 0
    yield
    sets[0] = effective
    assert libc.capset(ctypes.byref(header), sets) == 0
