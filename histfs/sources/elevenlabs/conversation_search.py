"""The server's search of what was said in conversations.

``GET /v1/convai/conversations/messages/text-search`` finds messages by their words. A result names
its conversation; several results may name the same one. (``smart-search`` searches by meaning, and
has no end: everything is somewhat similar.) An older server, or one of another vendor, may have
neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from histfs.core.errors import BadAnswer, Missing, NotOffered, Rejected
from histfs.core.source import Named, Page, Query
from histfs.sources.elevenlabs.http_client import HttpClient
from histfs.sources.elevenlabs.json_parsing import dates_of, parse_lenient, string_of

#: The most results of one page.
PAGE_SIZE = 50

_PATH = "/v1/convai/conversations/messages/text-search"


def search(http: HttpClient, query: Query) -> Page:
    """Return one page of the conversations in which words were said, as `Page.named`.

    Args:
        http: the server and the key.
        query: the words, and the cursor of the page before.

    Raises:
        NotOffered: the server has no such search.
        SourceError: the source failed.
    """
    parameters: dict[str, str | int] = {"text_query": query.words or "", "page_size": PAGE_SIZE}
    if query.after is not None:
        parameters["cursor"] = query.after
    try:
        return http.json(
            "GET", _PATH, lambda content: _parse_page(content, http.server_time), parameters
        )
    except (Missing, NotOffered) as error:
        # A server that returned the previous page has the search: the cursor is unknown.
        error_class = Rejected if query.after else NotOffered
        raise error_class(f"the server has no search of conversations: {error}") from error


def _parse_page(content: bytes, now: float) -> Page:
    """Parse a page of results.

    Raises:
        BadAnswer: a field that a complete page has is missing.
        ValueError, RecursionError: the content can't be parsed.
    """
    answer = parse_lenient(content)
    results = answer.get("results") if isinstance(answer, Mapping) else None
    has_more = answer.get("has_more") if isinstance(answer, Mapping) else None
    if not isinstance(results, list) or not isinstance(has_more, bool):
        raise BadAnswer("the answer is not a page of search results")
    cursor = answer.get("next_cursor")
    if has_more and not (isinstance(cursor, str) and cursor):
        raise BadAnswer("the server says that there is more, but not how to ask for it")
    named = dict.fromkeys(_parse_result(result, now) for result in results)
    return Page((), cursor if has_more else None, tuple(named))


def _parse_result(result: Any, now: float) -> Named:  # noqa: ANN401 - any JSON
    fields = result if isinstance(result, Mapping) else {}
    conversation = string_of(fields.get("conversation_id"))
    if not conversation:
        raise BadAnswer("a search result names no conversation")
    start = fields.get("conversation_start_time_unix_secs")
    ((date,), (is_valid,)) = dates_of([start], now)
    return Named(conversation, date if is_valid else None)
