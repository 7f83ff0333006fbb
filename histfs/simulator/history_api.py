"""Serve the endpoints under /v1/history."""

from __future__ import annotations

from histfs.simulator.api_errors import (
    ApiError,
    detail_body,
    flat_body,
    known_item,
    problem,
    validation_error,
)
from histfs.simulator.byte_ranges import etag_of, part_of
from histfs.simulator.clip_bytes import WAV
from histfs.simulator.history_store import HistoryStore, ListQuery
from histfs.simulator.http_messages import ApiRequest, ApiResponse
from histfs.simulator.key_access import Access
from histfs.simulator.parameters import Parameters
from histfs.simulator.routing import Route
from histfs.simulator.simulator_settings import SimulatorSettings
from histfs.simulator.zip_download import file_name, pack

READ = "speech_history_read"
WRITE = "speech_history_write"

MAX_PAGE_SIZE = 1000

_SOURCES = ("TTS", "STS", "Flows")
_DIRECTIONS = ("asc", "desc")


class HistoryApi:
    """Serve the history. Thread-safe: all state is in the store."""

    def __init__(self, library: HistoryStore, access: Access, settings: SimulatorSettings) -> None:
        self._library = library
        self._access = access
        self._settings = settings

    def routes(self) -> list[Route]:
        """Return the endpoints of this family."""
        head = [Route("HEAD", "/v1/history/{id}/audio", self._audio_head)]
        return [
            *(head if self._settings.audio_head else ()),
            Route("GET", "/v1/history", self._list),
            Route("POST", "/v1/history/download", self._download),
            Route("GET", "/v1/history/{id}", self._get),
            Route("DELETE", "/v1/history/{id}", self._delete),
            Route("GET", "/v1/history/{id}/audio", self._audio),
        ]

    def _list(self, request: ApiRequest) -> ApiResponse:
        query = parse_list_query(Parameters(request))
        self._access.require(request.headers, READ)
        check_list_query(query, self._settings.needs_source, self._settings.needs_source_status)
        try:
            page = self._library.page_json(query)
        except KeyError as error:
            message = "The provided cursor is invalid or expired."
            param = "start_after_history_item_id"
            raise ApiError(400, detail_body(400, "invalid_cursor", message, param=param)) from error
        return ApiResponse.of_bytes(page, "application/json")

    def _get(self, request: ApiRequest) -> ApiResponse:
        self._access.require(request.headers, READ)
        item_id = request.path_values["id"]
        with known_item(item_id):
            return ApiResponse.of_bytes(self._library.item_json(item_id), "application/json")

    def _delete(self, request: ApiRequest) -> ApiResponse:
        self._access.require(request.headers, WRITE)
        item_id = request.path_values["id"]
        with known_item(item_id):
            self._library.remove(item_id)
        return ApiResponse.of_json({"status": "ok"})

    def _audio(self, request: ApiRequest) -> ApiResponse:
        self._access.require(request.headers, READ)
        response = self._audio_file(request.path_values["id"], wav=False)
        if self._settings.audio_etags:
            response.headers["etag"] = etag_of(response)
        return part_of(response, request) if self._settings.audio_ranges else response

    def _audio_head(self, request: ApiRequest) -> ApiResponse:
        response = self._audio(request)
        # With a length also where the clip itself comes in chunks.
        response.streamed = False
        response.length += self._settings.audio_head_excess.get(request.path_values["id"], 0)
        return response

    def _audio_file(self, item_id: str, *, wav: bool) -> ApiResponse:
        with known_item(item_id):
            clip = self._library.clip(item_id, wav=wav)
        headers = {"content-type": clip.content_type}
        return ApiResponse(200, headers, clip.blocks(), len(clip), streamed=True)

    def _download(self, request: ApiRequest) -> ApiResponse:
        ids, output_format = parse_download(request)
        self._access.require(request.headers, READ)
        if output_format not in {"wav", "default", None}:
            message = "output_format must be wav or none"
            raise ApiError(400, flat_body(400, "invalid_output_format", message))
        if not ids:
            message = "At least one history item id is needed."
            raise ApiError(400, detail_body(400, message=message, param="history_item_ids"))
        wav = output_format == "wav"
        if len(ids) == 1:
            return self._audio_file(ids[0], wav=wav)
        files = []
        for item_id in ids:
            with known_item(item_id):
                item, clip = self._library.item(item_id), self._library.clip(item_id, wav=wav)
            suffix = ".wav" if clip.content_type == WAV else ".mp3"
            files.append((file_name(item, suffix), clip))
        response = ApiResponse.of_bytes(pack(files), "application/zip")
        response.streamed = True
        return response


def parse_list_query(parameters: Parameters) -> ListQuery:
    """Read the parameters of a listing.

    Raises:
        ApiError: 422 with all violations of the schema.
    """
    page_size = parameters.integer("page_size")
    query = ListQuery(
        page_size=100 if page_size is None else page_size,
        after=parameters.text("start_after_history_item_id"),
        ascending=parameters.choice("sort_direction", _DIRECTIONS) == "asc",
        before_unix=parameters.integer("date_before_unix"),
        after_unix=parameters.integer("date_after_unix"),
        voice_id=parameters.text("voice_id"),
        model_id=parameters.text("model_id"),
        source=parameters.choice("source", _SOURCES),
        search=parameters.text("search"),
    )
    parameters.check()
    return query


def check_list_query(query: ListQuery, needs_source: frozenset[str], status: int) -> None:
    """Check the API's rules beyond the schema.

    Raises:
        ApiError: 400; `status` where only the source is missing.
    """
    if not 1 <= query.page_size <= MAX_PAGE_SIZE:
        message = f"page_size must be between 1 and {MAX_PAGE_SIZE}."
        raise ApiError(400, detail_body(400, "invalid_page_size", message, param="page_size"))
    values = {"model_id": query.model_id, "search": query.search}
    present = [name for name in sorted(needs_source) if values[name] is not None]
    if present and query.source is None:
        message = f"source is required when {present[0]} is given."
        if status == 422:
            raise validation_error([problem(("query", "source"), "missing", message, input=None)])
        raise ApiError(status, detail_body(status, message=message, param="source"))


def parse_download(request: ApiRequest) -> tuple[list[str], str | None]:
    """Read the body of a download request.

    Returns:
        The ids and the output format.

    Raises:
        ApiError: 422 with all violations of the schema.
    """
    body = request.json_object()
    location = ("body", "history_item_ids")
    if "history_item_ids" not in body:
        raise validation_error([problem(location, "missing", "Field required", input=body)])
    ids = body["history_item_ids"]
    if not isinstance(ids, list):
        message = "Input should be a valid list"
        raise validation_error([problem(location, "list_type", message, input=ids)])
    message = "Input should be a valid string"
    problems = [
        problem((*location, index), "string_type", message, input=value)
        for index, value in enumerate(ids)
        if not isinstance(value, str)
    ]
    output_format = body.get("output_format")
    if output_format is not None and not isinstance(output_format, str):
        field = ("body", "output_format")
        problems.append(problem(field, "string_type", message, input=output_format))
        output_format = None
    if problems:
        raise validation_error(problems)
    return ids, output_format
