"""An index in memory, made of records."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set

from histfs.core.errors import NoSuchPath
from histfs.core.index import SEARCH_LIMIT, FacetValue, Listed
from histfs.core.item import Details, Facets, Item, Record
from histfs.core.names import Labelled, choose_name, folded, is_name_of
from histfs.core.times import ALWAYS, Span
from histfs.core.waiting import Waiter
from histfs.testing.sample_items import describe_sample


class MemoryIndex:
    """Implements `histfs.core.index.Index`. All items are known, except those of `unknown`.

    Threads: any number may read; one at a time may change it. `_naming` guards the names of
    directories.

    Args:
        records: the items, in any order.
        describe: parses the details from a raw object (`Source.describe`).
        fetch: returns the full details of an item, for a source that lists summaries; None for a
            source that lists all there is.

    Attributes:
        rows: the records by the keys of their items.
        unknown: a span whose items are unknown until the next call that may cost a request; None
            for no span.
        arriving: records that become known by that call.
        error: the error that such calls raise; None if they succeed.
    """

    def __init__(
        self,
        records: Iterable[Record] = (),
        describe: Callable[[bytes], Details] = describe_sample,
        fetch: Callable[[Item], Details] | None = None,
    ) -> None:
        self.rows: dict[str, Record] = {}
        self.unknown: Span | None = None
        self.arriving: list[Record] = []
        self.error: Exception | None = None
        self._describe = describe
        self._fetch = fetch
        self._fetched: dict[str, Details] = {}
        self._forgotten: dict[str, Record] = {}
        self._found: dict[str, Sequence[Listed]] = {}
        self._changes: list[Span] = []
        self._naming = threading.Lock()
        self._directories: dict[tuple[str, str], dict[str, str]] = {}
        self._taken: dict[tuple[str, str], dict[str, str]] = {}
        self.add(*records)

    # For tests

    def add(self, *records: Record) -> None:
        """Add or replace items."""
        self.rows.update({record.item.key: record for record in records})
        self._changes += [_second(record.item) for record in records]

    def discard(self, key: str) -> None:
        """Remove an item, as if it had been deleted elsewhere."""
        self._changes.append(_second(self.rows.pop(key).item))

    # The protocol

    @property
    def version(self) -> int:
        """The number of changes."""
        return len(self._changes)

    @property
    def recent_version(self) -> int:
        """The number of changes."""
        return self.version

    def unchanged(self, span: Span, since: int) -> bool:
        """Say whether no item of a span has changed since a version."""
        return not any(_overlap(span, changed) for changed in self._changes[since:])

    def ensure(self, span: Span, waiter: Waiter) -> None:
        """Make everything known."""
        self._ask("ensure", span)

    def ensure_newest(self, spans: Sequence[Span], waiter: Waiter) -> None:
        """Make everything known."""
        self._ask("ensure_newest", *spans)

    def asked_after(self, span: Span, moment: float) -> bool:
        """Say whether nothing of a span is unknown: nothing here is ever stale."""
        return self.complete(span)

    def mark_stale(self, span: Span) -> None:
        """Do nothing: nothing here is ever stale."""

    def complete(self, span: Span) -> bool:
        """Say whether nothing of a span is unknown."""
        return self.unknown is None or not _overlap(span, self.unknown)

    def knows_newest(self, span: Span) -> bool:
        """Say whether nothing is unknown from the newest item of a span on."""
        newest = self.newest(span)
        above = Span(span.start if newest is None else newest + 1, span.end)
        return self.unknown is None or not _overlap(above, self.unknown)

    def newest(self, span: Span) -> int | None:
        """Return the date of the newest item of a span."""
        return max((item.date for item in self._items(span)), default=None)

    def between(self, span: Span) -> Iterator[Listed]:
        """Yield the items of a span, oldest first."""
        return self._list(self._items(span))

    def items(self, span: Span) -> Iterator[Item]:
        """Yield the items of a span, oldest first."""
        return iter(self._items(span))

    def facet_values(self, kind: str) -> Sequence[FacetValue]:
        """Return the values of a facet, in the order of their oldest items."""
        found: dict[str, FacetValue] = {}
        for item in self._items():
            for value, label in self.facets(item).get(kind, ()):
                oldest = found[value].oldest if value in found else item.date
                found[value] = FacetValue(value, label, oldest, item.date)
        return sorted(found.values(), key=lambda value: (value.oldest, value.value))

    def named_values(
        self, view: str, kind: str, nothing: str, *, rename: bool = False
    ) -> Mapping[str, FacetValue]:
        """Return the values of a facet by the names of their directories in a view."""
        with self._naming:
            before = self._directories.get((view, kind), {})
            taken = self._taken.setdefault((view, kind), {})
            found = {}
            for value in self.facet_values(kind):
                labelled = Labelled(value.value, value.label)
                name = before.get(value.value)
                if name is None or (rename and not is_name_of(name, labelled, nothing)):
                    name = choose_name(labelled, nothing, _usable(taken, value.value))
                    taken[folded(name)] = value.value
                    self._changes += [ALWAYS] * (value.value in before)
                found[name] = value
            self._directories[view, kind] = {value.value: name for name, value in found.items()}
            return found

    def having(self, kind: str, value: str) -> Iterator[Listed]:
        """Yield the items that have a value of a facet, oldest first."""
        return self._list([item for item in self._items() if value in self._values(item, kind)])

    def secondary(self, kind: str, value: str) -> Set[str]:
        """Return the keys of the items that have a value of a facet, but not as their first."""
        return {item.key for item in self._items() if value in self._values(item, kind)[1:]}

    def find(self, key: str, date: int) -> Item | None:
        """Return the item with a key and a date."""
        found = self.rows[key].item if key in self.rows else None
        return found if found is not None and found.date == date else None

    def facets(self, item: Item) -> Facets:
        """Return the facets of an item."""
        return self.rows[item.key].facets if item.key in self.rows else {}

    def details(self, item: Item) -> Details:
        """Return the details of an item as it was listed."""
        record = self.rows.get(item.key) or self._forgotten.get(item.key)
        if record is None:
            raise NoSuchPath(item.key)
        return self._describe(record.raw)

    def known(self, item: Item) -> Details | None:
        """Return the full details of an item; None if they were never fetched."""
        return self.details(item) if self._fetch is None else self._fetched.get(item.key)

    def full_revision(self, item: Item) -> int | None:
        """Return a checksum of what `known` returns; None if that is None."""
        if self._fetch is None:
            return item.revision
        known = self.known(item)
        return None if known is None else zlib.crc32(known.raw)

    def full(self, item: Item, waiter: Waiter) -> Details:
        """Return the full details of an item; fetch them if they are unknown."""
        listed = self.details(item)
        if self._fetch is None:
            return listed
        if item.key not in self._fetched:
            if self.error is not None:
                raise self.error
            self._fetched[item.key] = self._fetch(item)
        return self._fetched[item.key]

    def search(self, words: str, waiter: Waiter) -> None:
        """Find the items that have all of some words."""
        self._ask("search")
        wanted = words.lower().split()
        found = [
            item
            for item in self._items()
            if all(word in (self.details(item).text or "").lower() for word in wanted)
        ]
        self._found[words] = list(self._list(found))[-SEARCH_LIMIT - 1 :]

    def found(self, words: str) -> Sequence[Listed] | None:
        """Return the hits of a search; None if there was none."""
        return self._found.get(words)

    def invalidate(self, item: Item) -> None:
        """Do nothing: nothing here is ever stale."""

    def forget(self, item: Item) -> None:
        """Remove a deleted item; its details stay readable."""
        if item.key in self.rows:
            self._forgotten[item.key] = self.rows[item.key]
            self.discard(item.key)

    def _ask(self, method: str, *spans: Span) -> None:
        """Make everything known."""
        if self.error is not None:
            raise self.error
        self.add(*self.arriving)
        self.arriving, self.unknown = [], None

    def _values(self, item: Item, kind: str) -> list[str]:
        return [labelled.value for labelled in self.facets(item).get(kind, ())]

    def _items(self, span: Span | None = None) -> list[Item]:
        items = [record.item for record in self.rows.values()]
        inside = [item for item in items if span is None or span.holds(item.date)]
        return sorted(inside, key=lambda item: (item.date, item.key))

    def _list(self, items: Iterable[Item]) -> Iterator[Listed]:
        return iter([Listed(item.date, item.key, item.slug) for item in items])


def _usable(taken: Mapping[str, str], value: str) -> Callable[[str], bool]:
    return lambda name: taken.get(folded(name), value) == value


def _second(item: Item) -> Span:
    return Span(item.date, item.date + 1)


def _overlap(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end
