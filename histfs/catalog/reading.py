"""Reading a span from the source into the store.

Threads: a `Reader` is shared by any number; a `Reading` is for one thread, which may let another
one ask.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from histfs.catalog.health import Health
from histfs.catalog.paging import Answer, Paging
from histfs.catalog.store import Store
from histfs.core.errors import BadAnswer, SourceError
from histfs.core.flights import Flights
from histfs.core.source import Source
from histfs.core.times import Span

#: Items that one page holds, at the most.
PAGE = 1000


class Reader:
    """Begins to read spans.

    Args:
        source: where items are listed.
        store: where they are kept.
        health: is told whether the source answers.
        clock: seconds since the epoch.
        page: items that one page holds.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        health: Health,
        clock: Callable[[], float],
        page: int = PAGE,
    ) -> None:
        self.source = source
        self.store = store
        self.health = health
        self.clock = clock
        self.page = page

    @property
    def known_on_page(self) -> int:
        """How many known items are asked for again at once.

        There is room for a few that are new: a page too many would cost as much as a page.
        """
        return self.page - self.page // 50

    def read(self, span: Span, *, limit: int | None = None, background: bool = False) -> Reading:
        """Begin to read a span.

        Args:
            span: what to ask for.
            limit: items on a page; None for as many as a page can hold.
            background: whether others come first.
        """
        return Reading(self, span, limit, background)


class Reading:
    """A span that is read page by page, from its end downwards."""

    def __init__(self, reader: Reader, span: Span, limit: int | None, background: bool) -> None:
        self._reader = reader
        self._paging = Paging(reader.source, span, limit)
        self._background = background
        # Above the newest known item there was nothing. If there is more now than a page can tell,
        # what is in between is not known before the next page.
        self.newest = reader.store.newest(span)
        self._outdated: Span | None = Span(
            span.start if self.newest is None else self.newest, span.end
        )
        self._coming: Future[tuple[float, Answer]] | None = None

    @property
    def is_ahead(self) -> bool:
        """Whether the next page is on its way."""
        return self._coming is not None

    def next(self, ahead: Flights | None = None) -> Answer:
        """Ask for the next page and store it.

        Args:
            ahead: asks for the page after it while this one is being stored.

        Raises:
            SourceError: the source failed, or its pages can't be trusted.
            NoSpace, CacheFailed: the page can't be kept.
        """
        coming = self._coming
        if coming is not None and coming.done() and _has_passed(coming.exception()):
            coming = None
        asked, answer = coming.result() if coming else self._ask()
        self._coming = ahead.fly(self, self._ask) if ahead and answer.more else None
        self._reader.store.replace(answer.span, answer.records, asked, self._outdated)
        self._outdated = None
        return answer

    def _ask(self) -> tuple[float, Answer]:
        asked = self._reader.clock()
        with self._reader.health.asking(self._background):
            return asked, self._paging.next()


def _has_passed(error: BaseException | None) -> bool:
    """Say whether another try may go well: a failure of the server, but no page that is wrong."""
    return isinstance(error, SourceError) and not isinstance(error, BadAnswer)
