"""Finds items by their words: with the server's search where it has one, else with the index here.

The server's matches are taken as they are. Where the source lists summaries, the server searches
the full texts, and the full-text index of the catalog has only the summaries and the fetched
details: the result is the union.

While the server fails, a catalog that is complete searches its own index. For a server that answers
but has no search, the whole history is read first.

A search may only name items (`Named`): they are found in the catalog, in lists, else one by one.

Threads: any number at once; `SearchService._lock` guards the two caches, and no other lock is taken
while it is held. `_offered` is only ever set to False. The requests run in the threads of
`SingleFlight`. `SearchHitResolver` has no state.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Hashable, Iterable, Mapping, Sequence

from cachetools import TTLCache

from histfs.catalog.circuit_breaker import RequestKind
from histfs.catalog.pager import Pager
from histfs.catalog.refresher import Refresher
from histfs.catalog.span_reader import SpanReader
from histfs.catalog.text_index import FullTextIndex
from histfs.core.errors import (
    BadAnswer,
    DeadlineExceeded,
    HistfsError,
    Interrupted,
    KeyRefused,
    Missing,
    NotOffered,
    Rejected,
    without_traceback,
)
from histfs.core.index import SEARCH_LIMIT, Listed
from histfs.core.item import Record
from histfs.core.names import key_of
from histfs.core.single_flight import SingleFlight
from histfs.core.source import WORDS, Named
from histfs.core.times import ALWAYS, Span
from histfs.core.waiting import Waiter

#: Items that are requested one by one, at the most: lists have all others.
_SINGLE = 50
#: Items in each cache, all searches together.
_ITEMS = 100_000
#: Seconds for which an answer that came after its call's deadline waits for the next call.
_LATE = 30.0
#: The share of a call's time in which the server has to answer, where the index here can, too.
_SHARE = 0.5

log = logging.getLogger(__name__)


class SearchService:
    """Searches, and caches the results.

    Args:
        reader: reads from the source into the store.
        refresher: reads the whole history, for a server that has no search.
        text_index: the catalog's own index.
        flights: run the requests, one for the same words at a time.
        ttl: seconds for which results are fresh.
    """

    def __init__(
        self,
        reader: SpanReader,
        refresher: Refresher,
        text_index: FullTextIndex,
        *,
        flights: SingleFlight,
        ttl: float,
    ) -> None:
        self._reader = reader
        self._refresher = refresher
        self._text_index = text_index
        self._flights = flights
        self._lock = threading.Lock()
        self._resolver = SearchHitResolver(reader)
        self._offered = WORDS in reader.source.traits.filters
        self._found: TTLCache[str, Sequence[Listed]] = TTLCache(
            _ITEMS, max(ttl, 1.0), getsizeof=_weight
        )
        # The server's answers, which live longer: one that comes after the deadline of its call is
        # there for the next call.
        self._answers: TTLCache[str, Sequence[Listed]] = TTLCache(
            _ITEMS, max(ttl, _LATE), getsizeof=_weight
        )

    def search(self, words: str, waiter: Waiter) -> None:
        """Find the items that match words, and cache them.

        Raises:
            SourceError, NotComplete: there may be matches that can't be found.
            NoSpace, CacheFailed: what was found can't be stored.
            Interrupted, DeadlineExceeded: the wait ended first.
        """
        if self.found(words) is None:
            # The newest ones, and one more where there are more than are shown.
            found = sorted(self._search(words, waiter))[-SEARCH_LIMIT - 1 :]
            if len(found) > SEARCH_LIMIT:
                log.info("a search finds more than %s items: the rest isn't shown", SEARCH_LIMIT)
            with self._lock:
                self._found[words] = found

    def found(self, words: str) -> Sequence[Listed] | None:
        """Return what a search found a moment ago, oldest first; None when there was none."""
        with self._lock:
            return self._found.get(words)

    def _search(self, words: str, waiter: Waiter) -> Sequence[Listed]:
        traits, breaker = self._reader.source.traits, self._reader.breaker
        if not self._offered:
            return self._search_all(words, waiter)
        complete = self._reader.store.covers(ALWAYS)
        failure = breaker.failure(RequestKind.SEARCH) if complete else None
        overdue = complete and not breaker.wait_budget(RequestKind.SEARCH)
        if failure is None and not overdue:
            try:
                timeout = waiter.remaining() * (_SHARE if complete else 1)
                answer = self._answer(words, waiter.at_most(timeout))
            except Interrupted:
                raise
            except NotOffered as error:
                self._offered = False
                failure = error
            except DeadlineExceeded as error:
                if not complete or not waiter.remaining():
                    raise
                failure = error
            except HistfsError as error:
                failure = error
            else:
                if not traits.summaries:
                    return answer
                indexed = self._text_index.find(words, waiter)
                return list({item.key: item for item in (*answer, *indexed)}.values())
        if isinstance(failure, (Rejected, KeyRefused)):
            # Perhaps only the search was refused: a list tells.
            log.info("%s: searching what is listed instead", failure)
            return self._search_all(words, waiter)
        if failure is not None and not complete:
            raise without_traceback(failure)
        log.info("%s: searching what is known instead", failure or "the server is slow")
        return self._text_index.find(words, waiter)

    def _search_all(self, words: str, waiter: Waiter) -> Sequence[Listed]:
        """Read the whole history, and search it here."""
        self._refresher.ensure(ALWAYS, waiter)
        return self._text_index.find(words, waiter)

    def _answer(self, words: str, waiter: Waiter) -> Sequence[Listed]:
        """Return what the server finds, or has found after the deadline of an earlier call."""
        with self._lock:
            answer = self._answers.pop(words, None)
        if answer is not None:
            return answer
        flight = self._flights.submit(("search", words), lambda: self._request(words))
        answer = waiter.result(flight)
        with self._lock:
            self._answers.pop(words, None)
        return answer

    def _request(self, words: str) -> Sequence[Listed]:
        """Let the server search, and store what it finds.

        No further page is requested once there are more items than a search shows.
        """
        requested_at = self._reader.clock()
        sources = tuple(value for value, *_ in self._reader.store.facet_values("source"))
        pager = Pager(self._reader.source, words=words, sources=sources)
        found: dict[str, Listed] = {}
        named: dict[Named, None] = {}
        key: Hashable = words
        more = True
        while more and max(len(found), len(named)) <= SEARCH_LIMIT:
            with self._reader.breaker.request(kind=RequestKind.SEARCH, key=key):
                page = pager.fetch()
            # Perhaps not in the order of time: the best matches may come first.
            stored = self._reader.store.add(page.records, requested_at)
            found.update((item.key, item) for item in stored)
            named.update(dict.fromkeys(page.named))
            more, key = page.cursor is not None, None
        answer = [*found.values(), *self._resolver.resolve(named)] if named else [*found.values()]
        with self._lock:
            self._answers[words] = answer
        return answer


class SearchHitResolver:
    """Finds the items that a search names.

    Unknown items are listed a page at a time, from the newest one downwards. Each page begins at
    one of them, so that there are never more pages than unknown items, nor than pages of all items:

        named            x       x   x                  x
        pages   [----------------]   [------------------]

    Args:
        reader: reads from the source into the store.
    """

    def __init__(self, reader: SpanReader) -> None:
        self._reader = reader
        self._store = reader.store

    def resolve(self, named: Iterable[Named]) -> list[Listed]:
        """Return the items that are named, oldest first, without those that are gone meanwhile.

        Raises:
            BadAnswer: far more is named than there is.
            SourceError: the source failed.
            NoSpace, CacheFailed: what was found can't be stored.
        """
        wanted = {key_of(item.id): item for item in named}
        found = self._at_their_dates(wanted)
        # An item without a possible date is shown under another one's.
        found |= self._anywhere(_without(wanted, found))
        unknown = _without(wanted, found)
        self._list(unknown)
        found |= self._at_their_dates(unknown)
        return sorted([*found.values(), *self._get(_without(unknown, found))])

    def _at_their_dates(self, named: Mapping[str, Named]) -> dict[str, Listed]:
        """Return the items that the catalog has under the dates that the search gives."""
        items = (
            self._store.find(key, item.date) for key, item in named.items() if item.date is not None
        )
        return {item.key: Listed(item.date, item.key, item.slug) for item in items if item}

    def _anywhere(self, named: Mapping[str, Named]) -> dict[str, Listed]:
        """Return the items that the catalog has under any date; scans the whole table."""
        if not named:
            return {}
        rows = self._store.files.rows(
            "SELECT date, key, slug FROM items WHERE key IN (SELECT value FROM json_each(?))",
            (json.dumps(list(named)),),
        )
        return {key: Listed(date, key, slug) for date, key, slug in rows}

    def _list(self, named: Mapping[str, Named]) -> None:
        """Read lists around some items; there may be items that no list has."""
        dates = sorted({item.date for item in named.values() if item.date is not None})
        lowest, reached = dates[0] if dates else 0, None
        for date in reversed(dates):
            if reached is not None and date >= reached:
                continue
            read = self._reader.read(Span(lowest, date + 1))
            while (reached := read.next().span.start) > date:
                pass

    def _get(self, named: Mapping[str, Named]) -> list[Listed]:
        """Request some items one by one, and store them."""
        if len(named) > _SINGLE:
            raise BadAnswer(f"the search names {len(named)} items that are in no list")
        requested_at = self._reader.clock()
        records: list[Record] = []
        for item in named.values():
            with contextlib.suppress(Missing):
                records.append(self._reader.source.get(item.id))
        return self._store.add(records, requested_at)


def _weight(found: Sequence[Listed]) -> int:
    """Weigh what a search found; one that found nothing takes some memory, too."""
    return min(len(found) + 100, _ITEMS)


def _without(named: Mapping[str, Named], found: Mapping[str, Listed]) -> dict[str, Named]:
    return {key: item for key, item in named.items() if key not in found}
