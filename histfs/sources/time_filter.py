"""A client-side time filter, for a source whose server can't filter by time.

Pages of all items, newest first, are cut to the requested span: pages above it are read and
dropped, pages below it are not read.
"""

from __future__ import annotations

from dataclasses import replace

from histfs.core.errors import BadAnswer
from histfs.core.source import SPAN, Page, Query, Traits
from histfs.core.times import ALWAYS
from histfs.sources.request_policies import ForwardingSource


class TimeFilter(ForwardingSource):
    """A `Source` that filters the pages of another source, which lists all items newest first."""

    @property
    def traits(self) -> Traits:
        """The traits of the wrapped source, with the filter `SPAN`."""
        traits = self._source.traits
        return replace(traits, filters=traits.filters | {SPAN})

    def list(self, query: Query) -> Page:
        """Return one page of the items of a span; skip pages that lie above it.

        Search results are not in the order of time: the search covers all time.
        """
        if query.words is not None:
            return self._source.list(query)
        # The limit counts requested items; the items above the span would use it up.
        limit = query.limit if query.span.end >= ALWAYS.end else None
        unfiltered = replace(query, span=ALWAYS, limit=limit)
        seen_cursors = set()
        while True:
            page = self._source.list(unfiltered)
            records = [record for record in page.records if query.span.holds(record.item.date)]
            # Pages are in order only within `Traits.disorder`; the caller widens the span by it.
            reached_end = any(record.item.date < query.span.start for record in page.records)
            cursor = None if reached_end else page.cursor
            if records or not page.records or cursor is None:
                return Page(records, cursor)
            if cursor in seen_cursors:
                raise BadAnswer("the source gave the same page cursor twice")
            seen_cursors.add(cursor)
            unfiltered = replace(unfiltered, after=cursor)
