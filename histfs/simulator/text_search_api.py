"""GET /v1/convai/conversations/messages/text-search: messages found by their words."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace

from histfs.simulator.api_errors import ApiError, detail_body, problem, validation_error
from histfs.simulator.conversation import SimulatedConversation
from histfs.simulator.conversation_store import ConversationQuery, ConversationStore
from histfs.simulator.conversations_api import MAX_PAGE_SIZE as LIST_PAGE_SIZE
from histfs.simulator.conversations_api import READ, parse_query
from histfs.simulator.http_messages import ApiRequest, ApiResponse
from histfs.simulator.key_access import Access
from histfs.simulator.parameters import Parameters
from histfs.simulator.routing import Route

MAX_PAGE_SIZE = 50
DEFAULT_PAGE_SIZE = 20

_PATH = "/v1/convai/conversations/messages/text-search"


class TextSearchApi:
    """Answers for conversations. As thread-safe as those."""

    def __init__(self, conversations: ConversationStore, access: Access, *, offered: bool) -> None:
        """Takes the conversations, the keys that may see them, and whether there is a search."""
        self._conversations = conversations
        self._access = access
        self._offered = offered

    def routes(self) -> list[Route]:
        """Gives the endpoint of this family; none where there is no search."""
        return [Route("GET", _PATH, self._search)] if self._offered else []

    def _search(self, request: ApiRequest) -> ApiResponse:
        parameters = Parameters(request)
        words = parameters.text("text_query")
        query, _ = parse_query(parameters, default=DEFAULT_PAGE_SIZE, maximum=MAX_PAGE_SIZE)
        if words is None:
            place = ("query", "text_query")
            raise validation_error([problem(place, "missing", "Field required", input=None)])
        self._access.require(request.headers, READ)
        start = _offset(query.cursor)
        hits = [_hit(call, index) for call, index in self._found(query, words)]
        end = start + query.page_size
        page = {
            "meta": {"total": len(hits), "page": None, "page_size": query.page_size},
            "results": hits[start:end],
            "next_cursor": _cursor(end) if end < len(hits) else None,
            "has_more": end < len(hits),
        }
        return ApiResponse.of_json(page)

    def _found(
        self, query: ConversationQuery, words: str
    ) -> Iterator[tuple[SimulatedConversation, int]]:
        """Yields the messages that have all words, each with its place in its conversation."""
        wanted = words.casefold().split()
        asked: ConversationQuery | None = replace(query, page_size=LIST_PAGE_SIZE, cursor=None)
        while asked is not None:
            calls, cursor = self._conversations.page(asked)
            for call in calls:
                for index, message in enumerate(_messages(call)):
                    said = message.casefold()
                    if wanted and all(word in said for word in wanted):
                        yield call, index
            asked = None if cursor is None else replace(asked, cursor=cursor)


def _messages(call: SimulatedConversation) -> list[str]:
    """Gives what is said in each turn; nothing in one that has no text."""
    transcript = call.detail()["transcript"]
    turns = transcript if isinstance(transcript, list) else []
    said = (turn.get("message") if isinstance(turn, dict) else None for turn in turns)
    return [message if isinstance(message, str) else "" for message in said]


def _hit(call: SimulatedConversation, index: int) -> dict[str, object]:
    """Makes one result."""
    summary = call.summary()
    return {
        "conversation_id": call.id,
        "agent_id": summary["agent_id"],
        "agent_name": summary["agent_name"],
        "transcript_index": index,
        "chunk_text": _messages(call)[index],
        "chunk_highlights": None,
        "score": 1.0,
        "conversation_start_time_unix_secs": call.time,
    }


def _cursor(offset: int) -> str:
    return base64.b64encode(f"offset {offset}".encode()).decode()


def _offset(cursor: str | None) -> int:
    """Gives the place at which a page begins.

    Raises:
        ApiError: 400, the cursor is none.
    """
    if cursor is None:
        return 0
    offset = _number(cursor)
    if offset is None or _cursor(offset) != cursor:
        message = "The provided cursor is invalid or expired."
        raise ApiError(400, detail_body(400, "invalid_cursor", message, param="cursor"))
    return offset


def _number(cursor: str) -> int | None:
    try:
        return int(base64.b64decode(cursor, validate=True).removeprefix(b"offset "))
    except ValueError:
        return None
