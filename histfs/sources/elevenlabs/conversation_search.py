"""The server's search of what was said in conversations.

``GET /v1/convai/conversations/messages/text-search`` finds messages by their words; a result names
the conversation, of which there may be several results. (``smart-search`` beside it finds what
means the same, and ends nowhere: everything is somewhat similar.) A server that is older, or isn't
the vendor's, may have neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from histfs.core.errors import BadAnswer, Missing, NotOffered, Rejected
from histfs.core.source import Named, Page, Query
from histfs.sources.elevenlabs.field_values import dates_of, string_of
from histfs.sources.elevenlabs.http_client import HttpClient
from histfs.sources.elevenlabs.json_parsing import leniently

#: The most results that one page may hold.
PAGE_SIZE = 50

_PATH = "/v1/convai/conversations/messages/text-search"


def search(http: HttpClient, query: Query) -> Page:
    """Return one page of the conversations in which words were said; it names them, and no more.

    Args:
        http: the server and the key.
        query: has the words, and perhaps the cursor of the page before.

    Raises:
        NotOffered: the server has no such search.
        SourceError: the source failed.
    """
    asked: dict[str, str | int] = {"text_query": query.words or "", "page_size": PAGE_SIZE}
    if query.after is not None:
        asked["cursor"] = query.after
    try:
        return http.json("GET", _PATH, lambda content: _page_of(content, http.server_time), asked)
    except (Missing, NotOffered) as error:
        # A server that gave the page before has the search: it lacks the cursor.
        kind = Rejected if query.after else NotOffered
        raise kind(f"the server has no search of conversations: {error}") from error


def _page_of(content: bytes, now: float) -> Page:
    """Read a page of results.

    Raises:
        BadAnswer: it doesn't tell all that was found.
        ValueError, RecursionError: it is not JSON.
    """
    answer = leniently(content)
    results = answer.get("results") if isinstance(answer, Mapping) else None
    more = answer.get("has_more") if isinstance(answer, Mapping) else None
    if not isinstance(results, list) or not isinstance(more, bool):
        raise BadAnswer("the answer is not a page of search results")
    cursor = answer.get("next_cursor")
    if more and not (isinstance(cursor, str) and cursor):
        raise BadAnswer("the server says that there is more, but not how to ask for it")
    named = dict.fromkeys(_named(result, now) for result in results)
    return Page((), cursor if more else None, tuple(named))


def _named(result: Any, now: float) -> Named:  # noqa: ANN401 - whatever JSON holds
    """Read a result."""
    fields = result if isinstance(result, Mapping) else {}
    conversation = string_of(fields.get("conversation_id"))
    if not conversation:
        raise BadAnswer("a search result names no conversation")
    start = fields.get("conversation_start_time_unix_secs")
    ((date,), (possible,)) = dates_of([start], now)
    return Named(conversation, date if possible else None)
