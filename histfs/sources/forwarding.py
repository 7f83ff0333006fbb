"""The base class of sources that wrap another source: each wrapper states only what it changes."""

from __future__ import annotations

from contextlib import AbstractContextManager

from histfs.core.item import Details, Record
from histfs.core.source import AudioStream, Page, Query, Source, Traits, attachment_of


class ForwardingSource:
    """A `Source` that forwards every call to another source. Keeps no state of its own.

    Args:
        source: the source that is wrapped.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def traits(self) -> Traits:
        """The traits of the wrapped source."""
        return self._source.traits

    def list(self, query: Query) -> Page:
        """Return one page of items."""
        return self._source.list(query)

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
        """Open an attachment of an item; `NotOffered` when the source has no attachments."""
        return attachment_of(self._source, item_id, attachment_id)

    def describe(self, raw: bytes) -> Details:
        """Return the details of an item from its raw object."""
        return self._source.describe(raw)

    def close(self) -> None:
        """Close the connections."""
        self._source.close()
