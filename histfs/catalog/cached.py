"""A catalog in front of which the answers that every call on a path needs are kept in memory.

Threads: any number at once; `_lock` guards the cache, its version and its epoch. An answer is kept
only if nothing has changed while it was looked up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from cachetools import LRUCache

from histfs.catalog.catalog import Catalog
from histfs.core.index import FacetValue
from histfs.core.item import Details, Facets, Item
from histfs.core.times import Span
from histfs.core.waiting import Waiter

T = TypeVar("T")

#: Answers that are kept, a few hundred bytes each.
_ANSWERS = 20_000
_NONE_YET = object()


class CachedCatalog:
    """Implements `histfs.core.index.Index`.

    Args:
        catalog: gives the answers.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._answers: LRUCache[Hashable, Any] = LRUCache(_ANSWERS)
        self._version = -1
        self._epoch = 0

    @property
    def version(self) -> int:
        """A number that changes whenever what is known has changed."""
        return self._catalog.version

    def ensure(self, span: Span, waiter: Waiter) -> None:
        """See to it that all items of a span are known and fresh."""
        self._catalog.ensure(span, waiter)

    def complete(self, span: Span) -> bool:
        """Say whether all items of a span are known, fresh or not."""
        return self._kept(("complete", span), lambda: self._catalog.complete(span))

    def newest(self, span: Span) -> int | None:
        """Return the date of the newest item of a span."""
        return self._kept(("newest", span), lambda: self._catalog.newest(span))

    def between(self, span: Span) -> Sequence[Item]:
        """Return the items of a span, oldest first."""
        return self._catalog.between(span)

    def facet_values(self, kind: str) -> Sequence[FacetValue]:
        """Return the values of a facet, in the order of their oldest items."""
        return self._catalog.facet_values(kind)

    def having(self, kind: str, value: str) -> Sequence[Item]:
        """Return the items that have a value of a facet, oldest first."""
        return self._catalog.having(kind, value)

    def find(self, key: str) -> Item | None:
        """Return the item with a key."""
        return self._kept(("find", key), lambda: self._catalog.find(key))

    def facets(self, item: Item) -> Facets:
        """Return the facets of an item."""
        return self._kept(("facets", item.key), lambda: self._catalog.facets(item))

    def details(self, item: Item) -> Details:
        """Return the raw object and the text of an item."""
        return self._catalog.details(item)

    def forget(self, item: Item) -> None:
        """Take a deleted item out."""
        self._catalog.forget(item)

    def set_size(self, key: str, size: int) -> None:
        """Keep the exact size of an item's audio, in bytes."""
        self._catalog.set_size(key, size)
        with self._lock:
            self._epoch += 1
            self._answers.pop(("find", key), None)

    def _kept(self, question: Hashable, ask: Callable[[], T]) -> T:
        version = self._catalog.recent_version
        with self._lock:
            if version != self._version:
                self._answers.clear()
                self._version = version
            epoch = self._epoch
            answer: Any = self._answers.get(question, _NONE_YET)
        if answer is not _NONE_YET:
            return answer  # type: ignore[no-any-return]
        answer = ask()
        with self._lock:
            if (self._version, self._epoch) == (version, epoch):
                self._answers[question] = answer
        return answer  # type: ignore[no-any-return]
