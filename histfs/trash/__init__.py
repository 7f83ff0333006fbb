"""The trash: complete copies of what was deleted through histfs, on this machine."""

from histfs.trash.trash import NotInTrash, Trash, TrashDamaged, TrashFailed, TrashItem
from histfs.trash.trash_archive import TrashArchive
from histfs.trash.trash_entry import TrashEntry

__all__ = [
    "NotInTrash",
    "Trash",
    "TrashArchive",
    "TrashDamaged",
    "TrashEntry",
    "TrashFailed",
    "TrashItem",
]
