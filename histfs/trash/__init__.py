"""The trash: complete copies of what was deleted through histfs, on this machine."""

from histfs.trash.trash import NotInTrash, Stored, Trash, TrashDamaged, TrashFailed
from histfs.trash.trash_archive import TrashArchive
from histfs.trash.trash_entry import TrashEntry

__all__ = [
    "NotInTrash",
    "Stored",
    "Trash",
    "TrashArchive",
    "TrashDamaged",
    "TrashEntry",
    "TrashFailed",
]
