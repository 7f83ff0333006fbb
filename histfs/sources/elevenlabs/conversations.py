"""Conversations with agents as a `Source` (API reference, "Conversations").

The list has a summary of each; transcript, telephone call and whether there is audio are in the
whole object, which `ConversationSource.get` asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from histfs.core.errors import (
    Missing,
    NoAttachment,
    NoAudio,
    NotOffered,
    NotReady,
    Rejected,
    SourceError,
)
from histfs.core.item import Details, Record
from histfs.core.source import SPAN, WORDS, Page, Query, Traits
from histfs.core.times import ALWAYS
from histfs.sources.elevenlabs import conversation_search
from histfs.sources.elevenlabs.conversation_objects import details_of, record_of, records_of
from histfs.sources.elevenlabs.http_client import Body, HttpClient
from histfs.sources.elevenlabs.rest_collection import DISORDER, Fields, RestCollection

#: The most conversations that one page may hold.
PAGE_SIZE = 100

_PATH = "/v1/convai/conversations"
#: Answers to a delete that mean success. None is documented; after any other one the server is
#: asked whether the conversation is gone.
_DONE: tuple[object, ...] = (None, {}, {"status": "ok"})


class ConversationSource:
    """The conversations of the workspace that a key belongs to.

    Args:
        http: the server and the key.
        certain: whether the server is known to have conversations: one that says it has none is
            wrong then, and a backup must not lose them.
    """

    traits = Traits(
        facets=frozenset({"agent", "outcome", "call"}),
        filters=frozenset({SPAN, WORDS}),
        page_size=PAGE_SIZE,
        disorder=DISORDER,
        # They are opaque, and have a field that is called "offset".
        stable_cursors=False,
        summaries=True,
        attachments=True,
        views=("by-date", "by-agent", "by-outcome", "by-call", "search"),
        files=("summary", "meta", "text", "attachments", "audio"),
    )

    def __init__(self, http: HttpClient, certain: bool = False) -> None:
        self._http = http
        self._certain = certain
        self._conversations = RestCollection(
            http, _PATH, Fields("conversations", "next_cursor"), records_of, record_of
        )

    def list(self, query: Query) -> Page:
        """Return one page of conversations, newest first (``GET /v1/convai/conversations``).

        Those that words find are only named: the list's own search for words is deprecated.

        Raises:
            NotOffered: the server has no conversations, and may be one that has none; or it has no
                search of them.
        """
        if query.words is not None:
            return conversation_search.search(self._http, query)
        span = query.span
        # Whether these bounds are in or out isn't documented: asked for are those that give all of
        # the span either way, and what is too much of it is left out here.
        after = span.start - 1 if span.start > ALWAYS.start else None
        before = span.end if span.end < ALWAYS.end else None
        asked = {
            "page_size": min(query.limit or PAGE_SIZE, PAGE_SIZE),
            "cursor": query.after,
            "call_start_after_unix": after,
            "call_start_before_unix": before,
            # A conversation may have no title: then its name is made of this.
            "summary_mode": "include",
        }
        try:
            page = self._conversations.page(asked)
        except (Missing, NotOffered) as error:
            # A server that gave the page before has the list: it lacks the cursor.
            kind = Rejected if query.after or self._certain else NotOffered
            raise kind(f"there are no conversations at this address: {error}") from error
        records = [
            record for record in page.records if span.holds(record.item.date) or not record.dated
        ]
        # A server that ignores the start of the span goes on below it.
        ended = any(record.dated for record in page.records) and all(
            record.item.date < span.start for record in page.records if record.dated
        )
        return Page(records, None if ended else page.cursor)

    def get(self, item_id: str) -> Record:
        """Return one conversation, whole (``GET /v1/convai/conversations/{id}``)."""
        return self._conversations.get(item_id)

    def delete(self, item_id: str) -> None:
        """Delete one conversation (``DELETE /v1/convai/conversations/{id}``), with one request."""
        self._conversations.delete(item_id, _is_done)

    @contextmanager
    def audio(self, item_id: str) -> Iterator[Body]:
        """Open the recording (``GET /v1/convai/conversations/{id}/audio``)."""
        with ExitStack() as stack:
            try:
                body = stack.enter_context(self._conversations.audio(item_id))
            except NotReady as error:
                raise self._without_audio(item_id) from error
            yield body

    @contextmanager
    def attachment(self, item_id: str, attachment_id: str) -> Iterator[Body]:
        """Open a file that was sent (``GET /v1/convai/conversations/{id}/files/{file_id}``).

        The ``file_url`` beside its id is never asked: it may be of any host.
        """
        with ExitStack() as stack:
            try:
                body = stack.enter_context(self._conversations.file(item_id, attachment_id))
            except Missing as error:
                raise self._without_file(item_id, error) from error
            yield body

    def describe(self, raw: bytes) -> Details:
        """Read the details out of a conversation's raw object, a summary or whole."""
        return details_of(raw)

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def _without_audio(self, item_id: str) -> SourceError:
        """Say why there is no recording: the server gives one answer for never and for not yet."""
        if self.describe(self.get(item_id).raw).has_audio is False:
            return NoAudio("the conversation has no recording")
        return NotReady("the recording of the conversation is still being made: try again later")

    def _without_file(self, item_id: str, error: Missing) -> SourceError:
        """Say what a 404 for a file means, whose conversation may be gone, too.

        The conversation may be deleted without a copy of a file that is gone. So that has to be
        certain: the answer has to speak of a file. Without a word of the API's it may come from a
        server, or a proxy, that doesn't know the address.

        Raises:
            Missing: the conversation is gone.
        """
        self.get(item_id)
        if any("file" in code for code in error.codes):
            return NoAttachment(f"the server has the file no more: {error}")
        return Rejected(f"the server does not hand out the file: {error}")


def _is_done(answer: Any) -> bool:  # noqa: ANN401 - whatever JSON holds
    return answer in _DONE
