"""The `Source` protocol: lists, gets and deletes items, and streams their audio.

A source knows one remote API and nothing of files. Its calls block on the network, within their own
timeouts, and only worker threads make them. Limits, retries and faults wrap a source with another
source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast

from histfs.core.captions import TimedWord
from histfs.core.errors import NotOffered
from histfs.core.item import Details, Record
from histfs.core.item_row import RowFields
from histfs.core.times import ALWAYS, Span

#: The filters of lists that a server may offer: by time, and by words.
SPAN, WORDS = "span", "words"


class ObjectParser(NamedTuple):
    """Parses the raw objects that a catalog has stored, when the parsing has changed.

    Attributes:
        version: from 1 on. A greater version than before makes every catalog parse its objects
            anew, once. Raise it when the same object gives another record.
        parse: parses an object as it was listed; sends no request. The catalog keeps its own date.
    """

    version: int
    parse: Callable[[bytes], Record]


@dataclass(frozen=True, slots=True)
class Traits:
    """The properties of a source, which are constant and cost no request.

    Attributes:
        facets: the kinds of facets that its items can have, such as ``voice``.
        filters: by what its server filters a list, of `SPAN` and `WORDS`; histfs filters by the
            rest.
        page_size: the greatest number of items on a page.
        disorder: seconds by which the order of a list, and the times by which its server filters,
            may differ from the items' dates. Listings are exact within it; if the order is worse,
            a list is read to its end.
        stable_cursors: whether a cursor marks a position between two items. If it may be a number
            of items to skip, an item that is deleted between two pages would hide another.
        summaries: whether it lists less of an item than `Source.get` returns.
        attachments: whether its items can have attachments (`Details.attachments`); it is an
            `AttachmentSource` then.
        audio_sizes: whether its server may tell the size of audio without sending it; it is a
            `SizeSource` then.
        views: the views that show its items unless the user chooses others.
        files: the files of its items unless the user chooses others.
        parser: parses raw objects anew; None for a source whose parsing has never changed.
        row_fields: reads what a table has besides from a raw object, whatever it holds; sends no
            request. None where there is no more than the `Record` and the `Details` tell.
        timed_words: reads the words and their times from a raw object, or the `Details.raw`; none
            where it has no times. None for a source that has no times (`Item.timed`).
    """

    facets: frozenset[str] = frozenset()
    filters: frozenset[str] = frozenset({SPAN})
    page_size: int = 1000
    disorder: int = 0
    stable_cursors: bool = True
    summaries: bool = False
    attachments: bool = False
    audio_sizes: bool = False
    views: tuple[str, ...] = ("by-date",)
    files: tuple[str, ...] = ("meta", "text", "audio")
    parser: ObjectParser | None = None
    row_fields: Callable[[bytes], RowFields] | None = None
    timed_words: Callable[[bytes], Sequence[TimedWord]] | None = None

    def fields_of(self, raw: bytes) -> RowFields:
        """Return what `row_fields` reads from a raw object; nothing where it is None."""
        return RowFields() if self.row_fields is None else self.row_fields(raw)

    def words_of(self, raw: bytes) -> Sequence[TimedWord]:
        """Return what `timed_words` reads from a raw object; nothing where it is None."""
        return () if self.timed_words is None else self.timed_words(raw)


@dataclass(frozen=True, slots=True)
class Query:
    """The items to list, newest first within the `Traits.disorder` of the source.

    Attributes:
        span: only items of this span of time.
        after: the cursor of the previous page; None for the first page.
        limit: the greatest number of items; None for as many as one page can hold.
        words: only items that match these words; None for all. Only for a source with the filter
            `WORDS`.
        sources: the values of the facet ``source`` that known items have: a hint for a server that
            searches within one of them at a time. It does not restrict the query.
    """

    span: Span = ALWAYS
    after: str | None = None
    limit: int | None = None
    words: str | None = None
    sources: tuple[str, ...] = ()


class Named(NamedTuple):
    """A hit of a search of which only the id, and perhaps the date, is known.

    Attributes:
        id: the item's id.
        date: in seconds since the epoch; None if the search doesn't tell it.
    """

    id: str
    date: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing.

    Attributes:
        records: newest first, within the `Traits.disorder`; the hits of a search in any order.
        cursor: the `Query.after` of the next page; None on the last page.
        named: the hits of a search whose server only names the items; may have duplicates.
    """

    records: Sequence[Record]
    cursor: str | None
    named: Sequence[Named] = ()


class AudioStream(Protocol):
    """The body of a response, audio or an attachment, while it is being read."""

    @property
    def length(self) -> int | None:
        """The exact number of bytes to come; None if the server does not say."""

    @property
    def throttled(self) -> bool:
        """Whether the server refused the request (429) at first, and the source retried it."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they come; end only if the body was complete.

        Raises:
            BadAnswer: the body is truncated or damaged.
            Unreachable: the connection broke, or stalled for too long.
        """


class Source(Protocol):
    """Lists, gets and deletes items, and opens their audio. Any number of threads call it at once.

    A call that fails raises `SourceError`; `Unreachable` if the server does not answer. A list that
    fails is never an empty page: its items would be taken for deleted.
    """

    @property
    def traits(self) -> Traits:
        """The properties of the source; constant."""

    def list(self, query: Query) -> Page:
        """Return one page of items."""

    def get(self, item_id: str) -> Record:
        """Return one item with its full details.

        Raises:
            Missing: there is no such item.
        """

    def delete(self, item_id: str) -> None:
        """Delete one item, with one request; return only if the answer confirms it.

        After a failure the item may be deleted all the same: the caller finds that out.

        Raises:
            Missing: there is no such item.
        """

    def audio(self, item_id: str) -> AbstractContextManager[AudioStream]:
        """Open the audio of an item.

        Raises:
            NotReady: the server is still generating it.
            NoAudio: the item has none.
            Missing: there is no such item.
        """

    def describe(self, raw: bytes) -> Details:
        """Parse the details from an item's raw JSON object, listed or got; sends no request."""

    def close(self) -> None:
        """Close the connections; calls in progress may fail."""


class AttachmentSource(Source, Protocol):
    """A source whose items can have attachments (`Traits.attachments`)."""

    def attachment(self, item_id: str, attachment_id: str) -> AbstractContextManager[AudioStream]:
        """Open an attachment of an item.

        Raises:
            NoAttachment: the server confirms that it has the item, but not the attachment. The item
                may then be deleted without a copy of the attachment.
            Missing: there is no such item.
        """


class SizeSource(Source, Protocol):
    """A source whose server may tell the size of audio (`Traits.audio_sizes`)."""

    def audio_size(self, item_id: str) -> int:
        """Return the size in bytes of an item's audio, with a small request.

        Raises:
            NotOffered: the server tells no sizes, of no item.
            SourceError: as `Source.audio`.
        """


def audio_size_of(source: Source, item_id: str) -> int:
    """Return the size in bytes of an item's audio, as the server of any source tells it.

    Raises:
        NotOffered: the server tells no sizes.
        SourceError: as `SizeSource.audio_size`.
    """
    if not source.traits.audio_sizes:
        raise NotOffered("the source tells no sizes")
    return cast(SizeSource, source).audio_size(item_id)


def attachment_of(
    source: Source, item_id: str, attachment_id: str
) -> AbstractContextManager[AudioStream]:
    """Open an attachment of an item of any source.

    Raises:
        NotOffered: the items of the source have no attachments.
        SourceError: as `AttachmentSource.attachment`.
    """
    if not source.traits.attachments:
        raise NotOffered("the source has no attachments")
    return cast(AttachmentSource, source).attachment(item_id, attachment_id)
