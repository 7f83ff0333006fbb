"""The disk cache of audio: complete files by key, and partial files of downloads.

    ROOT/audio/7f/KEY           a complete clip; its mtime is when it was last opened
    ROOT/audio/7f/SOURCE:KEY    the same, of a source with a namespace
    ROOT/incoming/….part        a running download
    ROOT/claims                 the locks of running downloads; see `histfs.audio.clip_claim`
    ROOT/fetching/KEY           tells that one of them makes progress

`histfs.audio.disk_quota` says how several processes share such a directory and its cap.

Threads: any number at once, without a lock of its own: rename(2) puts complete files in place, and
they are never changed, only removed.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from histfs.audio.clip_claim import ClipClaim
from histfs.audio.disk_quota import DiskQuota, hold
from histfs.audio.file_descriptors import Descriptor, touch, translated
from histfs.audio.partial_file import MemorySpill, PartialFile

#: Bytes of clips in memory, for which there is no room on the disk.
_IN_MEMORY = 256 << 20
#: Paths that are cached: one clip is looked up several times.
_PATHS = 1024
#: Stands between a source's name and a key; neither of them contains it.
_MARK = ":"


class DiskCache:
    """A directory of clips.

    Args:
        root: the directory; made, with mode 0700, when it isn't there.
        cap: bytes that all files, complete or partial, may take together; see `DiskQuota`.

    Raises:
        CacheFailed, NoSpace: the directory can't be used.
    """

    def __init__(self, root: Path, cap: int) -> None:
        self.root = root
        self._prefix = ""
        self._audio = root / "audio"
        self._incoming = root / "incoming"
        self._claims = root / "claims"
        self._fetching = root / "fetching"
        self._path = lru_cache(_PATHS)(self._place)
        self._quota = DiskQuota(root, cap)
        self._memory = MemorySpill(_IN_MEMORY)
        with translated("can't be used", root):
            for directory in (root, self._audio, self._incoming, self._fetching):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._quota.start()

    def namespace(self, source: str) -> DiskCache:
        """Return a view of this cache with the clips of one source, whose keys others may use."""
        view = copy.copy(self)
        view._prefix = f"{source}{_MARK}"
        view._path = lru_cache(_PATHS)(view._place)
        return view

    def open(self, key: str) -> Descriptor | None:
        """Open a clip, which is not evicted until it is closed; None when it isn't here."""
        with translated("can't be read", self._audio):
            try:
                found = Descriptor(os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC))
            except FileNotFoundError:
                return None
            hold(found.number)
            # A read-only cache still serves clips, without their times of last use.
            with contextlib.suppress(OSError):
                touch(found.number)
            return found

    def size(self, key: str) -> int | None:
        """Return the size of a clip in bytes; None when it isn't here. No use of it is noted."""
        with translated("can't be read", self._audio):
            try:
                return self._path(key).stat().st_size
            except FileNotFoundError:
                return None

    def set_last_used(self, key: str, moment: int) -> None:
        """Set the time of last use of a clip, if it is here.

        Args:
            key: the item's key.
            moment: in nanoseconds since the epoch.
        """
        with contextlib.suppress(OSError):
            os.utime(self._path(key), ns=(moment, moment))
            self._quota.note_last_used(moment)

    def set_pinned(self, key: str, pinned: bool) -> bool:
        """Have a clip stay until it is unpinned, or let it be evicted again.

        Returns:
            Whether that changed anything; not where the clip is gone.
        """
        with translated("can't be written", self._audio):
            return self._quota.set_pinned(self._path(key), pinned)

    def count(self) -> int:
        """Return the number of clips."""
        with translated("can't be read", self._audio):
            return sum(1 for _ in self._audio.glob("*/*"))

    @property
    def used(self) -> int:
        """The bytes that all files take, complete or partial, of all processes."""
        with translated("can't be read", self._audio):
            return self._quota.used

    def is_pinned(self, key: str) -> bool:
        """Say whether a clip is here, and pinned."""
        with translated("can't be read", self._audio):
            return self._quota.is_pinned(self._path(key))

    @property
    def pinned(self) -> int:
        """The bytes of all pinned clips; all files are scanned for it."""
        with translated("can't be read", self._audio):
            return self._quota.pinned

    @property
    def cap(self) -> int:
        """The bytes that all files may take."""
        return self._quota.cap

    @property
    def full(self) -> bool:
        """Whether the last download could not be kept, as the disk is full or takes no files."""
        return self._memory.in_use

    @property
    def evicted_newest(self) -> int:
        """The latest time of last use among the clips that were evicted because the disk was full.

        In nanoseconds since the epoch; 0 while there are none.
        """
        return self._quota.evicted_newest

    def entries(self) -> Iterator[Path]:
        """Yield all files where clips are, a directory at a time; not every one need be a clip.

        Files that are added or removed meanwhile may be missed.
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
        """Return the key of the clip to which a path from `entries` belongs; None for others."""
        key = path.name
        return key if key.isascii() and path == self._path(key) else None

    def peek(self, key: str) -> Descriptor | None:
        """Open whatever is in a clip's place; None when nothing is. No use of it is noted.

        Raises:
            OSError: it can't be opened.
        """
        try:
            # An open(2) of a FIFO would wait for a writer.
            return Descriptor(os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
        except FileNotFoundError:
            return None

    def is_current(self, key: str, file: Descriptor) -> bool:
        """Say whether a file from `peek` is still the one in a clip's place."""
        try:
            return os.path.samestat(self._path(key).stat(), os.fstat(file.number))
        except FileNotFoundError:
            return False

    def identity(self, key: str) -> tuple[int, int, int] | None:
        """Return what tells the file in a clip's place from a later one; None where none is."""
        try:
            found = self._path(key).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_ctime_ns

    def claim(self, key: str) -> ClipClaim:
        """Return the claim, yet to be taken, of a clip's download."""
        return ClipClaim(self._claims, self._fetching / self._path(key).name)

    def create(self) -> PartialFile:
        """Make an empty file for a download."""
        return PartialFile(self._incoming, self._quota, self._memory)

    def keep(self, part: PartialFile, key: str) -> bool:
        """Put a complete clip in its place.

        Returns:
            Whether it is there; else only its open handles can read it.
        """
        part.keep(self._path(key))
        return part.on_disk

    def remove(self, key: str) -> None:
        """Remove a clip, also one that is open."""
        with translated("can't be written", self._audio):
            self._quota.remove(self._path(key))

    def _place(self, key: str) -> Path:
        name = self._prefix + key
        return self._audio.joinpath(hashlib.sha256(name.encode()).hexdigest()[:2], name)


def split_key(name: str) -> tuple[str | None, str]:
    """Return the source and the item's key of a key of the whole cache; None for no namespace."""
    source, mark, key = name.rpartition(_MARK)
    return (source if mark else None), key
