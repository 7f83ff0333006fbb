from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from histfs.core.deletion import Deletions
from histfs.core.file_context import FileContext
from histfs.core.files import AudioFile, MetaFile, TextFile
from histfs.core.filesystem import UnionFilesystem
from histfs.core.item import Record
from histfs.core.listed_directories import ListedDirectories
from histfs.core.single_flight import SingleFlight
from histfs.core.times import Zone
from histfs.core.tree import Tree
from histfs.core.views import ByDate, ByVoice, View
from histfs.core.waiting import Waiter
from tests.core.fakes import FakeArchive, FakeAudio, TableIndex
from tests.support.clock import Clock
from tests.support.memory import MemorySource

BORN = 1_000_000_000
STATUS = b"fine\n"


@dataclass
class World:
    """A tree with its index, source, audio store and archive in memory."""

    index: TableIndex
    source: MemorySource
    flights: SingleFlight
    links: bool
    zone: Zone
    views: Sequence[Callable[[Zone], View]] = (ByDate, ByVoice)
    clock: Clock = field(default_factory=Clock)
    audio: FakeAudio = field(default_factory=FakeAudio)
    archive: FakeArchive = field(default_factory=FakeArchive)
    listed: ListedDirectories = field(default_factory=ListedDirectories)

    def __post_init__(self) -> None:
        context = FileContext(self.source.traits, self.index, self.audio)
        tree = Tree(
            index=self.index,
            deletions=Deletions(self.source, self.index, self.archive, self.flights, self.clock),
            views=[view(self.zone) for view in self.views],
            files=[kind(context) for kind in (MetaFile, TextFile, AudioFile)],
            zone=self.zone,
            links=self.links,
            listings={},
            born=BORN,
            listed=self.listed,
        )
        self.tree = UnionFilesystem(tree, {}, born=BORN, status=lambda: STATUS)

    def names(self, path: str) -> list[str]:
        return [entry.name for entry in self.tree.listdir(path, Waiter(5))]

    def stat(self, path: str):
        return self.tree.stat(path, Waiter(5))

    def read(self, path: str) -> bytes:
        _, file = self.tree.open(path, Waiter(5))
        return file.read(0, 1 << 20, Waiter(5))

    def unlink(self, path: str) -> None:
        self.tree.unlink(path, Waiter(5))

    def rmdir(self, path: str) -> None:
        self.tree.rmdir(path, Waiter(5))

    def walk(self, path: str = "") -> Iterator[str]:
        """Yield every path below a directory; links are not followed."""
        for entry in self.tree.listdir(path, Waiter(5)):
            below = f"{path}/{entry.name}"
            yield below
            if entry.kind == 0o040000:
                yield from self.walk(below)


@pytest.fixture
def make_world() -> Iterator[Callable[..., World]]:
    pools = []

    def make(*records: Record, links: bool = True, zone: str | None = "UTC", **given: Any) -> World:
        pools.append(SingleFlight("delete", 4))
        index, source = TableIndex(records), MemorySource(records)
        return World(index, source, pools[-1], links, Zone(zone), **given)

    yield make
    for pool in pools:
        pool.close()
