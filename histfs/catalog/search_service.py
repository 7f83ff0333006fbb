"""Finding items by their words: the server's search where it has one, else the catalog's own.

What the server finds is believed as it is, whatever it takes for a match. Where the source lists
summaries, the server looks through what was said, and the catalog's own index (`search`) through
the summaries and the details that were fetched: the result is what either finds.

While the server can't be asked, a catalog that knows the whole history looks into its own index.
For a server that answers, and doesn't search, the whole history is made known first.

Threads: any number at once; `_lock` guards what was found lately, `_offered` is only ever set to
False.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Hashable, Sequence

from cachetools import TTLCache

from histfs.catalog.circuit_breaker import RequestKind
from histfs.catalog.pager import Pages
from histfs.catalog.refresher import Refresher
from histfs.catalog.search_hits import HitResolver
from histfs.catalog.span_reader import SpanReader
from histfs.catalog.text_index import FullTextIndex
from histfs.core.errors import (
    DeadlineExceeded,
    HistfsError,
    Interrupted,
    KeyRefused,
    NotOffered,
    Rejected,
    without_traceback,
)
from histfs.core.index import SEARCH_LIMIT, Listed
from histfs.core.single_flight import SingleFlight
from histfs.core.source import WORDS, Named, Query
from histfs.core.times import ALWAYS
from histfs.core.waiting import Waiter

#: Items that are kept of all searches together, at the most.
_ITEMS = 100_000
#: Seconds for which an answer that came after its call's time waits for the next call.
_KEPT = 30.0
#: The part of a call's time in which the server has to answer, where there is another way.
_SHARE = 0.5

log = logging.getLogger(__name__)


class SearchService:
    """Searches, and remembers what was found.

    Args:
        reader: asks the source, and has the store.
        refresher: makes the whole history known, for a server that can't search.
        words: the catalog's own index.
        flights: runs the requests; one flight for the same words.
        ttl: seconds for which what was found is fresh.
    """

    def __init__(
        self,
        reader: SpanReader,
        refresher: Refresher,
        words: FullTextIndex,
        *,
        flights: SingleFlight,
        ttl: float,
    ) -> None:
        self._reader = reader
        self._refresher = refresher
        self._words = words
        self._flights = flights
        self._lock = threading.Lock()
        self._naming = HitResolver(reader)
        self._offered = WORDS in reader.source.traits.filters
        self._found: TTLCache[str, Sequence[Listed]] = TTLCache(
            _ITEMS, max(ttl, 1.0), getsizeof=_weight
        )
        # Kept apart: an answer that came after its call's time is there for the next one.
        self._answers: TTLCache[str, Sequence[Listed]] = TTLCache(
            _ITEMS, max(ttl, _KEPT), getsizeof=_weight
        )

    def search(self, words: str, waiter: Waiter) -> None:
        """Find the items that match words, and remember them.

        Raises:
            SourceError, NotComplete: whether there are others can't be told.
            NoSpace, CacheFailed: what was found can't be kept.
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
        traits, health = self._reader.source.traits, self._reader.health
        if not self._offered:
            return self._search_all(words, waiter)
        complete = self._reader.store.windows().cover(ALWAYS)
        failure = health.failure(RequestKind.SEARCH) if complete else None
        overdue = complete and not health.patience(RequestKind.SEARCH)
        if failure is None and not overdue:
            try:
                time = waiter.remaining() * (_SHARE if complete else 1)
                answer = self._answer(words, waiter.at_most(time))
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
                here = self._words.find(words, waiter)
                return list({item.key: item for item in (*answer, *here)}.values())
        if isinstance(failure, (Rejected, KeyRefused)):
            # Only this was refused, perhaps: a list tells.
            log.info("%s: searching what is listed instead", failure)
            return self._search_all(words, waiter)
        if failure is not None and not complete:
            raise without_traceback(failure)
        log.info("%s: searching what is known instead", failure or "the server is slow")
        return self._words.find(words, waiter)

    def _search_all(self, words: str, waiter: Waiter) -> Sequence[Listed]:
        """Search the whole history here."""
        self._refresher.ensure(ALWAYS, waiter)
        return self._words.find(words, waiter)

    def _answer(self, words: str, waiter: Waiter) -> Sequence[Listed]:
        """Return what the server finds, or has found for a call that had no more time."""
        with self._lock:
            answer = self._answers.pop(words, None)
        if answer is not None:
            return answer
        flight = self._flights.submit(("search", words), lambda: self._ask(words))
        answer = waiter.result(flight)
        with self._lock:
            self._answers.pop(words, None)
        return answer

    def _ask(self, words: str) -> Sequence[Listed]:
        """Let the server search, and store what it finds.

        No further page is asked for once there are more items than a search shows.
        """
        asked = self._reader.clock()
        sources = tuple(value for value, *_ in self._reader.store.facet_values("source"))
        pages = Pages(self._reader.source, Query(words=words, sources=sources))
        found: dict[str, Listed] = {}
        named: dict[Named, None] = {}
        question: Hashable = words
        more = True
        while more and max(len(found), len(named)) <= SEARCH_LIMIT:
            with self._reader.health.asking(kind=RequestKind.SEARCH, question=question):
                page = pages.next()
            # Not in the order of time, perhaps: the best matches may come first.
            stored = self._reader.store.add(page.records, asked)
            found.update((item.key, item) for item in stored)
            named.update(dict.fromkeys(page.named))
            more, question = page.cursor is not None, None
        answer = [*found.values(), *self._naming.items(named)] if named else list(found.values())
        with self._lock:
            self._answers[words] = answer
        return answer


def _weight(found: Sequence[Listed]) -> int:
    """Weigh what a search found; one that found nothing takes some memory, too."""
    return min(len(found) + 100, _ITEMS)
