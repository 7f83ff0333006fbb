"""The speech history as a `Source` (API reference, "History").

Implements `histfs.core.source.Source`, and what else the API offers for history items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

import msgspec

from histfs.core.errors import (
    BadAnswer,
    Missing,
    Rejected,
    ServerFailed,
    SourceError,
    Unreachable,
)
from histfs.core.item import Details, Record
from histfs.core.source import SPAN, WORDS, Page, Query, Traits
from histfs.core.times import ALWAYS
from histfs.sources.elevenlabs.http import Body, Http
from histfs.sources.elevenlabs.items import details_of, record_of, records_of
from histfs.sources.elevenlabs.parsing import dump, leniently, strictly

#: The most items that one page may hold.
PAGE_SIZE = 1000

_PATH = "/v1/history"
_AUDIO_TYPES = ("audio/", "video/")
_OTHER_AUDIO = {"", "application/ogg", "application/octet-stream", "binary/octet-stream"}


class _Answer(msgspec.Struct):
    """The answer that is a page."""

    history: list[msgspec.Raw]
    has_more: bool
    last_history_item_id: Any = None


class _Listing(NamedTuple):
    """What a page says: its objects in JSON, and how it goes on."""

    history: list[bytes]
    has_more: bool
    cursor: Any


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode


class History:
    """The history of the account that a key belongs to.

    Args:
        http: the server and the key.
    """

    traits = Traits(
        facets=frozenset({"voice", "source", "model"}),
        filters=frozenset({SPAN, WORDS}),
        page_size=PAGE_SIZE,
        views=("by-date", "by-voice", "by-source", "search"),
    )

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self, query: Query) -> Page:
        """Return one page of items, newest first."""
        return self.page(
            page_size=query.limit or PAGE_SIZE,
            start_after_history_item_id=query.after,
            date_after_unix=query.span.start if query.span.start > ALWAYS.start else None,
            date_before_unix=query.span.end if query.span.end < ALWAYS.end else None,
            search=query.words,
        )

    def page(
        self,
        *,
        page_size: int | None = None,
        start_after_history_item_id: str | None = None,
        voice_id: str | None = None,
        model_id: str | None = None,
        source: Literal["TTS", "STS", "Flows"] | None = None,
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
            model_id: only items of this model; the API wants ``source`` with it.
            source: only items of this source.
            date_before_unix: only items from before this moment, exclusive, in seconds.
            date_after_unix: only items from this moment on, inclusive, in seconds.
            sort_direction: by date; the API's default is ``desc``.
            search: only items that match these words.

        Raises:
            ValueError: the API is known to refuse these arguments.
            SourceError: the source failed.
        """
        if page_size is not None and not 1 <= page_size <= PAGE_SIZE:
            raise ValueError(f"page_size is 1 to {PAGE_SIZE}, not {page_size}")
        if model_id is not None and source is None:
            raise ValueError("model_id needs source")
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
        query = {name: value for name, value in asked.items() if value is not None}
        try:
            return self._http.json("GET", _PATH, _page, query)
        except Missing as error:
            raise Rejected(f"there is no history at this address: {error}") from error

    def get(self, item_id: str) -> Record:
        """Return one item (``GET /v1/history/{id}``)."""
        return self._http.json("GET", _path(item_id), _item)

    def delete(self, item_id: str) -> None:
        """Delete one item (``DELETE /v1/history/{id}``), with one request.

        When the answer is lost, or comes from somebody in between, the item is asked for, which
        tells whether it was deleted.
        """
        try:
            self._http.json("DELETE", _path(item_id), _done)
        except (Unreachable, ServerFailed, BadAnswer) as error:
            try:
                self.get(item_id)
            except Missing:
                return
            except SourceError as unsettled:
                # Not this one: that asking is refused says nothing of the delete.
                raise error from unsettled
            raise

    @contextmanager
    def audio(self, item_id: str) -> Iterator[Body]:
        """Open the audio of an item (``GET /v1/history/{id}/audio``)."""
        with self._http.stream("GET", f"{_path(item_id)}/audio") as body:
            _expect_audio(body)
            yield body

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


def _path(item_id: str) -> str:
    if item_id in ("", ".", ".."):
        # Steps in a path (RFC 3986, section 3.3), and escaping them changes nothing. Not `Missing`,
        # which would have the item forgotten though the server lists it.
        raise Rejected(f"an item with the id {item_id!r} can't be asked for")
    return f"{_PATH}/{quote(item_id.encode('utf-8', 'surrogatepass'), safe='')}"


def _page(content: bytes) -> Page:
    """Read a page; go on only while ``has_more`` and a cursor are both there."""
    listing = strictly(_listing, content) or _odd_listing(content)
    cursor = listing.cursor
    if listing.has_more and not (isinstance(cursor, str) and cursor):
        raise BadAnswer("the server says that there is more, but not how to ask for it")
    return Page(records_of(listing.history), cursor if listing.has_more else None)


def _listing(content: bytes) -> _Listing:
    answer = _decode_answer(content)
    history = list(map(bytes, answer.history))
    for raw in history:
        # msgspec takes any bytes for the text of what it skips.
        if not raw.isascii():
            raw.decode()
    return _Listing(history, answer.has_more, answer.last_history_item_id)


def _odd_listing(content: bytes) -> _Listing:
    answer = leniently(content)
    if not isinstance(answer, dict):
        raise BadAnswer("the answer is JSON, but not an object")
    history, has_more = answer.get("history"), answer.get("has_more")
    if not isinstance(history, list) or not isinstance(has_more, bool):
        raise BadAnswer("the answer is not a page of history items")
    return _Listing(list(map(dump, history)), has_more, answer.get("last_history_item_id"))


def _item(content: bytes) -> Record:
    """Read the answer that is one item."""
    raw = strictly(_sent, content) or dump(leniently(content))
    if not raw.startswith(b"{"):
        raise BadAnswer("the answer is JSON, but not an object")
    return record_of(raw)


def _done(content: bytes) -> None:
    """Read the answer to a delete: ``{"status": "ok"}``; what else is done says so when asked."""
    answer = leniently(content)
    if not isinstance(answer, dict) or answer.get("status") != "ok":
        raise BadAnswer("the answer doesn't say that the item is deleted")


def _sent(content: bytes) -> bytes:
    """Return JSON as it was sent, without the spaces around it."""
    content.decode()
    return bytes(_decode_raw(content))


def _expect_audio(body: Body) -> None:
    if not body.content_type.startswith(_AUDIO_TYPES) and body.content_type not in _OTHER_AUDIO:
        raise BadAnswer(f"the answer is not audio but {body.content_type}")
