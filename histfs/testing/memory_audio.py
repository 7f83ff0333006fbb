"""An audio store in memory."""

from __future__ import annotations

from collections.abc import Mapping

from histfs.core.audio_format import actual_extension
from histfs.core.item import Item
from histfs.core.nodes import BytesFile, FileStream, OpenFile, WholeFile
from histfs.core.sizes import FileSize
from histfs.core.waiting import Waiter


class MemoryAudio:
    """Implements `histfs.core.audio_store.AudioStore`.

    Args:
        clips: audio by the id of its item, attachments by their own; one without an entry has
            ``audio of ID``.

    Attributes:
        error: what fetching raises; None where it works. What was fetched before is there.
    """

    def __init__(self, clips: Mapping[str, bytes] | None = None) -> None:
        self.error: Exception | None = None
        self._clips = {} if clips is None else clips
        self._here: dict[str, bytes] = {}

    def size(self, item: Item, waiter: Waiter) -> FileSize:
        """Return the exact size once the audio was fetched, before that the estimate."""
        content = self._here.get(item.key)
        return FileSize(item.estimate, False) if content is None else FileSize(len(content), True)

    def extension(self, item: Item) -> str:
        """Return the extension by what was fetched, before that by what the item says."""
        head = self._here.get(item.key, b"")
        return actual_extension(head, item.content_type, item.output_format)

    def ensure_verified(self, item: Item, waiter: Waiter) -> None:
        """Fetch the audio."""
        if item.key not in self._here:
            if self.error is not None:
                raise self.error
            own_id = item.id if item.attachment is None else item.attachment
            made = f"audio of {own_id}".encode("utf-8", "surrogatepass")
            self._here[item.key] = self._clips.get(own_id, made)

    def fetch_for_open_files(self, item: Item, waiter: Waiter) -> None:
        """Nothing to do: an open file has all of its bytes."""

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open the audio."""
        self.ensure_verified(item, waiter)
        return BytesFile(self._here[item.key])

    def stream(self, item: Item, waiter: Waiter) -> FileStream:
        """Open the audio to be read as it comes."""
        return WholeFile(self.open(item, waiter))
