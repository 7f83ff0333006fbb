"""A clip that is open in a player: its bytes as they come, and no wait for those at its end.

Players look for tags at the end of a file before they play it. Until the clip is whole, a read
there that is far from what has come is answered with the end of the file, as if there were no tags.

Threads: any number at once, as `StreamedClip`; nothing else changes after it is made.
"""

from __future__ import annotations

from collections.abc import Callable

from histfs.audio.download import Download
from histfs.audio.open_clip import ClipProvider, OpenClips, StreamedClip
from histfs.core.item import Item
from histfs.core.nodes import PlayedFile
from histfs.core.waiting import Waiter

#: Bytes before the end in which players look for tags, and for the last page of Ogg (64 KB).
_TAIL = 160 << 10
#: A read that begins at most so many bytes beyond what has come waits for them: a demuxer skips.
_NEAR = 32 << 10


class PlayedClip(StreamedClip, PlayedFile):
    """Implements `histfs.core.nodes.PlayedFile`.

    Args:
        provider: gives the clip's bytes when they are first read.
        table: where the clip stands while it is open.
        item: whose clip.
        best_size: returns the best known size in bytes.
    """

    def __init__(
        self, provider: ClipProvider, table: OpenClips, item: Item, best_size: Callable[[], int]
    ) -> None:
        self._best_size = best_size
        # The player may have seen this size, and look for the tags there.
        self._first_size = best_size()
        super().__init__(provider, table, item, None)

    @property
    def size(self) -> int:
        """The best known size in bytes."""
        return self._best_size()

    def read(self, offset: int, size: int, waiter: Waiter) -> bytes:
        """Return bytes at an offset as soon as there is one; none at the end, or near it."""

        def downloaded(download: Download) -> bytes:
            if self._is_tail(offset) and offset > download.received + _NEAR:
                return b""
            return download.read_available(offset, size, waiter)

        return self._from(waiter, lambda file: self._from_file(file, offset, size), downloaded)

    def _is_tail(self, offset: int) -> bool:
        return offset >= min(self._first_size, self.size) - _TAIL
