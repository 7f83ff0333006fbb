"""Serve the endpoints under /v1/convai/conversations."""

from __future__ import annotations

from histfs.simulator.api_errors import ApiError, detail_body, known_conversation
from histfs.simulator.conversation import STATUSES
from histfs.simulator.conversation_shapes import OUTCOMES
from histfs.simulator.conversation_store import ConversationQuery, ConversationStore
from histfs.simulator.http_messages import ApiRequest, ApiResponse
from histfs.simulator.key_access import Access
from histfs.simulator.parameters import Parameters
from histfs.simulator.routing import Route

READ = "convai_read"
WRITE = "convai_write"

MAX_PAGE_SIZE = 100
DEFAULT_PAGE_SIZE = 30

_PATH = "/v1/convai/conversations"


class ConversationsApi:
    """Serve conversations. Thread-safe: all state is in the store.

    Args:
        conversations: The conversations.
        access: Checks keys.
        files: Whether the files that were sent in conversations are served.
    """

    def __init__(self, conversations: ConversationStore, access: Access, *, files: bool) -> None:
        self._conversations = conversations
        self._access = access
        self._files = files

    def routes(self) -> list[Route]:
        """Return the endpoints of this family."""
        return [
            Route("GET", _PATH, self._list),
            Route("GET", _PATH + "/{id}", self._get),
            Route("DELETE", _PATH + "/{id}", self._delete),
            Route("GET", _PATH + "/{id}/audio", self._audio),
            *([Route("GET", _PATH + "/{id}/files/{file_id}", self._file)] if self._files else []),
        ]

    def _list(self, request: ApiRequest) -> ApiResponse:
        query, with_summaries = parse_query(Parameters(request))
        self._access.require(request.headers, READ)
        try:
            conversations, cursor = self._conversations.page(query)
        except KeyError as error:
            message = "The provided cursor is invalid or expired."
            body = detail_body(400, "invalid_cursor", message, param="cursor")
            raise ApiError(400, body) from error
        summaries = [conversation.summary() for conversation in conversations]
        if not with_summaries:
            summaries = [{**summary, "transcript_summary": None} for summary in summaries]
        page = {"conversations": summaries, "next_cursor": cursor, "has_more": cursor is not None}
        return ApiResponse.of_json(page)

    def _get(self, request: ApiRequest) -> ApiResponse:
        self._access.require(request.headers, READ)
        conversation_id = request.path_values["id"]
        with known_conversation(conversation_id):
            return ApiResponse.of_json(self._conversations.detail(conversation_id))

    def _delete(self, request: ApiRequest) -> ApiResponse:
        self._access.require(request.headers, WRITE)
        conversation_id = request.path_values["id"]
        with known_conversation(conversation_id):
            self._conversations.remove(conversation_id)
        return ApiResponse.of_json({})

    def _audio(self, request: ApiRequest) -> ApiResponse:
        self._access.require(request.headers, READ)
        conversation_id = request.path_values["id"]
        with known_conversation(conversation_id):
            clip = self._conversations.request_clip(conversation_id)
        if clip is None:
            message = f"Missing audio for conversation {conversation_id}."
            raise ApiError(404, detail_body(404, "missing_conversation_audio", message))
        headers = {"content-type": clip.content_type}
        return ApiResponse(200, headers, clip.blocks(), len(clip), streamed=True)

    def _file(self, request: ApiRequest) -> ApiResponse:
        self._access.require(request.headers, READ)
        conversation_id, file_id = request.path_values["id"], request.path_values["file_id"]
        with known_conversation(conversation_id):
            file = self._conversations.file(conversation_id, file_id)
        if file is None:
            # The real API's answer is unknown; this one has the shape of its other 404 answers.
            message = f"File with id {file_id} not found."
            raise ApiError(404, detail_body(404, "conversation_file_not_found", message))
        headers = {"content-type": file.content_type}
        return ApiResponse(200, headers, file.blocks(), len(file), streamed=True)


def parse_query(
    parameters: Parameters, *, default: int = DEFAULT_PAGE_SIZE, maximum: int = MAX_PAGE_SIZE
) -> tuple[ConversationQuery, bool]:
    """Read the parameters of a listing; parameters that are not simulated are ignored.

    Args:
        parameters: The parameters of the request.
        default: The page size when the request has none.
        maximum: The largest page size.

    Returns:
        The query, and whether transcript summaries are requested.

    Raises:
        ApiError: 422 with all violations of the schema.
    """
    page_size = parameters.integer("page_size", low=1, high=maximum)
    query = ConversationQuery(
        page_size=default if page_size is None else page_size,
        cursor=parameters.text("cursor"),
        ascending=parameters.choice("sort_direction", ("asc", "desc")) == "asc",
        before_unix=parameters.integer("call_start_before_unix"),
        after_unix=parameters.integer("call_start_after_unix"),
        agent_id=parameters.text("agent_id"),
        outcome=parameters.choice("call_successful", OUTCOMES),
        min_seconds=parameters.integer("call_duration_min_secs"),
        max_seconds=parameters.integer("call_duration_max_secs"),
        user_id=parameters.text("user_id"),
        languages=frozenset(parameters.texts("main_languages")),
        tools=frozenset(parameters.texts("tool_names")),
        min_rating=parameters.integer("rating_min", low=1, high=5),
        max_rating=parameters.integer("rating_max", low=1, high=5),
        text_only=parameters.boolean("text_only"),
        excluded_statuses=frozenset(parameters.choices("exclude_statuses", STATUSES)),
        search=parameters.text("search"),
    )
    with_summaries = parameters.choice("summary_mode", ("exclude", "include")) == "include"
    parameters.check()
    return query, with_summaries
