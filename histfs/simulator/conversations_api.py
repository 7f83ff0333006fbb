"""The family of endpoints under /v1/convai/conversations."""

from __future__ import annotations

from histfs.simulator.api_errors import ApiError, detail_body, known_conversation
from histfs.simulator.conversation import OUTCOMES, STATUSES
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


class ConvaiApi:
    """Answers for conversations. As thread-safe as those."""

    def __init__(
        self, conversations: ConversationStore, access: Access, *, files: bool = True
    ) -> None:
        """Takes the conversations and the keys that may see them, and whether it has files."""
        self._conversations = conversations
        self._access = access
        self._files = files

    def routes(self) -> list[Route]:
        """Gives the endpoints of this family."""
        return [
            Route("GET", _PATH, self._list),
            Route("GET", _PATH + "/{id}", self._get),
            Route("DELETE", _PATH + "/{id}", self._delete),
            Route("GET", _PATH + "/{id}/audio", self._audio),
            *([] if not self._files else self._file_routes()),
        ]

    def _file_routes(self) -> list[Route]:
        """Gives the endpoints of files that were sent, which came late."""
        path = _PATH + "/{id}/files/{file_id}"
        return [Route("GET", path, self._file), Route("DELETE", path, self._delete_file)]

    def _list(self, request: ApiRequest) -> ApiResponse:
        query, with_summaries = parse_query(Parameters(request))
        self._access.require(request.headers, READ)
        try:
            calls, cursor = self._conversations.page(query)
        except KeyError as error:
            message = "The provided cursor is invalid or expired."
            body = detail_body(400, "invalid_cursor", message, param="cursor")
            raise ApiError(400, body) from error
        summaries = [call.summary() for call in calls]
        if not with_summaries:
            summaries = [{**summary, "transcript_summary": None} for summary in summaries]
        page = {"conversations": summaries, "next_cursor": cursor, "has_more": cursor is not None}
        return ApiResponse.of_json(page)

    def _get(self, request: ApiRequest) -> ApiResponse:
        parameters = Parameters(request)
        traced = parameters.choice("format", ("json", "opentelemetry")) == "opentelemetry"
        parameters.check()
        self._access.require(request.headers, READ)
        conversation_id = request.path_values["id"]
        with known_conversation(conversation_id):
            detail = self._conversations.detail(conversation_id)
        return ApiResponse.of_json(
            {**detail, "otlp_traces": {"resourceSpans": []}} if traced else detail
        )

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
            clip = self._conversations.ask_clip(conversation_id)
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
            raise _no_file(file_id)
        headers = {"content-type": file.content_type}
        return ApiResponse(200, headers, file.blocks(), len(file), streamed=True)

    def _delete_file(self, request: ApiRequest) -> ApiResponse:
        self._access.require(request.headers, WRITE)
        conversation_id, file_id = request.path_values["id"], request.path_values["file_id"]
        with known_conversation(conversation_id):
            if not self._conversations.remove_file(conversation_id, file_id):
                raise _no_file(file_id)
        return ApiResponse.of_json({})


def _no_file(file_id: str) -> ApiError:
    # What the API answers was never seen; this is what it answers for other things.
    message = f"File with id {file_id} not found."
    return ApiError(404, detail_body(404, "conversation_file_not_found", message))


def parse_query(
    parameters: Parameters, *, default: int = DEFAULT_PAGE_SIZE, maximum: int = MAX_PAGE_SIZE
) -> tuple[ConversationQuery, bool]:
    """Reads the parameters of a listing; those that are not simulated are ignored.

    Args:
        parameters: Of the request.
        default: The page size where none is asked for.
        maximum: The largest page size.

    Returns:
        What is asked for, and whether summaries of what was said are.

    Raises:
        ApiError: 422 with everything that breaks the schema.
    """
    page_size = parameters.integer("page_size", low=1, high=maximum)
    agent = parameters.text("agent_id")
    visited = parameters.texts("visited_agent_ids")
    query = ConversationQuery(
        page_size=default if page_size is None else page_size,
        cursor=parameters.text("cursor"),
        ascending=parameters.choice("sort_direction", ("asc", "desc")) == "asc",
        before_unix=parameters.integer("call_start_before_unix"),
        after_unix=parameters.integer("call_start_after_unix"),
        agent_ids=frozenset([agent] if agent else visited),
        outcome=parameters.choice("call_successful", OUTCOMES),
        min_seconds=parameters.integer("call_duration_min_secs"),
        max_seconds=parameters.integer("call_duration_max_secs"),
        user_id=parameters.text("user_id"),
        languages=frozenset(parameters.texts("main_languages")),
        tools=frozenset(parameters.texts("tool_names")),
        source=parameters.text("conversation_initiation_source"),
        termination_reasons=frozenset(parameters.texts("termination_reasons")),
        min_rating=parameters.integer("rating_min", low=1, high=5),
        max_rating=parameters.integer("rating_max", low=1, high=5),
        text_only=parameters.boolean("text_only"),
        without=frozenset(parameters.choices("exclude_statuses", STATUSES)),
        search=parameters.text("search"),
    )
    with_summaries = parameters.choice("summary_mode", ("exclude", "include")) == "include"
    parameters.check()
    return query, with_summaries
