"""An index, an audio store and an archive in memory, to test the tree and the views alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from histfs.core.index import Listed
from histfs.core.item import Item, Record
from histfs.core.nodes import OpenFile
from histfs.core.times import Span
from histfs.core.waiting import Waiter
from histfs.testing import MemoryAudio, MemoryIndex
from tests.support.memory import MemorySource


class IndexCall(NamedTuple):
    """One call of the index that may cost a request: the method's name and the spans."""

    method: str
    spans: tuple[Span, ...]


class TableIndex(MemoryIndex):
    """An index in memory that records its calls.

    Attributes:
        asked: the calls that may cost a request.
        reads: the number of times that items were listed.
        on_complete: called by `complete`.
        on_asked: called when a call that may cost a request has succeeded.
        on_read: called while items are listed.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        super().__init__(records, MemorySource().describe)
        self.asked: list[IndexCall] = []
        self.reads = 0
        self.on_complete = lambda: None
        self.on_asked = lambda: None
        self.on_read = lambda: None

    def complete(self, span: Span) -> bool:
        self.on_complete()
        return super().complete(span)

    def _ask(self, method: str, *spans: Span) -> None:
        self.asked.append(IndexCall(method, spans))
        super()._ask(method, *spans)
        self.on_asked()

    def _list(self, items: Iterable[Item]) -> Iterator[Listed]:
        self.reads += 1
        listed = super()._list(items)
        self.on_read()
        return listed


class FakeAudio(MemoryAudio):
    """An audio store whose clips are always cached.

    Attributes:
        opened: the keys of the clips that were opened.
        clips: their bytes by the id of the item; ``audio of ID`` for any other.
    """

    def __init__(self) -> None:
        self.clips: dict[str, bytes] = {}
        super().__init__(self.clips)
        self.opened: list[str] = []

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        self.opened.append(item.key)
        return super().open(item, waiter)


class FakeArchive:
    """An archive that records its calls.

    Attributes:
        calls: the method and the item's key of each call, in order.
        errors: the error that a method raises, by its name.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.errors: dict[str, Exception] = {}

    def prepare(self, item: Item, waiter: Waiter) -> None:
        self._called("prepare", item)

    def keep(self, item: Item) -> FakeCopy:
        self._called("keep", item)
        return FakeCopy(self, item)

    def _called(self, name: str, item: Item) -> None:
        self.calls.append((name, item.key))
        if name in self.errors:
            raise self.errors[name]


class FakeCopy(NamedTuple):
    """A copy in a `FakeArchive`."""

    archive: FakeArchive
    item: Item

    def deleted(self) -> None:
        self.archive.calls.append(("deleted", self.item.key))

    def discard(self) -> None:
        self.archive.calls.append(("discard", self.item.key))

    def undecided(self) -> str:
        self.archive.calls.append(("undecided", self.item.key))
        return "the trash"
