"""Conversations with agents as a `Source` (API reference, "Conversations").

A list has a summary of each conversation. The transcript, the telephone call and whether there is
audio are in the complete object, which `ConversationSource.get` requests.

What was said is searched for on the server (`_search`,
``GET /v1/convai/conversations/messages/text-search``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from histfs.core.errors import (
    BadAnswer,
    Missing,
    NoAttachment,
    NoAudio,
    NotOffered,
    NotReady,
    Rejected,
    SourceError,
)
from histfs.core.source import SPAN, WORDS, AudioStream, Named, ObjectParser, Page, Query, Traits
from histfs.core.times import ALWAYS, LATEST
from histfs.sources.elevenlabs.conversation_objects import details_of, record_of, records_of
from histfs.sources.elevenlabs.http_client import HttpClient
from histfs.sources.elevenlabs.json_parsing import dates_of, parse_lenient, string_of
from histfs.sources.elevenlabs.rest_source import DISORDER, Resource, RestSource
from histfs.sources.elevenlabs.row_fields import row_fields
from histfs.sources.elevenlabs.timed_words import timed_words_of_conversation

#: The most conversations of one page.
PAGE_SIZE = 100

#: Responses to a DELETE that mean success. None is documented; after any other one the caller asks
#: the server whether the conversation is gone.
_DELETED: tuple[object, ...] = (None, {}, {"status": "ok"})
#: The most results of one page of a search.
_SEARCH_PAGE_SIZE = 50

_SEARCH_PATH = "/v1/convai/conversations/messages/text-search"


def _is_deleted(response: Any) -> bool:  # noqa: ANN401 - any JSON
    return response in _DELETED


class ConversationSource(RestSource):
    """The conversations of the workspace that a key belongs to.

    Args:
        http: the server and the key.
        certain: whether the server is known to have conversations. A 404 for the list is then an
            error, and not the absence of conversations: a backup must not lose them.
    """

    traits = Traits(
        facets=frozenset({"agent", "outcome", "call", "channel", "language", "tag"}),
        filters=frozenset({SPAN, WORDS}),
        page_size=PAGE_SIZE,
        disorder=DISORDER,
        # They are opaque, and have a field that is called "offset".
        stable_cursors=False,
        summaries=True,
        attachments=True,
        audio_sizes=True,
        views=("by-date", "by-agent", "by-outcome", "by-call", "search"),
        files=("summary", "meta", "text", "srt", "attachments", "audio"),
        # 1 added channels, languages, tags, and whether there are turns.
        parser=ObjectParser(1, partial(record_of, now=LATEST)),
        row_fields=row_fields,
        timed_words=timed_words_of_conversation,
    )
    resource = Resource(
        path="/v1/convai/conversations",
        objects_field="conversations",
        cursor_field="next_cursor",
        cursor_is_id=False,
        parse_page=records_of,
        parse_object=record_of,
        parse_details=details_of,
        is_deleted=_is_deleted,
    )

    def __init__(self, http: HttpClient, certain: bool = False) -> None:
        super().__init__(http)
        self._certain = certain

    def list(self, query: Query) -> Page:
        """Return one page of conversations, newest first (``GET /v1/convai/conversations``).

        A search only names the conversations; the list's own parameter for words is deprecated.

        Raises:
            NotOffered: the server has no list of conversations, or no search of them.
        """
        if query.words is not None:
            return _search(self._http, query)
        span = query.span
        # Whether the bounds are inclusive isn't documented: these cover the span either way, and
        # what lies outside of it is dropped below.
        after = span.start - 1 if span.start > ALWAYS.start else None
        before = span.end if span.end < ALWAYS.end else None
        parameters = {
            "page_size": min(query.limit or PAGE_SIZE, PAGE_SIZE),
            "cursor": query.after,
            "call_start_after_unix": after,
            "call_start_before_unix": before,
            # The summary is the name of a conversation without a title.
            "summary_mode": "include",
        }
        try:
            page = self._get_page(parameters)
        except (Missing, NotOffered) as error:
            # A server that returned the previous page has the list: the cursor is unknown.
            error_class = Rejected if query.after or self._certain else NotOffered
            raise error_class(f"there are no conversations at this address: {error}") from error
        records = [
            record for record in page.records if span.holds(record.item.date) or not record.dated
        ]
        # A server that ignores the start of the span continues below it.
        below_span = any(record.dated for record in page.records) and all(
            record.item.date < span.start for record in page.records if record.dated
        )
        return Page(records, None if below_span else page.cursor)

    @contextmanager
    def audio(self, item_id: str) -> Iterator[AudioStream]:
        """Open the recording (``GET /v1/convai/conversations/{id}/audio``)."""
        with ExitStack() as stack:
            try:
                body = stack.enter_context(super().audio(item_id))
            except NotReady as error:
                raise self._missing_audio_error(item_id) from error
            yield body

    @contextmanager
    def attachment(self, item_id: str, attachment_id: str) -> Iterator[AudioStream]:
        """Open a file that was sent (``GET /v1/convai/conversations/{id}/files/{file_id}``).

        The ``file_url`` beside its id is never requested: it may point to any host.
        """
        with ExitStack() as stack:
            try:
                body = stack.enter_context(self._open_file(item_id, attachment_id))
            except Missing as error:
                raise self._missing_file_error(item_id, error) from error
            yield body

    def _missing_audio_error(self, item_id: str) -> SourceError:
        """Return why there is no recording: the server has one error for never and not yet."""
        if self.describe(self.get(item_id).raw).has_audio is False:
            return NoAudio("the conversation has no recording")
        return NotReady("the recording of the conversation is still being made: try again later")

    def _missing_file_error(self, item_id: str, error: Missing) -> SourceError:
        """Return what a 404 for a file means.

        A conversation may be deleted without a copy of a missing file. So it must be certain that
        the file is missing: an error code of the API has to name a file. Without one, the 404 may
        come from a server or a proxy that doesn't know the path.

        Raises:
            Missing: the conversation is gone.
        """
        self.get(item_id)
        if any("file" in code for code in error.codes):
            return NoAttachment(f"the server no longer has the file: {error}")
        return Rejected(f"the server does not return the file: {error}")


def _search(http: HttpClient, query: Query) -> Page:
    """Return one page of the conversations in which words were said, as `Page.named`.

    A result names its conversation; several results may name the same one. (``smart-search``
    searches by meaning, and has no end: everything is somewhat similar.) An older server, or one
    of another vendor, may have neither.

    Args:
        http: the server and the key.
        query: the words, and the cursor of the page before.

    Raises:
        NotOffered: the server has no such search.
        SourceError: the source failed.
    """
    parameters: dict[str, str | int] = {
        "text_query": query.words or "",
        "page_size": _SEARCH_PAGE_SIZE,
    }
    if query.after is not None:
        parameters["cursor"] = query.after
    try:
        return http.json(
            "GET",
            _SEARCH_PATH,
            lambda content: _parse_results(content, http.server_time),
            parameters,
        )
    except (Missing, NotOffered) as error:
        # A server that returned the previous page has the search: the cursor is unknown.
        error_class = Rejected if query.after else NotOffered
        raise error_class(f"the server has no search of conversations: {error}") from error


def _parse_results(content: bytes, now: float) -> Page:
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
