"""The speech history as a `Source` (API reference, "History").

Implements `histfs.core.source.Source`, and the other requests of the API for history items.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Literal

from histfs.core.errors import Missing, Rejected
from histfs.core.source import SPAN, WORDS, ObjectParser, Page, Query, Traits
from histfs.core.times import ALWAYS, LATEST
from histfs.sources.elevenlabs.history_objects import details_of, record_of, records_of
from histfs.sources.elevenlabs.history_search import HistorySearch
from histfs.sources.elevenlabs.http_client import HttpClient
from histfs.sources.elevenlabs.response_bodies import StreamedBody
from histfs.sources.elevenlabs.rest_source import DISORDER, Resource, RestSource
from histfs.sources.elevenlabs.row_fields import row_fields
from histfs.sources.elevenlabs.timed_words import timed_words_of_clip

#: The most items of one page.
PAGE_SIZE = 1000
#: The version of the parser (`ObjectParser.version`): 1 added the lines of dialogues, 2 the times
#: of words, and estimates of clips without a text.
PARSER_VERSION = 2


def _is_deleted(response: Any) -> bool:  # noqa: ANN401 - any JSON
    """Return whether the response to a DELETE is ``{"status": "ok"}``."""
    return isinstance(response, dict) and response.get("status") == "ok"


class HistorySource(RestSource):
    """The history of the account that a key belongs to.

    Args:
        http: the server and the key.
    """

    traits = Traits(
        facets=frozenset({"voice", "source", "model"}),
        filters=frozenset({SPAN, WORDS}),
        page_size=PAGE_SIZE,
        audio_sizes=True,
        disorder=DISORDER,
        views=("by-date", "by-voice", "by-source", "search"),
        # The catalog keeps the dates of its items, so any date is accepted here.
        parser=ObjectParser(PARSER_VERSION, partial(record_of, now=LATEST)),
        row_fields=row_fields,
        timed_words=timed_words_of_clip,
        files=("meta", "text", "srt", "audio"),
    )
    resource = Resource(
        path="/v1/history",
        objects_field="history",
        cursor_field="last_history_item_id",
        cursor_is_id=True,
        parse_page=records_of,
        parse_object=record_of,
        parse_details=details_of,
        is_deleted=_is_deleted,
    )

    def __init__(self, http: HttpClient) -> None:
        super().__init__(http)
        self._search = HistorySearch(self._list)

    def list(self, query: Query) -> Page:
        """Return one page of items, newest first; of a search, in the server's order."""
        return self._list(query, None) if query.words is None else self._search.page(query)

    def _list(self, query: Query, source: str | None) -> Page:
        return self.page(
            page_size=query.limit or PAGE_SIZE,
            start_after_history_item_id=query.after,
            date_after_unix=query.span.start if query.span.start > ALWAYS.start else None,
            date_before_unix=query.span.end if query.span.end < ALWAYS.end else None,
            search=query.words,
            source=source,
        )

    def page(
        self,
        *,
        page_size: int | None = None,
        start_after_history_item_id: str | None = None,
        voice_id: str | None = None,
        model_id: str | None = None,
        source: str | None = None,
        date_before_unix: int | None = None,
        date_after_unix: int | None = None,
        sort_direction: Literal["asc", "desc"] | None = None,
        search: str | None = None,
    ) -> Page:
        """Return one page of the list (``GET /v1/history``).

        Args:
            page_size: items on the page, at most 1000.
            start_after_history_item_id: the cursor of the page before.
            voice_id: only items of this voice.
            model_id: only items of this model.
            source: only items of this source; TTS, STS and Flows are documented.
            date_before_unix: only items before this time, exclusive, in seconds.
            date_after_unix: only items from this time on, inclusive, in seconds.
            sort_direction: by date; the API's default is ``desc``.
            search: only items that match these words; a server may require ``source`` with it.

        Raises:
            ValueError: the API is documented to refuse these arguments.
            SourceError: the source failed.
        """
        if page_size is not None and not 1 <= page_size <= PAGE_SIZE:
            raise ValueError(f"page_size is 1 to {PAGE_SIZE}, not {page_size}")
        parameters: dict[str, str | int | None] = {
            "page_size": page_size,
            "start_after_history_item_id": start_after_history_item_id,
            "voice_id": voice_id,
            "model_id": model_id,
            "source": source,
            "date_before_unix": date_before_unix,
            "date_after_unix": date_after_unix,
            "sort_direction": sort_direction,
            "search": search,
        }
        try:
            return self._get_page(parameters)
        except Missing as error:
            raise Rejected(f"there is no history at this address: {error}") from error

    def download(
        self, item_ids: Sequence[str], output_format: Literal["wav", "default"] = "default"
    ) -> AbstractContextManager[StreamedBody]:
        """Open a download (``POST /v1/history/download``).

        Args:
            item_ids: one id for its audio, several for a zip file.
            output_format: ``wav`` to have the audio transcoded.
        """
        payload = {"history_item_ids": list(item_ids), "output_format": output_format}
        return self._http.stream("POST", f"{self.resource.path}/download", payload)
