"""An index and an audio store in memory, to see the tree and the views without the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from histfs.core.errors import NoSuchPath
from histfs.core.index import FacetValue
from histfs.core.item import Details, Facets, Item, Record
from histfs.core.nodes import BytesFile, OpenFile
from histfs.core.times import Span
from histfs.core.waiting import Waiter


class TableIndex:
    """A table of rows.

    Attributes:
        known: whether every span is completely known.
        arriving: rows that become known when a span is asked for.
        error: what asking for a span raises.
        asked: the spans that were asked for.
        on_complete: called when somebody asks what is complete.
        on_ensured: called when a span was asked for, with success.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.rows: dict[str, Record] = {}
        self.version = 0
        self.known = True
        self.arriving: list[Record] = []
        self.error: Exception | None = None
        self.asked: list[Span] = []
        self.on_complete = lambda: None
        self.on_ensured = lambda: None
        self.add(*records)

    def add(self, *records: Record) -> None:
        self.rows.update({record.item.key: record for record in records})
        self.version += 1

    def ensure(self, span: Span, waiter: Waiter) -> None:
        self.asked.append(span)
        if self.error is not None:
            raise self.error
        self.add(*self.arriving)
        self.arriving, self.known = [], True
        self.on_ensured()

    def complete(self, span: Span) -> bool:
        self.on_complete()
        return self.known

    def newest(self, span: Span) -> int | None:
        return max((item.date for item in self.between(span)), default=None)

    def between(self, span: Span) -> Sequence[Item]:
        return [item for item in self._items() if span.start <= item.date < span.end]

    def facet_values(self, kind: str) -> Sequence[FacetValue]:
        found: dict[str, FacetValue] = {}
        for item in self._items():
            value, label = self.rows[item.key].facets[kind]
            oldest = found[value].oldest if value in found else item.date
            found[value] = FacetValue(value, label, oldest, item.date)
        return list(found.values())

    def having(self, kind: str, value: str) -> Sequence[Item]:
        return [item for item in self._items() if self.facets(item)[kind].value == value]

    def find(self, key: str) -> Item | None:
        return self.rows[key].item if key in self.rows else None

    def facets(self, item: Item) -> Facets:
        return self.rows[item.key].facets if item.key in self.rows else {}

    def details(self, item: Item) -> Details:
        if item.key not in self.rows:
            raise NoSuchPath(item.key)
        raw = self.rows[item.key].raw
        return Details(raw, raw["text"])

    def forget(self, item: Item) -> None:
        self.rows.pop(item.key, None)
        self.version += 1

    def _items(self) -> list[Item]:
        return sorted((r.item for r in self.rows.values()), key=lambda item: (item.date, item.key))


class FakeAudio:
    """Audio that is always there.

    Attributes:
        opened: the keys of the clips that were opened.
    """

    def __init__(self) -> None:
        self.opened: list[str] = []

    def size(self, item: Item, waiter: Waiter) -> int:
        return item.estimate

    def secure(self, item: Item, waiter: Waiter) -> None:
        """Nothing to do: the audio is in memory."""

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        self.opened.append(item.key)
        return BytesFile(f"audio of {item.id}".encode())
