"""The catalog as the core's `Index`: the store, and the refresher that keeps it fresh.

Every call on a path needs a few answers, which are cached in memory (`AnswerCache`). An answer is
cached with the catalog's version from before its lookup, and holds for as long as nothing in the
span that it is about has changed since.

Threads: any number at once. `_lock` guards `_forgotten`, and `_details_lock` the details; the
answers have a lock of their own. None of them is held while the store or the network is used, and
none while another one is taken.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from cachetools import LRUCache, TTLCache

from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.details_fetcher import DetailsFetcher
from histfs.catalog.refresher import Refresher
from histfs.catalog.search_service import SearchService
from histfs.core.deletion import TOMBSTONE_TTL
from histfs.core.errors import NoSuchPath
from histfs.core.index import Listed
from histfs.core.item import Details, Facets, Item
from histfs.core.times import Span
from histfs.core.waiting import Waiter

T = TypeVar("T")

#: Cached answers, a few hundred bytes each.
_ANSWERS = 20_000
#: Bytes of raw objects whose details are cached: rsync looks at the files of a thousand items
#: before it opens those of the first one.
_DETAILS = 4 << 20
#: Deleted items whose details are kept: some 16 MB.
_FORGOTTEN = 1024

#: An item as it is listed: its key, date and revision.
_Version = tuple[str, int, int]


class AnswerCache:
    """Caches answers by key, the least recently used ones are evicted.

    `_lock` guards the cache and its epoch; it is not held during a lookup.

    Args:
        store: says what has changed since a version.
    """

    def __init__(self, store: CatalogStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._answers: LRUCache[Hashable, tuple[Any, Span, int]] = LRUCache(_ANSWERS)
        # Incremented by `update` and `discard`: a lookup that began before is not cached.
        self._epoch = 0

    def get(self, key: Hashable, span: Span, lookup: Callable[[], T]) -> T:
        """Return a cached answer, or look it up and cache it.

        Args:
            key: identifies the question.
            span: only a change within it can change the answer.
            lookup: returns the answer.
        """
        version = self._store.recent_version
        with self._lock:
            epoch = self._epoch
            cached = self._answers.get(key)
        if cached is not None:
            answer, cached_span, since = cached
            if since == version:
                return answer  # type: ignore[no-any-return]
            if self._store.unchanged(cached_span, since):
                self._put(key, (answer, cached_span, version), epoch)
                return answer  # type: ignore[no-any-return]
        answer = lookup()
        self._put(key, (answer, span, version), epoch)
        return answer

    def update(self, key: Hashable, change: Callable[[Any], Any]) -> None:
        """Change an answer if it is cached; for what changes without a new version."""
        with self._lock:
            self._epoch += 1
            if key in self._answers:
                answer, span, version = self._answers[key]
                self._answers[key] = change(answer), span, version

    def discard(self, key: Hashable) -> None:
        """Have an answer looked up again."""
        with self._lock:
            self._epoch += 1
            self._answers.pop(key, None)

    def _put(self, key: Hashable, entry: tuple[Any, Span, int], epoch: int) -> None:
        with self._lock:
            if self._epoch == epoch:
                self._answers[key] = entry


class Catalog:
    """Implements `histfs.core.index.Index`, which describes the methods.

    Args:
        store: the items and the coverage.
        refresher: fetches what is unknown or stale.
        describe: reads the details out of a raw object (`Source.describe`).
        fetcher: fetches what the source does not list; None where it lists everything.
        searcher: finds items by their words; None for a source that has no such view.
    """

    def __init__(
        self,
        store: CatalogStore,
        refresher: Refresher,
        describe: Callable[[bytes], Details],
        fetcher: DetailsFetcher | None = None,
        searcher: SearchService | None = None,
    ) -> None:
        self._store = store
        self._refresher = refresher
        self._describe = describe
        self._fetcher = fetcher
        self._searcher = searcher
        self._answers = AnswerCache(store)
        self._details: LRUCache[_Version, Details] = LRUCache(
            _DETAILS, lambda details: len(details.raw)
        )
        self._details_lock = threading.Lock()
        #: Another number after an extension was stored; two at once may count as one.
        self.extensions_learnt = 0
        self._lock = threading.Lock()
        self._forgotten: TTLCache[str, tuple[Details, Details | None]] = TTLCache(
            _FORGOTTEN, TOMBSTONE_TTL
        )
        # Methods of `Index` that are the store's or the refresher's own.
        self.unchanged = store.unchanged
        self.between = store.between
        self.items = store.items
        self.facet_values = store.facet_values
        self.named_values = store.named_values
        self.having = store.having
        self.secondary = store.secondary
        self.ensure = refresher.ensure
        self.ensure_newest = refresher.ensure_newest
        self.asked_after = refresher.asked_after
        self.mark_stale = store.mark_stale

    @property
    def version(self) -> int:
        """A number that changes whenever the catalog has changed."""
        return self._store.version

    @property
    def recent_version(self) -> int:
        """The same at less cost; another process's change may be a moment late."""
        return self._store.recent_version

    def complete(self, span: Span) -> bool:
        """Say whether all items of a span are known, fresh or not."""
        return self._answers.get(("complete", span), span, lambda: self._store.covers(span))

    def knows_newest(self, span: Span) -> bool:
        """Say whether the newest item of a span is known, fresh or not, or that it has none."""
        return self._answers.get(
            ("knows_newest", span), span, lambda: self._refresher.knows_newest(span)
        )

    def newest(self, span: Span) -> int | None:
        """Return the date of the newest item of a span."""
        return self._answers.get(("newest", span), span, lambda: self._store.newest(span))

    def find(self, key: str, date: int) -> Item | None:
        """Return the item with a key and a date."""
        cached_date, item = self._answers.get(
            ("find", key), Span(date, date + 1), lambda: (date, self._store.find(key, date))
        )
        # Nearly always the same: a key with two dates comes from a path that was guessed.
        return item if cached_date == date else self._store.find(key, date)

    def facets(self, item: Item) -> Facets:
        """Return the facets of an item."""
        return self._answers.get(
            ("facets", item.key),
            Span(item.date, item.date + 1),
            lambda: self._store.facets(item.key, item.date),
        )

    def details(self, item: Item) -> Details:
        """Return the raw object and the text of an item, as they were listed."""
        with self._details_lock:
            found = self._details.get(_version(item))
        if found is None:
            found = self._read_details(item)
            self.remember(item, found)
        return found

    def remember(self, item: Item, details: Details) -> None:
        """Cache the details of an item that were read elsewhere, as of its revision."""
        with contextlib.suppress(ValueError), self._details_lock:  # too large for the cache
            self._details[_version(item)] = details

    def known(self, item: Item) -> Details | None:
        """Return all details of an item, as far as they were fetched."""
        if self._fetcher is None:
            return self.details(item)
        return self._fetcher.known(item) or self._deleted(item)[1]

    def full_revision(self, item: Item) -> int | None:
        """Return a checksum of what `known` returns."""
        if self._fetcher is None:
            return item.revision
        fetcher = self._fetcher

        def lookup() -> int | None:
            fetched = fetcher.fetched(item)
            if fetched is not None:
                return fetched.checksum
            return None if self._deleted(item)[1] is None else item.revision

        key = ("full", item.key, item.revision)
        return self._answers.get(key, Span(item.date, item.date + 1), lookup)

    def full(self, item: Item, waiter: Waiter) -> Details:
        """Return all details of an item, fetched where they are not known."""
        if self._fetcher is None:
            return self.details(item)
        details = self._deleted(item)[1] or self._fetcher.full(item, waiter)
        # Another process may have fetched them. The checksum from before must not be returned any
        # more: an open that finds another size than the stat before it fails.
        self._answers.discard(("full", item.key, item.revision))
        return details

    def search(self, words: str, waiter: Waiter) -> None:
        """Find the items that match words, and remember them for a moment."""
        if self._searcher is not None:
            self._searcher.search(words, waiter)

    def found(self, words: str) -> Sequence[Listed] | None:
        """Return what a search found a moment ago."""
        return () if self._searcher is None else self._searcher.found(words)

    def forget(self, item: Item) -> None:
        """Remove a deleted item; its details are kept for as long as its paths resolve."""
        with contextlib.suppress(NoSuchPath):  # it may have been found to be gone meanwhile
            details, known = self.details(item), self.known(item)
            with self._lock:
                self._forgotten[item.key] = (details, known)
        self._store.forget(item.key, item.date)

    def invalidate(self, item: Item) -> None:
        """Remove the coverage of an item's second, as the item may be gone.

        No directory with the item is listed until the server has answered: a server that lost its
        database answers 404 for every item.
        """
        self._store.invalidate(Span(item.date, item.date + 1))

    def set_extension(self, key: str, extension: str) -> None:
        """Store the extension of an item's audio file; this is no change of the index."""
        self._store.set_extension(key, extension)

        def changed(found: tuple[int, Item | None]) -> tuple[int, Item | None]:
            date, item = found
            return date, item and replace(item, extension=extension)

        self._answers.update(("find", key), changed)
        self.extensions_learnt += 1

    def _read_details(self, item: Item) -> Details:
        raw = self._store.raw(item.key, item.date)
        if raw is not None:
            return self._describe(raw)
        listed, _ = self._deleted(item)
        if listed is None:
            raise NoSuchPath(item.key)
        return listed

    def _deleted(self, item: Item) -> tuple[Details | None, Details | None]:
        """Return the details of an item that was deleted a short while ago, listed and full."""
        with self._lock:
            return self._forgotten.get(item.key, (None, None))


def _version(item: Item) -> _Version:
    # Not the extension, which an item gets on the way.
    return item.key, item.date, item.revision
