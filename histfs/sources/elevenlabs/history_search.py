"""The server's search of the speech history, which may require a source to search in.

The documentation of ``GET /v1/history`` has said of ``search`` that ``source`` is required with it;
whether the server enforces that is not documented. So a search without a source is sent first. When
it is refused, each source is searched in turn, and the pages follow each other:

    no source  ->  400 or 422        TTS, page 1, 2 …  ->  STS, page 1 …  ->  Flows …

The cursor holds the remaining sources.

Threads: any number at once, without a lock. `_needs_source` is the server's last answer; any thread
may replace it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from histfs.core.errors import BadAnswer, InvalidRequest
from histfs.core.source import Page, Query

#: The documented values of the parameter; items may have other sources, too.
SOURCES = ("TTS", "STS", "Flows")

log = logging.getLogger(__name__)

#: Requests a page of a search, within a source or, with None, without one.
RequestPage = Callable[[Query, str | None], Page]


@dataclass(frozen=True, slots=True)
class _SearchPosition:
    """The position of the next page of a search.

    Attributes:
        after: the server's cursor; None for the first page.
        sources: the remaining sources, of which the first continues at `after`; None for a search
            without a source.
        any_accepted: whether the server has accepted a source of this search.
    """

    after: str | None = None
    sources: tuple[str, ...] | None = None
    any_accepted: bool = False


class HistorySearch:
    """Searches without a source, or within each source in turn.

    Args:
        request_page: requests a page.
    """

    def __init__(self, request_page: RequestPage) -> None:
        self._request_page = request_page
        self._needs_source = False

    def page(self, query: Query) -> Page:
        """Return one page of a search.

        Raises:
            InvalidRequest: the server refuses the search, also within each source.
            SourceError: the source failed.
        """
        if query.after is not None:
            return self._page(query, _decode_cursor(query.after))
        per_source = _SearchPosition(sources=tuple(dict.fromkeys((*SOURCES, *query.sources))))
        if not self._needs_source:
            try:
                return self._page(query, _SearchPosition())
            except InvalidRequest as error:
                page = self._first_per_source(query, per_source, error)
                log.info("the server searches within a source only: each is asked from now on")
                self._needs_source = True
                return page
        try:
            return self._page(query, per_source)
        except InvalidRequest as error:
            # Unless another parameter is invalid, the next search starts without a source again.
            self._needs_source = bool(error.parameters) and "source" not in error.parameters
            raise

    def _first_per_source(
        self, query: Query, per_source: _SearchPosition, refusal: InvalidRequest
    ) -> Page:
        """Return the first page within a source; without one, raise the first refusal."""
        try:
            return self._page(query, per_source)
        except InvalidRequest as error:
            raise refusal from error

    def _page(self, query: Query, position: _SearchPosition) -> Page:
        """Return the page at a position; skip sources that the server doesn't know.

        Raises:
            InvalidRequest: the server refuses; or known items have no source, and would be missed.
            SourceError: the source failed.
        """
        if position.sources is None:
            page = self._request_page(replace(query, after=position.after), None)
            return Page(page.records, _next_cursor(position, page.cursor))
        if "" in query.sources:
            raise InvalidRequest("the server searches within a source, and there are items of none")
        while True:
            source, *remaining = position.sources
            try:
                page = self._request_page(replace(query, after=position.after), source)
            except InvalidRequest as error:
                if not _is_skippable(source, error, query, position):
                    raise
                log.debug("the server can't search within the source %r: %s", source, error)
                if remaining:
                    position = replace(position, after=None, sources=tuple(remaining))
                    continue
                if position.any_accepted:
                    return Page([], None)
                raise
            accepted = replace(position, any_accepted=True)
            if page.cursor is not None:
                return Page(page.records, _next_cursor(accepted, page.cursor))
            if not remaining:
                return Page(page.records, None)
            next_source = replace(accepted, after=None, sources=tuple(remaining))
            return Page(page.records, _encode_cursor(next_source))


def _is_skippable(
    source: str, error: InvalidRequest, query: Query, position: _SearchPosition
) -> bool:
    """Return whether a source was refused for its name, and no known item has it."""
    is_unknown = error.parameters == {"source"} and position.after is None
    return is_unknown and source not in query.sources


def _next_cursor(position: _SearchPosition, after: str | None) -> str | None:
    """Return the cursor of the next page, from the server's cursor."""
    return None if after is None else _encode_cursor(replace(position, after=after))


def _encode_cursor(position: _SearchPosition) -> str:
    return json.dumps([position.after, position.sources, position.any_accepted])


def _decode_cursor(cursor: str) -> _SearchPosition:
    """Decode a cursor of `_encode_cursor`.

    Raises:
        BadAnswer: it is not such a cursor.
    """
    try:
        after, sources, accepted = json.loads(cursor)
        return _SearchPosition(after, None if sources is None else tuple(sources), bool(accepted))
    except (ValueError, TypeError) as error:
        raise BadAnswer("the cursor is not one of a search") from error
