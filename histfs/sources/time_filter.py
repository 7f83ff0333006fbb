"""A source whose server can't filter by time, made one that can.

Pages of all items, newest first, are cut to the span that was asked for: what lies above it is read
in vain, what lies below it isn't read.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace

from histfs.core.errors import BadAnswer
from histfs.core.item import Details, Record
from histfs.core.source import SPAN, AudioStream, Page, Query, Source, Traits, attachment_of
from histfs.core.times import ALWAYS


class TimeFilter:
    """A `Source` that filters what another one lists.

    Args:
        source: lists all items, newest first.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def traits(self) -> Traits:
        """What the source is like, with the filter that it has now."""
        traits = self._source.traits
        return replace(traits, filters=traits.filters | {SPAN})

    def list(self, query: Query) -> Page:
        """Return one page of the items of a span; all that lies above it is gone past.

        What words find isn't in the order of time, and is searched for in all time.
        """
        if query.words is not None:
            return self._source.list(query)
        # A limit is for those that are wanted, and would be spent on those above.
        limit = query.limit if query.span.end >= ALWAYS.end else None
        asked = replace(query, span=ALWAYS, limit=limit)
        cursors = set()
        while True:
            page = self._source.list(asked)
            records = [record for record in page.records if query.span.holds(record.item.date)]
            # The order of time holds within `Traits.disorder` alone, by which the span is widened.
            below = any(record.item.date < query.span.start for record in page.records)
            cursor = None if below else page.cursor
            if records or not page.records or cursor is None:
                return Page(records, cursor)
            if cursor in cursors:
                raise BadAnswer("the source gave the same page cursor twice")
            cursors.add(cursor)
            asked = replace(asked, after=cursor)

    def get(self, item_id: str) -> Record:
        """Return one item."""
        return self._source.get(item_id)

    def delete(self, item_id: str) -> None:
        """Delete one item."""
        self._source.delete(item_id)

    def audio(self, item_id: str) -> AbstractContextManager[AudioStream]:
        """Open the audio of an item."""
        return self._source.audio(item_id)

    def attachment(self, item_id: str, attachment_id: str) -> AbstractContextManager[AudioStream]:
        """Open an attachment of an item."""
        return attachment_of(self._source, item_id, attachment_id)

    def describe(self, raw: bytes) -> Details:
        """Read the details out of a raw object."""
        return self._source.describe(raw)

    def close(self) -> None:
        """Let go of the connections."""
        self._source.close()
