"""Serve GET /v1/convai/conversations/messages/text-search: a search for messages by words."""

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
    """Search the messages of conversations. Thread-safe: all state is in the store."""

    def __init__(self, conversations: ConversationStore, access: Access) -> None:
        self._conversations = conversations
        self._access = access

    def routes(self) -> list[Route]:
        """Return the endpoint of this family."""
        return [Route("GET", _PATH, self._search)]

    def _search(self, request: ApiRequest) -> ApiResponse:
        parameters = Parameters(request)
        words = parameters.text("text_query")
        query, _ = parse_query(parameters, default=DEFAULT_PAGE_SIZE, maximum=MAX_PAGE_SIZE)
        if words is None:
            location = ("query", "text_query")
            raise validation_error([problem(location, "missing", "Field required", input=None)])
        self._access.require(request.headers, READ)
        start = _offset(query.cursor)
        hits = [_hit(*found) for found in self._find(query, words)]
        end = start + query.page_size
        page = {
            "meta": {"total": len(hits), "page": None, "page_size": query.page_size},
            "results": hits[start:end],
            "next_cursor": _cursor(end) if end < len(hits) else None,
            "has_more": end < len(hits),
        }
        return ApiResponse.of_json(page)

    def _find(
        self, query: ConversationQuery, text: str
    ) -> Iterator[tuple[SimulatedConversation, int, str]]:
        """Yield each message that has all words, with its conversation and its turn's index."""
        words = text.casefold().split()
        page: ConversationQuery | None = replace(query, page_size=LIST_PAGE_SIZE, cursor=None)
        while page is not None:
            conversations, cursor = self._conversations.page(page)
            for conversation in conversations:
                for index, message in enumerate(_messages(conversation)):
                    folded = message.casefold()
                    if words and all(word in folded for word in words):
                        yield conversation, index, message
            page = None if cursor is None else replace(page, cursor=cursor)


def _messages(conversation: SimulatedConversation) -> list[str]:
    """Return the text of each turn; "" for a turn without text."""
    transcript = conversation.detail()["transcript"]
    turns = transcript if isinstance(transcript, list) else []
    texts = (turn.get("message") if isinstance(turn, dict) else None for turn in turns)
    return [text if isinstance(text, str) else "" for text in texts]


def _hit(conversation: SimulatedConversation, index: int, message: str) -> dict[str, object]:
    summary = conversation.summary()
    return {
        "conversation_id": conversation.id,
        "agent_id": summary["agent_id"],
        "agent_name": summary["agent_name"],
        "transcript_index": index,
        "chunk_text": message,
        "chunk_highlights": None,
        "score": 1.0,
        "conversation_start_time_unix_secs": conversation.time,
    }


def _cursor(offset: int) -> str:
    return base64.b64encode(f"offset {offset}".encode()).decode()


def _offset(cursor: str | None) -> int:
    """Return the index at which a page begins.

    Raises:
        ApiError: 400, the cursor is malformed.
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
