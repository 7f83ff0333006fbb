"""The speech history as a `Source` (API reference, "History").

Implements `histfs.core.source.Source`, and what else the API offers for history items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Literal

from histfs.core.errors import Missing, Rejected
from histfs.core.item import Details, Record
from histfs.core.source import SPAN, WORDS, ObjectParser, Page, Query, Traits
from histfs.core.times import ALWAYS, LATEST
from histfs.sources.elevenlabs.history_objects import details_of, record_of, records_of
from histfs.sources.elevenlabs.history_search import HistorySearch
from histfs.sources.elevenlabs.http_client import Body, HttpClient
from histfs.sources.elevenlabs.rest_collection import DISORDER, Fields, RestCollection

#: The most items that one page may hold.
PAGE_SIZE = 1000
#: Raised when something else is read from the same object: 1, the lines of dialogues.
READING = 1

_PATH = "/v1/history"


class HistorySource:
    """The history of the account that a key belongs to.

    Args:
        http: the server and the key.
    """

    traits = Traits(
        facets=frozenset({"voice", "source", "model"}),
        filters=frozenset({SPAN, WORDS}),
        page_size=PAGE_SIZE,
        disorder=DISORDER,
        views=("by-date", "by-voice", "by-source", "search"),
        # The catalog keeps the dates under which items stand.
        parser=ObjectParser(READING, partial(record_of, now=LATEST)),
    )

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._items = RestCollection(
            http,
            _PATH,
            Fields("history", "last_history_item_id", cursor_is_id=True),
            records_of,
            record_of,
        )
        self._search = HistorySearch(self._page)

    def list(self, query: Query) -> Page:
        """Return one page of items, newest first; what words find, in the server's order."""
        return self._page(query, None) if query.words is None else self._search.page(query)

    def _page(self, query: Query, source: str | None) -> Page:
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
            date_before_unix: only items from before this moment, exclusive, in seconds.
            date_after_unix: only items from this moment on, inclusive, in seconds.
            sort_direction: by date; the API's default is ``desc``.
            search: only items that match these words; a server may want ``source`` with it.

        Raises:
            ValueError: the API is known to refuse these arguments.
            SourceError: the source failed.
        """
        if page_size is not None and not 1 <= page_size <= PAGE_SIZE:
            raise ValueError(f"page_size is 1 to {PAGE_SIZE}, not {page_size}")
        asked: dict[str, str | int | None] = {
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
            return self._items.page(asked)
        except Missing as error:
            raise Rejected(f"there is no history at this address: {error}") from error

    def get(self, item_id: str) -> Record:
        """Return one item (``GET /v1/history/{id}``)."""
        return self._items.get(item_id)

    def delete(self, item_id: str) -> None:
        """Delete one item (``DELETE /v1/history/{id}``), with one request."""
        self._items.delete(item_id, _is_done)

    def audio(self, item_id: str) -> AbstractContextManager[Body]:
        """Open the audio of an item (``GET /v1/history/{id}/audio``)."""
        return self._items.audio(item_id)

    @contextmanager
    def download(
        self, item_ids: Sequence[str], output_format: Literal["wav", "default"] = "default"
    ) -> Iterator[Body]:
        """Open a download (``POST /v1/history/download``).

        Args:
            item_ids: one id for its audio, several for a zip file.
            output_format: ``wav`` to have the audio transcoded.
        """
        payload = {"history_item_ids": list(item_ids), "output_format": output_format}
        with self._http.stream("POST", f"{_PATH}/download", payload) as body:
            yield body

    def describe(self, raw: bytes) -> Details:
        """Read the details out of an item's raw object."""
        return details_of(raw)

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()


def _is_done(answer: Any) -> bool:  # noqa: ANN401 - whatever JSON holds
    """Read the answer to a delete: ``{"status": "ok"}``; what else is done says so when asked."""
    return isinstance(answer, dict) and answer.get("status") == "ok"
