"""An in-memory cache of lookups in the catalog, invalidated by the span that each one is about.

Every call on a path needs a few of these answers. An answer is cached with the catalog's version
from before its lookup, and holds for as long as nothing in its span has changed since.

Threads: any number at once; `_lock` guards the cache and its epoch. It is not held during a lookup,
and no other lock is taken while it is held.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from cachetools import LRUCache

from histfs.catalog.catalog_store import CatalogStore
from histfs.core.times import Span

T = TypeVar("T")

#: Cached answers, a few hundred bytes each.
_ANSWERS = 20_000


class AnswerCache:
    """Caches answers by key, the least recently used ones are evicted.

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
