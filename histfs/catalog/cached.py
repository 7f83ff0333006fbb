"""A catalog in front of which the answers that every call on a path needs are kept in memory.

Threads: any number at once; `_lock` guards the cache and its epoch. An answer is kept with the
version of the catalog before it was looked up, and holds for as long as nothing has changed in the
span that it is about.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, TypeVar

from cachetools import LRUCache

from histfs.catalog.catalog import Catalog
from histfs.core.index import FacetValue, Listed
from histfs.core.item import Details, Facets, Item
from histfs.core.times import Span
from histfs.core.waiting import Waiter

T = TypeVar("T")

#: Answers that are kept, a few hundred bytes each.
_ANSWERS = 20_000


class CachedCatalog:
    """Implements `histfs.core.index.Index`.

    Args:
        catalog: gives the answers.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._answers: LRUCache[Hashable, tuple[Any, Span, int]] = LRUCache(_ANSWERS)
        self._epoch = 0

    @property
    def version(self) -> int:
        """A number that changes whenever what is known has changed."""
        return self._catalog.version

    @property
    def recent_version(self) -> int:
        """The same at less cost; another process's change may be a moment late."""
        return self._catalog.recent_version

    def unchanged(self, span: Span, since: int) -> bool:
        """Say whether what is known of a span is for certain what it was at a version."""
        return self._catalog.unchanged(span, since)

    def ensure(self, span: Span, waiter: Waiter) -> None:
        """See to it that all items of a span are known and fresh."""
        self._catalog.ensure(span, waiter)

    def ensure_newest(self, spans: Sequence[Span], waiter: Waiter) -> None:
        """See to it that the newest item of each of some spans is known."""
        self._catalog.ensure_newest(spans, waiter)

    def asked_after(self, span: Span, moment: float) -> bool:
        """Say whether all of a span was asked for after a moment, in seconds since the epoch."""
        return self._catalog.asked_after(span, moment)

    def complete(self, span: Span) -> bool:
        """Say whether all items of a span are known, fresh or not."""
        return self._kept(("complete", span), span, lambda: self._catalog.complete(span))

    def knows_newest(self, span: Span) -> bool:
        """Say whether the newest item of a span is known, fresh or not, or that it has none."""
        return self._kept(("knows_newest", span), span, lambda: self._catalog.knows_newest(span))

    def newest(self, span: Span) -> int | None:
        """Return the date of the newest item of a span."""
        return self._kept(("newest", span), span, lambda: self._catalog.newest(span))

    def between(self, span: Span) -> Iterator[Listed]:
        """Yield the items of a span, oldest first."""
        return self._catalog.between(span)

    def items(self, span: Span) -> Iterator[Item]:
        """Yield the items of a span with all that is known of them, oldest first."""
        return self._catalog.items(span)

    def facet_values(self, kind: str) -> Sequence[FacetValue]:
        """Return the values of a facet, in the order of their oldest items."""
        return self._catalog.facet_values(kind)

    def named_values(
        self, view: str, kind: str, nothing: str, *, rename: bool = False
    ) -> Mapping[str, FacetValue]:
        """Return the values of a facet by the names of their directories in a view."""
        return self._catalog.named_values(view, kind, nothing, rename=rename)

    def having(self, kind: str, value: str) -> Iterator[Listed]:
        """Yield the items that have a value of a facet, oldest first."""
        return self._catalog.having(kind, value)

    def secondary(self, kind: str, value: str) -> Set[str]:
        """Return the keys of the items that have a value of a facet, but not as the first one."""
        return self._catalog.secondary(kind, value)

    def find(self, key: str, date: int) -> Item | None:
        """Return the item with a key and a date."""
        about = Span(date, date + 1)
        kept, item = self._kept(("find", key), about, lambda: (date, self._catalog.find(key, date)))
        # Nearly always the same: a key with two dates is somebody's guess.
        return item if kept == date else self._catalog.find(key, date)

    def facets(self, item: Item) -> Facets:
        """Return the facets of an item."""
        question, about = ("facets", item.key), Span(item.date, item.date + 1)
        return self._kept(question, about, lambda: self._catalog.facets(item))

    def details(self, item: Item) -> Details:
        """Return the raw object and the text of an item."""
        return self._catalog.details(item)

    def known(self, item: Item) -> Details | None:
        """Return all details of an item, as far as they were fetched."""
        return self._catalog.known(item)

    def full_revision(self, item: Item) -> int | None:
        """Return a checksum of what `known` gives."""
        if not self._catalog.fetches:
            return self._catalog.full_revision(item)  # costs less than to look it up here
        question, about = ("full", item.key, item.revision), Span(item.date, item.date + 1)
        return self._kept(question, about, lambda: self._catalog.full_revision(item))

    def full(self, item: Item, waiter: Waiter) -> Details:
        """Return all details of an item, fetched where they are not known."""
        details = self._catalog.full(item, waiter)
        if self._catalog.fetches:
            # Another process may have fetched them. What was known before must not be told any
            # more: an open that finds another size than a stat has just told fails.
            with self._lock:
                self._epoch += 1
                self._answers.pop(("full", item.key, item.revision), None)
        return details

    def search(self, words: str, waiter: Waiter) -> None:
        """Find the items that match words."""
        self._catalog.search(words, waiter)

    def found(self, words: str) -> Sequence[Listed] | None:
        """Return what a search found a moment ago."""
        return self._catalog.found(words)

    def forget(self, item: Item) -> None:
        """Take a deleted item out."""
        self._catalog.forget(item)

    def invalidate(self, item: Item) -> None:
        """Have an item's time asked for again, as it may not be there any more."""
        self._catalog.invalidate(item)

    def set_extension(self, key: str, extension: str) -> None:
        """Keep the extension of an item's audio file, as its bytes tell."""
        self._catalog.set_extension(key, extension)
        self._learn(key, lambda item: replace(item, extension=extension))

    def _learn(self, key: str, learnt: Callable[[Item], Item]) -> None:
        """Change an item that is kept; that it has changed is no change of the index."""
        question = "find", key
        with self._lock:
            # Whoever is asking just now may get an answer from before.
            self._epoch += 1
            if question in self._answers:
                (date, item), about, version = self._answers[question]
                self._answers[question] = (date, item and learnt(item)), about, version

    def _kept(self, question: Hashable, about: Span, ask: Callable[[], T]) -> T:
        """Return an answer that was kept, or ask and keep it."""
        version = self._catalog.recent_version
        with self._lock:
            epoch = self._epoch
            kept = self._answers.get(question)
        if kept is not None:
            answer, span, since = kept
            if since == version:
                return answer  # type: ignore[no-any-return]
            if self._catalog.unchanged(span, since):
                with self._lock:
                    if self._epoch == epoch:
                        self._answers[question] = (answer, span, version)
                return answer  # type: ignore[no-any-return]
        answer = ask()
        with self._lock:
            if self._epoch == epoch:
                self._answers[question] = (answer, about, version)
        return answer
