"""Path nodes: what `PathResolver` finds at a path. Immutable values."""

from __future__ import annotations

from dataclasses import dataclass

from histfs.core.files import ItemFile, ItemFolder
from histfs.core.item import Item
from histfs.core.views import View

#: The names in a path, from the root of a tree.
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Root:
    """The root of a tree."""


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory of a view.

    Attributes:
        view: the view.
        path: its path.
        newest: the date of the newest item below it, in seconds since the epoch; None for a view's
            own folder while there are no items.
    """

    view: View
    path: Path
    newest: int | None

    @property
    def at(self) -> Path:
        """The path below the view's folder, which identifies the directory in the view."""
        return self.path[1:]


@dataclass(frozen=True, slots=True)
class ItemDirectory:
    """An item's directory, or a symbolic link to it."""

    item: Item
    path: Path
    is_link: bool


@dataclass(frozen=True, slots=True)
class ItemFileNode:
    """One file of an item.

    Attributes:
        item: the item.
        file: the file.
        name: its path in the item's directory, by its lasting name. That name stays the same when
            the listed name changes: audio may get another extension when it is fetched, even while
            the item is being deleted. Inodes are made of it, and hidden files are kept by it.
    """

    item: Item
    file: ItemFile
    name: str


@dataclass(frozen=True, slots=True)
class ItemFolderNode:
    """A folder in an item's directory, its name there, and its whole path."""

    item: Item
    folder: ItemFolder
    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class MoreNode:
    """The file which says that a search found more items than it shows; see `Search`."""

    path: Path


Node = Root | Directory | ItemDirectory | ItemFolderNode | ItemFileNode | MoreNode
