"""Clips on the disk, checked: a file that can't be the whole clip is none.

Threads: as of `DiskCache`; no state of its own. `open` removes files, and is called by one thread
at a time, with the lock of `AudioCache`.
"""

from __future__ import annotations

import contextlib
import logging
import os

from histfs.audio.disk_cache import DiskCache
from histfs.audio.file_descriptors import Descriptor
from histfs.audio.file_extensions import FileExtensions
from histfs.audio.size_registry import SizeRegistry
from histfs.audio.verification import beginning, refused_as
from histfs.core.audio_format import is_raw
from histfs.core.item import Item

log = logging.getLogger(__name__)


class CachedClips:
    """Opens clips that are on the disk.

    Args:
        disk: where they are.
        sizes: knows their sizes.
        extensions: learns from their first bytes.
    """

    def __init__(self, disk: DiskCache, sizes: SizeRegistry, extensions: FileExtensions) -> None:
        self._disk = disk
        self._sizes = sizes
        self._extensions = extensions

    def open(self, item: Item) -> Descriptor | None:
        """Open a cached clip.

        A file that is empty, has not its exact size, or is no audio is removed.
        """
        found = self._disk.open(item.key)
        if found is None:
            return None
        size = os.fstat(found.number).st_size
        head = beginning(found)
        refused = _refusal(item, head, size)
        if refused is None and self._fits(item, size):
            if head and item.attachment is None:
                self._extensions.detect(item, head)
            return found
        why = f"not audio but {refused}" if refused else "damaged"
        log.warning("the cached audio of %s is %s: fetching it again", item.key, why)
        self._disk.remove(item.key)
        if refused is not None:
            self._sizes.discard(item.key)
        return None

    def size(self, item: Item) -> int | None:
        """Return the size of a cached clip that looks complete; None if there is none.

        Its time of last use stays as it is.
        """
        size = self._disk.size(item.key)
        if size is None or not self._fits(item, size):
            return None
        # A file that can't be read is its reader's error.
        with contextlib.suppress(OSError):
            found = self._disk.peek(item.key)
            if found is not None and _refusal(item, beginning(found), size) is not None:
                return None
        return size

    def _fits(self, item: Item, size: int) -> bool:
        """Say whether a clip may be complete, by its size in bytes."""
        return size > 0 and self._sizes.exact(item) in (None, size)


def _refusal(item: Item, head: bytes, size: int) -> str | None:
    """Return what a clip is in place of audio; None where it may be audio, and for attachments."""
    if item.attachment is not None:
        return None
    return refused_as(head, size, is_raw(item.content_type, item.output_format))
