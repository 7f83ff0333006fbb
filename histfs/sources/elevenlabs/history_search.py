"""The server's search of the speech history, where it may want to know in which source to search.

The documentation of ``GET /v1/history`` has said of ``search`` that ``source`` is required with it;
whether the server insists is not documented. So the plain question is asked first. Where it is
refused, each source is asked in turn, and the pages follow each other:

    plain  ->  400 or 422        TTS, page 1, 2 …  ->  STS, page 1 …  ->  Flows …

What is left to ask stands in the cursor.

Threads: any number at once. `_needs_source` is what the server said last; it is replaced whole.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from histfs.core.errors import BadAnswer, InvalidRequest
from histfs.core.source import Page, Query

#: The sources that the documentation has for the parameter; the items' own may be others, too.
SOURCES = ("TTS", "STS", "Flows")

log = logging.getLogger(__name__)

#: Returns a page of a search: of a query, within a source or within none.
Ask = Callable[[Query, str | None], Page]


@dataclass(frozen=True, slots=True)
class _SearchPosition:
    """Where the next page of a search begins.

    Attributes:
        after: the server's cursor; None for the first page.
        sources: those that are still to be asked, the first one from `after` on; None for the
            plain question.
        answered: whether the server has taken a source of this search.
    """

    after: str | None = None
    sources: tuple[str, ...] | None = None
    answered: bool = False


class HistorySearch:
    """Searches, plainly or within each source.

    Args:
        ask: asks for a page.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._needs_source = False

    def page(self, query: Query) -> Page:
        """Return one page of what the words of a query find.

        Raises:
            InvalidRequest: the server refuses the question, within each source, too.
            SourceError: the source failed.
        """
        if query.after is not None:
            return self._page(query, _read(query.after))
        within = _SearchPosition(sources=tuple(dict.fromkeys((*SOURCES, *query.sources))))
        if not self._needs_source:
            try:
                return self._page(query, _SearchPosition())
            except InvalidRequest as refused:
                page = self._first_within(query, within, refused)
                log.info("the server searches within a source only: each is asked from now on")
                self._needs_source = True
                return page
        try:
            return self._page(query, within)
        except InvalidRequest as error:
            # Unless the words are to blame, the next search begins with the plain question again.
            self._needs_source = bool(error.parameters) and "source" not in error.parameters
            raise

    def _first_within(self, query: Query, within: _SearchPosition, refused: InvalidRequest) -> Page:
        """Return the first page within a source; where there is none, say why the plain one was."""
        try:
            return self._page(query, within)
        except InvalidRequest as error:
            raise refused from error

    def _page(self, query: Query, place: _SearchPosition) -> Page:
        """Ask for the page at a place; a source that the server doesn't know is passed over.

        Raises:
            InvalidRequest: the server refuses; or known items have no source, and would be missed.
            SourceError: the source failed.
        """
        if place.sources is None:
            page = self._ask(replace(query, after=place.after), None)
            return Page(page.records, _cursor(place, page.cursor))
        if "" in query.sources:
            raise InvalidRequest("the server searches within a source, and there are items of none")
        while True:
            source, *rest = place.sources
            following = _SearchPosition(None, tuple(rest), place.answered)
            try:
                page = self._ask(replace(query, after=place.after), source)
            except InvalidRequest as error:
                if not _is_unknown(source, error, query, place):
                    raise
                log.debug("the server can't search within the source %r: %s", source, error)
                if not rest:
                    if place.answered:
                        return Page([], None)
                    raise
                place = following
                continue
            if page.cursor is not None:
                return Page(
                    page.records, _cursor(_SearchPosition(None, place.sources, True), page.cursor)
                )
            return Page(
                page.records, _write(_SearchPosition(None, tuple(rest), True)) if rest else None
            )


def _is_unknown(source: str, error: InvalidRequest, query: Query, place: _SearchPosition) -> bool:
    """Say whether a source was refused for its name, and no item can be missed without it."""
    named = error.parameters == {"source"} and place.after is None
    return named and source not in query.sources


def _cursor(place: _SearchPosition, after: str | None) -> str | None:
    """Return the cursor of the page after one, from the server's."""
    return None if after is None else _write(_SearchPosition(after, place.sources, place.answered))


def _write(place: _SearchPosition) -> str:
    return json.dumps([place.after, place.sources, place.answered])


def _read(cursor: str) -> _SearchPosition:
    """Read a cursor that `_write` made.

    Raises:
        BadAnswer: it is another one.
    """
    try:
        after, sources, answered = json.loads(cursor)
        return _SearchPosition(after, None if sources is None else tuple(sources), bool(answered))
    except (ValueError, TypeError) as error:
        raise BadAnswer("the cursor is not one of a search") from error
