"""The `Source` protocol: where items come from.

A source knows one remote API and nothing of files. Its calls block on the network and are made by
worker threads only; each ends by itself within its own timeouts. Caches, limits and faults wrap a
source with another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from histfs.core.item import Details, Record
from histfs.core.times import ALWAYS, Span


@dataclass(frozen=True, slots=True)
class Query:
    """Which items to list, newest first.

    Attributes:
        span: only items of this span of time.
        after: the cursor of the page before; None for the first page.
        limit: how many items at the most; None for as many as one page can hold.
    """

    span: Span = ALWAYS
    after: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing.

    Attributes:
        records: newest first.
        cursor: what `Query.after` takes to get the next page; None on the last one.
    """

    records: Sequence[Record]
    cursor: str | None


class AudioStream(Protocol):
    """An answer with audio in it, while it is being read."""

    @property
    def length(self) -> int | None:
        """The exact number of bytes to come, None when the server does not say."""

    @property
    def throttled(self) -> bool:
        """Whether the server asked for fewer requests before it answered."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they come; end only when the body was whole.

        Raises:
            BadAnswer: the body was cut short or is damaged.
            Unreachable: the connection broke or stood still for too long.
        """


class Source(Protocol):
    """Lists, gets and deletes items, and opens their audio. All calls raise `SourceError`."""

    def list(self, query: Query) -> Page:
        """Return one page of items."""

    def get(self, item_id: str) -> Record:
        """Return one item; `Missing` when there is none."""

    def delete(self, item_id: str) -> None:
        """Delete one item, with one request; `Missing` when there is none."""

    def audio(self, item_id: str) -> AbstractContextManager[AudioStream]:
        """Open the audio of an item."""

    def describe(self, raw: bytes) -> Details:
        """Read the details out of an item's raw object, in JSON; asks nobody."""

    def close(self) -> None:
        """Let go of the connections; calls under way may fail."""
