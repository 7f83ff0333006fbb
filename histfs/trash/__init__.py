"""The trash: complete copies of what was deleted through histfs, on this machine."""

from histfs.trash.archive import TrashArchive
from histfs.trash.entry import Entry
from histfs.trash.trash import NotInTrash, Stored, Trash, TrashDamaged, TrashFailed

__all__ = [
    "Entry",
    "NotInTrash",
    "Stored",
    "Trash",
    "TrashArchive",
    "TrashDamaged",
    "TrashFailed",
]
