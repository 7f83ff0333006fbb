"""The folder ``listen`` itself: a union of folders with the time of its newest item."""

from __future__ import annotations

from collections.abc import Mapping

from histfs.core.filesystem import Subtree, UnionFilesystem
from histfs.core.nodes import Attributes
from histfs.core.waiting import Waiter


class ListenRoot(UnionFilesystem):
    """The folders of ``listen``, of all sources of an account.

    Args:
        folders: by name, in the order of the listing.
        born: mtime while there are no folders, in seconds since the epoch.
        above: the names of the folders in which it stands, with its own.
    """

    def __init__(
        self, folders: Mapping[str, Subtree], *, born: int, above: tuple[str, ...]
    ) -> None:
        super().__init__(None, folders, born=born, above=above)
        self._shown = list(folders.values())

    def stat(self, path: str, waiter: Waiter) -> Attributes:
        """Return the attributes of a path."""
        attributes = super().stat(path, waiter)
        if path.strip("/"):
            return attributes
        there = (each.tree for each in self._shown if each.is_available(waiter))
        times = (tree.stat("/", waiter).mtime for tree in there)
        return attributes._replace(mtime=max(times, default=attributes.mtime))
