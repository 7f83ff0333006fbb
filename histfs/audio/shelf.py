"""A part of a disk's clips: those of one source, whose keys may be another's, too.

ROOT/audio/7f/SOURCE:KEY       a clip of that source
"""

from __future__ import annotations

from pathlib import Path

from histfs.audio.disk_cache import DiskCache
from histfs.audio.file_descriptors import Descriptor
from histfs.audio.partial_file import PartialFile

#: Stands between a source's name and a key; in neither of them.
MARK = ":"


class Shelf:
    """Clips on a disk under keys that have a prefix there; the cap is that of the disk.

    Args:
        disk: where the clips are.
        source: the source's name.
    """

    def __init__(self, disk: DiskCache, source: str) -> None:
        self.disk = disk
        self._prefix = f"{source}{MARK}"

    @property
    def root(self) -> Path:
        """The disk's directory."""
        return self.disk.root

    @property
    def full(self) -> bool:
        """Whether the last clip that came could not be kept, as the disk takes none."""
        return self.disk.full

    @property
    def evicted_newest(self) -> int:
        """When the newest of those clips was used that had to go as the disk was full."""
        return self.disk.evicted_newest

    def open(self, key: str) -> Descriptor | None:
        """Open a clip, which thereby stays until it is closed; None when it isn't here."""
        return self.disk.open(self._prefix + key)

    def size(self, key: str) -> int | None:
        """Return the size of a clip, which is not used thereby; None when it isn't here."""
        return self.disk.size(self._prefix + key)

    def look(self, key: str) -> Descriptor | None:
        """Open whatever is in a clip's place, which is not used thereby; None when nothing is."""
        return self.disk.look(self._prefix + key)

    def holds(self, key: str, file: Descriptor) -> bool:
        """Say whether a file from `look` is still the one in a clip's place."""
        return self.disk.holds(self._prefix + key, file)

    def rank(self, key: str, moment: int) -> None:
        """Say when a clip was used last, in nanoseconds since the epoch, if it is here."""
        self.disk.rank(self._prefix + key, moment)

    def create(self) -> PartialFile:
        """Make an empty file for a clip on its way."""
        return self.disk.create()

    def keep(self, part: PartialFile, key: str) -> bool:
        """Put a clip that is whole in its place, and say whether it is there."""
        return self.disk.keep(part, self._prefix + key)

    def drop(self, key: str) -> None:
        """Remove a clip, also one that somebody has open."""
        self.disk.drop(self._prefix + key)


#: Where a store finds its clips: a disk, or a part of it.
Clips = DiskCache | Shelf


def split(key: str) -> tuple[str | None, str]:
    """Return the source and the item's key of a key on the disk."""
    source, mark, own = key.rpartition(MARK)
    return (source if mark else None), own
