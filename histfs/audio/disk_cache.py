"""Audio on disk: whole files by key, and files in the making.

    ROOT/audio/7f/KEY       a whole clip; its mtime is when it was last opened
    ROOT/incoming/….part    a clip on its way

`histfs.audio.disk_quota` says how several processes share such a directory, and its cap.

Threads: any number at once, without a lock of its own: the files are only ever made whole, by
rename(2), and removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from histfs.audio.disk_quota import DiskQuota, hold
from histfs.audio.file_descriptors import Descriptor, touch, translated
from histfs.audio.partial_file import MemorySpill, PartialFile

#: Bytes of clips in memory, for which there is no room on the disk.
_IN_MEMORY = 256 << 20
#: Paths that are remembered: one clip is looked for several times.
_PATHS = 1024


class DiskCache:
    """A directory of clips.

    Args:
        root: the directory; made, with mode 0700, when it isn't there.
        cap: bytes that all clips, whole or on their way, may take together; see `DiskQuota`.

    Raises:
        CacheFailed, NoSpace: the directory can't be used.
    """

    def __init__(self, root: Path, cap: int) -> None:
        self.root = root
        self._audio = root / "audio"
        self._incoming = root / "incoming"
        self._path = lru_cache(_PATHS)(self._place)
        self._quota = DiskQuota(root, cap)
        self._memory = MemorySpill(_IN_MEMORY)
        with translated("can't be used", root):
            for directory in (root, self._audio, self._incoming):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._quota.start()

    def open(self, key: str) -> Descriptor | None:
        """Open a clip, which thereby stays until it is closed; None when it isn't here."""
        with translated("can't be read", self._audio):
            try:
                found = Descriptor(os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC))
            except FileNotFoundError:
                return None
            hold(found.number)
            # A read-only cache still serves; it merely forgets what was used last.
            with contextlib.suppress(OSError):
                touch(found.number)
            return found

    def size(self, key: str) -> int | None:
        """Return the size of a clip, which is not used thereby; None when it isn't here."""
        with translated("can't be read", self._audio):
            try:
                return self._path(key).stat().st_size
            except FileNotFoundError:
                return None

    def rank(self, key: str, moment: int) -> None:
        """Say when a clip was used last, if it is here.

        Args:
            key: the item's key.
            moment: in nanoseconds since the epoch.
        """
        with contextlib.suppress(OSError):
            os.utime(self._path(key), ns=(moment, moment))
            self._quota.ranked(moment)

    def count(self) -> int:
        """Return the number of clips."""
        with translated("can't be read", self._audio):
            return sum(1 for _ in self._audio.glob("*/*"))

    @property
    def used(self) -> int:
        """The bytes that all clips take, whole or on their way, whoever has put them here."""
        with translated("can't be read", self._audio):
            return self._quota.used

    @property
    def full(self) -> bool:
        """Whether the last clip that came could not be kept, as the disk takes none."""
        return self._memory.in_use

    @property
    def evicted_newest(self) -> int:
        """When the newest of those clips was used that had to go as the disk was full.

        In nanoseconds since the epoch; 0 when there are none.
        """
        return self._quota.evicted_newest

    def entries(self) -> Iterator[Path]:
        """Yield all that lies where clips are, a directory at a time; not all of it may be a clip.

        What comes or goes meanwhile may be missed.
        """
        with translated("can't be read", self._audio):
            for directory in sorted(self._audio.iterdir()):
                try:
                    yield from sorted(directory.iterdir())
                except NotADirectoryError:
                    yield directory
                except FileNotFoundError:
                    pass

    def key_at(self, path: Path) -> str | None:
        """Return the key of the clip whose place a path from `entries` is; None where none is."""
        key = path.name
        return key if key.isascii() and path == self._path(key) else None

    def look(self, key: str) -> Descriptor | None:
        """Open whatever is in a clip's place, which is not used thereby; None when nothing is.

        Raises:
            OSError: it can't be opened.
        """
        try:
            # What is no file must not hold this up: a FIFO waits for a writer.
            return Descriptor(os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
        except FileNotFoundError:
            return None

    def holds(self, key: str, file: Descriptor) -> bool:
        """Say whether a file from `look` is still the one in a clip's place."""
        try:
            return os.path.samestat(self._path(key).stat(), os.fstat(file.number))
        except FileNotFoundError:
            return False

    def create(self) -> PartialFile:
        """Make an empty file for a clip on its way."""
        return PartialFile(self._incoming, self._quota, self._memory)

    def keep(self, part: PartialFile, key: str) -> bool:
        """Put a clip that is whole in its place.

        Returns:
            Whether it is there; else only those who have it open can read it.
        """
        part.keep(self._path(key))
        return part.on_disk

    def drop(self, key: str) -> None:
        """Remove a clip, also one that somebody has open."""
        with translated("can't be written", self._audio):
            self._quota.remove(self._path(key))

    def _place(self, key: str) -> Path:
        return self._audio / hashlib.sha256(key.encode()).hexdigest()[:2] / key
