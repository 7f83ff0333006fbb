"""The `Source` protocol: where items come from.

A source knows one remote API and nothing of files. Its calls block on the network and are made by
worker threads only; each ends by itself within its own timeouts. Caches, limits and faults wrap a
source with another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast

from histfs.core.errors import NotOffered
from histfs.core.item import Details, Record
from histfs.core.times import ALWAYS, Span

#: What a server may be able to filter a list by.
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
    """What a source is like, known without asking it.

    Attributes:
        facets: the kinds of facets that its items can have, such as ``voice``.
        filters: what its server filters a list by, of `SPAN` and `WORDS`; what it can't, histfs
            does.
        page_size: items on a page, at the most.
        disorder: seconds by which the order of a list, and what its filter by time takes for an
            item's time, may differ from the items' dates. Listings are exact within it; where the
            order is worse a list is read to its end.
        stable_cursors: whether a cursor stands for a place between two items. Where it may be a
            number of items to skip, an item that is deleted between two pages would hide another.
        summaries: whether it lists less of an item than `Source.get` returns.
        attachments: whether its items can have attachments (`Details.attachments`); it is an
            `AttachmentSource` then.
        views: the views that show its items when nobody has chosen others.
        files: the same for the files of an item.
        parser: parses raw objects anew; None for a source whose parsing has never changed.
    """

    facets: frozenset[str] = frozenset()
    filters: frozenset[str] = frozenset({SPAN})
    page_size: int = 1000
    disorder: int = 0
    stable_cursors: bool = True
    summaries: bool = False
    attachments: bool = False
    views: tuple[str, ...] = ("by-date",)
    files: tuple[str, ...] = ("meta", "text", "audio")
    parser: ObjectParser | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """Which items to list, newest first but for the `Traits.disorder` of the source.

    Attributes:
        span: only items of this span of time.
        after: the cursor of the page before; None for the first page.
        limit: how many items at the most; None for as many as one page can hold.
        words: only items that match these words; None for all. Only for a source that has the
            filter `WORDS`.
        sources: the values of the facet ``source`` that known items have, for a server that finds
            words within one of them at a time; it changes nothing of what is asked for.
    """

    span: Span = ALWAYS
    after: str | None = None
    limit: int | None = None
    words: str | None = None
    sources: tuple[str, ...] = ()


class Named(NamedTuple):
    """An item that a search names, and of which it tells nothing else.

    Attributes:
        id: the item's id.
        date: when it was made, in seconds since the epoch; None where that isn't told.
    """

    id: str
    date: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing.

    Attributes:
        records: newest first, as far as the source keeps the order of time; what words find, in
            any order.
        cursor: what `Query.after` takes to get the next page; None on the last one.
        named: what words find where the server only names the items; some may be named again.
    """

    records: Sequence[Record]
    cursor: str | None
    named: Sequence[Named] = ()


class AudioStream(Protocol):
    """An answer with audio, or an attachment, in it, while it is being read."""

    @property
    def length(self) -> int | None:
        """The exact number of bytes to come, None when the server does not say."""

    @property
    def throttled(self) -> bool:
        """Whether the server refused the source (429) before, and it tried again by itself."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they come; end only when the body was whole.

        Raises:
            BadAnswer: the body was cut short or is damaged.
            Unreachable: the connection broke or stood still for too long.
        """


class Source(Protocol):
    """Lists, gets and deletes items, and opens their audio. Any number of threads call it at once.

    All calls raise `SourceError` where they fail: `Unreachable` when who is asked isn't there. What
    can't be listed is never an empty page: the items would be taken for deleted.
    """

    @property
    def traits(self) -> Traits:
        """What it is like; always the same."""

    def list(self, query: Query) -> Page:
        """Return one page of items."""

    def get(self, item_id: str) -> Record:
        """Return one item with all that there is of it; `Missing` when there is none."""

    def delete(self, item_id: str) -> None:
        """Delete one item, with one request; `Missing` when there is none.

        Returns only when the answer says that the item is deleted. Whoever calls finds out what any
        failure means for the item: it may be deleted all the same.
        """

    def audio(self, item_id: str) -> AbstractContextManager[AudioStream]:
        """Open the audio of an item.

        `NotReady` while it is being made, `NoAudio` when there is none, `Missing` when there is no
        such item.
        """

    def describe(self, raw: bytes) -> Details:
        """Read the details out of an item's raw object, in JSON, listed or got; asks nobody."""

    def close(self) -> None:
        """Let go of the connections; calls under way may fail."""


class AttachmentSource(Source, Protocol):
    """A source whose items can have attachments, as its traits say."""

    def attachment(self, item_id: str, attachment_id: str) -> AbstractContextManager[AudioStream]:
        """Open an attachment of an item.

        `NoAttachment` when the server says for certain that the item is there, and the attachment
        is not any more: the item may then be deleted without a copy of it. `Missing` when there is
        no such item.
        """


def attachment_of(
    source: Source, item_id: str, attachment_id: str
) -> AbstractContextManager[AudioStream]:
    """Open an attachment of an item, of whatever source.

    Raises:
        NotOffered: the source has none.
        SourceError: as `AttachmentSource.attachment`.
    """
    if not source.traits.attachments:
        raise NotOffered("the source has no attachments")
    return cast(AttachmentSource, source).attachment(item_id, attachment_id)
