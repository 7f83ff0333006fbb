"""An index and an audio store in memory, to see the tree and the views without the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from histfs.core.errors import NoSuchPath
from histfs.core.index import FacetValue, Listed
from histfs.core.item import Details, Facets, Item, Record
from histfs.core.nodes import BytesFile, OpenFile
from histfs.core.times import Span
from histfs.core.waiting import Waiter
from tests.support.memory import indented


class Asked(NamedTuple):
    """One question that may cost a request: the method's name and what it was asked of."""

    method: str
    spans: tuple[Span, ...]


class TableIndex:
    """A table of rows.

    Attributes:
        unknown: a span of which nothing is known; None when everything is.
        arriving: rows that become known when a span is asked for.
        error: what asking for a span raises.
        asked: the questions that may cost a request.
        reads: how often items were listed.
        on_complete: called when somebody asks what is complete.
        on_asked: called when a span was asked for, with success.
        on_read: called while items are listed.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.rows: dict[str, Record] = {}
        self.unknown: Span | None = None
        self.arriving: list[Record] = []
        self.error: Exception | None = None
        self.asked: list[Asked] = []
        self.reads = 0
        self.on_complete = lambda: None
        self.on_asked = lambda: None
        self.on_read = lambda: None
        self._changes: list[Span] = []
        self._forgotten: dict[str, Record] = {}
        self._found: dict[str, Sequence[Listed]] = {}
        self.add(*records)

    # What the test does

    def add(self, *records: Record) -> None:
        self.rows.update({record.item.key: record for record in records})
        self._changes += [_second(record.item) for record in records]

    def discard(self, key: str) -> None:
        """Take an item out, as somebody else would."""
        self._changes.append(_second(self.rows.pop(key).item))

    # The protocol

    @property
    def version(self) -> int:
        return len(self._changes)

    recent_version = version

    def unchanged(self, span: Span, since: int) -> bool:
        return not any(_overlap(span, changed) for changed in self._changes[since:])

    def ensure(self, span: Span, waiter: Waiter) -> None:
        self._ask("ensure", span)

    def settle(self, spans: Sequence[Span], waiter: Waiter) -> None:
        self._ask("settle", *spans)

    def doubt(self, item: Item) -> None:
        """Nothing to do: `ensure` asks in any case."""

    def complete(self, span: Span) -> bool:
        self.on_complete()
        return self.unknown is None or not _overlap(span, self.unknown)

    def settled(self, span: Span) -> bool:
        newest = self.newest(span)
        above = Span(span.start if newest is None else newest + 1, span.end)
        return self.unknown is None or not _overlap(above, self.unknown)

    def newest(self, span: Span) -> int | None:
        return max((item.date for item in self._items(span)), default=None)

    def between(self, span: Span) -> Iterator[Listed]:
        return self._list(self._items(span))

    def items(self, span: Span) -> Iterator[Item]:
        return iter(self._items(span))

    def facet_values(self, kind: str) -> Sequence[FacetValue]:
        found: dict[str, FacetValue] = {}
        for item in self._items():
            value, label = self.rows[item.key].facets[kind]
            oldest = found[value].oldest if value in found else item.date
            found[value] = FacetValue(value, label, oldest, item.date)
        return list(found.values())

    def having(self, kind: str, value: str) -> Iterator[Listed]:
        return self._list([i for i in self._items() if self.facets(i)[kind].value == value])

    def find(self, key: str, date: int) -> Item | None:
        found = self.rows[key].item if key in self.rows else None
        return found if found is not None and found.date == date else None

    def facets(self, item: Item) -> Facets:
        return self.rows[item.key].facets if item.key in self.rows else {}

    def details(self, item: Item) -> Details:
        record = self.rows.get(item.key) or self._forgotten.get(item.key)
        if record is None:
            raise NoSuchPath(item.key)
        raw = json.loads(record.raw)
        return Details(indented(raw), raw["text"])

    def known(self, item: Item) -> Details | None:
        return self.details(item)

    def full_revision(self, item: Item) -> int | None:
        return item.revision

    def full(self, item: Item, waiter: Waiter) -> Details:
        return self.details(item)

    def search(self, words: str, waiter: Waiter) -> None:
        self._ask("search")
        found = [i for i in self._items() if words in (self.details(i).text or "")]
        self._found[words] = list(self._list(found))

    def found(self, words: str) -> Sequence[Listed] | None:
        return self._found.get(words)

    def forget(self, item: Item) -> None:
        if item.key in self.rows:
            self._forgotten[item.key] = self.rows[item.key]
            self.discard(item.key)

    def _ask(self, method: str, *spans: Span) -> None:
        self.asked.append(Asked(method, spans))
        if self.error is not None:
            raise self.error
        self.add(*self.arriving)
        self.arriving, self.unknown = [], None
        self.on_asked()

    def _items(self, span: Span | None = None) -> list[Item]:
        items = [record.item for record in self.rows.values()]
        inside = [item for item in items if span is None or _overlap(span, _second(item))]
        return sorted(inside, key=lambda item: (item.date, item.key))

    def _list(self, items: Iterable[Item]) -> Iterator[Listed]:
        self.reads += 1
        listed = [Listed(item.date, item.key, item.slug) for item in items]
        self.on_read()
        return iter(listed)


def _second(item: Item) -> Span:
    return Span(item.date, item.date + 1)


def _overlap(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


class FakeAudio:
    """Audio that is always there.

    Attributes:
        opened: the keys of the clips that were opened.
    """

    def __init__(self) -> None:
        self.opened: list[str] = []

    def size(self, item: Item, waiter: Waiter) -> int:
        return item.estimate

    def ensure(self, item: Item, waiter: Waiter) -> None:
        """Nothing to do: the audio is in memory."""

    def secure(self, item: Item, waiter: Waiter) -> None:
        """Nothing to do: the audio is in memory."""

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        self.opened.append(item.key)
        return BytesFile(f"audio of {item.id}".encode())


class FakeArchive:
    """An archive that tells what was asked of it.

    Attributes:
        calls: what was asked, of which item, in order.
        errors: what a call raises, by its name.
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
    """A copy in such an archive."""

    archive: FakeArchive
    item: Item

    def deleted(self) -> None:
        self.archive.calls.append(("deleted", self.item.key))

    def discard(self) -> None:
        self.archive.calls.append(("discard", self.item.key))
