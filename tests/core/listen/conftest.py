"""A source in memory with its folders in ``listen``, by voice and by month."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from histfs.core.captions import TimedWord
from histfs.core.deletion import Deletions
from histfs.core.file_context import FileContext
from histfs.core.files import AudioFile, MetaFile, Rendered
from histfs.core.filesystem import Subtree, UnionFilesystem
from histfs.core.item import Record
from histfs.core.listed_directories import ListedDirectories
from histfs.core.listen import (
    PREFIX,
    ClipFiles,
    ClipNames,
    ContentCache,
    Learnt,
    Library,
    ListenFolder,
    ListenRoot,
    Said,
    Spoken,
    TagSource,
)
from histfs.core.single_flight import SingleFlight
from histfs.core.times import Zone
from histfs.core.tree import Tree
from histfs.core.views import ByDate, ByMonth, ByVoice
from histfs.core.waiting import Waiter
from tests.core.fakes import FakeArchive, FakeAudio, TableIndex
from tests.support.clock import Clock
from tests.support.memory import MemorySource

BORN = 1_000_000_000


class Captions(Rendered):
    """Stands for any file beside the audio, with a name that begins as that of the audio."""

    name = f"{PREFIX}srt"

    def render(self, details):
        return f"1\n{details.text}\n".encode()


@dataclass
class Listened:
    """The root of an account with its folder ``listen``."""

    index: TableIndex
    audio: FakeAudio
    names: ClipNames
    root: UnionFilesystem
    clock: Clock
    listed: ListedDirectories

    def ls(self, path: str) -> list[str]:
        return [entry.name for entry in self.root.listdir(path, Waiter(5))]

    def stat(self, path: str):
        return self.root.stat(path, Waiter(5))

    def read(self, path: str) -> bytes:
        attributes, file = self.root.open(path, Waiter(5))
        content = file.read(0, 1 << 20, Waiter(5))
        assert len(content) == attributes.size == file.size
        return content


@pytest.fixture
def listened() -> Callable[..., Listened]:
    pools = []

    def make(
        *records: Record,
        zone: str = "UTC",
        tags: bool = False,
        seconds: float | None = None,
        links: int = 2,
        words: Sequence[TimedWord] = (),
        known: Callable[[], None] = lambda: None,
    ) -> Listened:
        pools.append(SingleFlight("delete", 1))
        index, source, audio, here = (
            TableIndex(records),
            MemorySource(records),
            FakeAudio(),
            Zone(zone),
        )
        clock = Clock()
        context = FileContext(source.traits, index, audio)
        tree = Tree(
            index=index,
            deletions=Deletions(source, index, FakeArchive(), pools[-1]),
            views=[ByDate(here)],
            files=[MetaFile(context), Captions(context), AudioFile(context)],
            zone=here,
            links=True,
            listings={},
            born=BORN,
            names_elsewhere=lambda node: links if node.name.startswith(PREFIX) else 0,
        )
        names = ClipNames(index, here, lambda item: Spoken(index.details(item).text, seconds))
        source_of_tags = None
        if tags:
            source_of_tags = TagSource(
                index, names, here, lambda item: Said(index.details(item).text or "", words)
            )
        listed = ListedDirectories()
        library = Library(
            files=ClipFiles(tree, index, names, source_of_tags, 2),
            contents=ContentCache(index, {}, lambda: Learnt(0, len(audio.opened)), clock),
            check=lambda _: known(),
            born=BORN,
            listed=listed,
        )
        folders = {
            view.name: Subtree(ListenFolder(library, view, (view.name,)))
            for view in (ByVoice(here), ByMonth(here))
        }
        listen = Subtree(ListenRoot(folders, born=BORN, above=("listen",)), is_listed=False)
        root = UnionFilesystem(tree, {"listen": listen}, born=BORN)
        return Listened(index, audio, names, root, clock, listed)

    yield make
    for pool in pools:
        pool.close()
