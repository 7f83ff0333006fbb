"""The trash: complete local copies of the items that were deleted through histfs."""

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
