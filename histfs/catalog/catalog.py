"""The catalog as the core's `Index`: what is stored, and the one who keeps it fresh.

Threads: any number at once; `_lock` guards the details of what was forgotten, a lock of their own
those that are kept, and the rest itself.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence, Set

from cachetools import LRUCache, TTLCache, cached

from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.details_fetcher import DetailsFetcher
from histfs.catalog.refresher import Refresher
from histfs.catalog.search_service import SearchService
from histfs.core.deletion import TOMBSTONE_TTL
from histfs.core.errors import NoSuchPath
from histfs.core.index import FacetValue, Listed
from histfs.core.item import Details, Facets, Item
from histfs.core.times import Span
from histfs.core.waiting import Waiter

#: Bytes of raw objects whose details are kept: rsync looks at the files of a thousand items before
#: it opens those of the first one.
_DETAILS = 4 << 20
#: The same for items that were just deleted: some 16 MB.
_FORGOTTEN = 1024


class Catalog:
    """Implements `histfs.core.index.Index`.

    Args:
        store: what is known.
        refresher: makes it known, and keeps it fresh.
        describe: reads the details out of a raw object (`Source.describe`).
        fetcher: fetches what the source doesn't list; None where it lists all there is.
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
        self._details = cached(
            LRUCache[tuple[str, int, int], Details](_DETAILS, lambda details: len(details.raw)),
            # Not the extension, which an item gets on the way.
            key=lambda item: (item.key, item.date, item.revision),
            lock=threading.Lock(),
        )(self._read_details)
        self._lock = threading.Lock()
        self._forgotten: TTLCache[str, tuple[Details, Details | None]] = TTLCache(
            _FORGOTTEN, TOMBSTONE_TTL
        )

    @property
    def fetches(self) -> bool:
        """Whether there are details that were not listed, and have to be fetched."""
        return self._fetcher is not None

    @property
    def version(self) -> int:
        """A number that changes whenever what is known has changed."""
        return self._store.version

    @property
    def recent_version(self) -> int:
        """The same at less cost; another process's change may be a moment late."""
        return self._store.recent_version

    def unchanged(self, span: Span, since: int) -> bool:
        """Say whether what is known of a span is for certain what it was at a version."""
        return self._store.unchanged(span, since)

    def ensure(self, span: Span, waiter: Waiter) -> None:
        """See to it that all items of a span are known and fresh."""
        self._refresher.ensure(span, waiter)

    def ensure_newest(self, spans: Sequence[Span], waiter: Waiter) -> None:
        """See to it that the newest item of each of some spans is known."""
        self._refresher.ensure_newest(spans, waiter)

    def asked_after(self, span: Span, moment: float) -> bool:
        """Say whether all of a span was asked for after a moment, in seconds since the epoch."""
        return self._refresher.asked_after(span, moment)

    def complete(self, span: Span) -> bool:
        """Say whether all items of a span are known, fresh or not."""
        return self._store.windows(span).cover(span)

    def knows_newest(self, span: Span) -> bool:
        """Say whether the newest item of a span is known, fresh or not, or that it has none."""
        return self._refresher.knows_newest(span)

    def newest(self, span: Span) -> int | None:
        """Return the date of the newest item of a span."""
        return self._store.newest(span)

    def between(self, span: Span) -> Iterator[Listed]:
        """Yield the items of a span, oldest first."""
        return self._store.between(span)

    def items(self, span: Span) -> Iterator[Item]:
        """Yield the items of a span with all that is known of them, oldest first."""
        return self._store.items(span)

    def facet_values(self, kind: str) -> Sequence[FacetValue]:
        """Return the values of a facet, in the order of their oldest items."""
        return self._store.facet_values(kind)

    def named_values(
        self, view: str, kind: str, nothing: str, *, rename: bool = False
    ) -> Mapping[str, FacetValue]:
        """Return the values of a facet by the names of their directories in a view."""
        return self._store.named_values(view, kind, nothing, rename=rename)

    def having(self, kind: str, value: str) -> Iterator[Listed]:
        """Yield the items that have a value of a facet, oldest first."""
        return self._store.having(kind, value)

    def secondary(self, kind: str, value: str) -> Set[str]:
        """Return the keys of the items that have a value of a facet, but not as the first one."""
        return self._store.secondary(kind, value)

    def find(self, key: str, date: int) -> Item | None:
        """Return the item with a key and a date."""
        return self._store.find(key, date)

    def facets(self, item: Item) -> Facets:
        """Return the facets of an item."""
        return self._store.facets(item.key, item.date)

    def details(self, item: Item) -> Details:
        """Return the raw object and the text of an item."""
        return self._details(item)

    def known(self, item: Item) -> Details | None:
        """Return all details of an item, as far as they were fetched."""
        if self._fetcher is None:
            return self.details(item)
        return self._fetcher.known(item) or self._lingering(item)[1]

    def full_revision(self, item: Item) -> int | None:
        """Return a checksum of what `known` gives."""
        if self._fetcher is None:
            return item.revision
        fetched = self._fetcher.fetched(item)
        if fetched is not None:
            return fetched.checksum
        return None if self._lingering(item)[1] is None else item.revision

    def full(self, item: Item, waiter: Waiter) -> Details:
        """Return all details of an item, fetched where they are not known."""
        if self._fetcher is None:
            return self.details(item)
        return self._lingering(item)[1] or self._fetcher.full(item, waiter)

    def search(self, words: str, waiter: Waiter) -> None:
        """Find the items that match words."""
        if self._searcher is not None:
            self._searcher.search(words, waiter)

    def found(self, words: str) -> Sequence[Listed] | None:
        """Return what a search found a moment ago."""
        return () if self._searcher is None else self._searcher.found(words)

    def _read_details(self, item: Item) -> Details:
        raw = self._store.raw(item.key, item.date)
        if raw is not None:
            return self._describe(raw)
        forgotten, _ = self._lingering(item)
        if forgotten is None:
            raise NoSuchPath(item.key)
        return forgotten

    def _lingering(self, item: Item) -> tuple[Details | None, Details | None]:
        """Return the details of an item that was deleted a short while ago, listed and full."""
        with self._lock:
            return self._forgotten.get(item.key, (None, None))

    def forget(self, item: Item) -> None:
        """Take a deleted item out; its details are kept for as long as its paths resolve."""
        with contextlib.suppress(NoSuchPath):  # it may have been found to be gone meanwhile
            details, known = self.details(item), self.known(item)
            with self._lock:
                self._forgotten[item.key] = (details, known)
        self._store.forget(item.key, item.date)

    def invalidate(self, item: Item) -> None:
        """Have an item's time asked for again, as it may not be there any more.

        Until that is answered no directory with the item is listed: a server that has lost its way
        says of every item that it doesn't know it.
        """
        self._store.invalidate(Span(item.date, item.date + 1))

    def set_extension(self, key: str, extension: str) -> None:
        """Keep the extension of an item's audio file, as its bytes tell."""
        self._store.set_extension(key, extension)
