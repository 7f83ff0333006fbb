"""The `View` protocol, and the base of the views that need the whole history."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence, Set
from typing import Protocol

from histfs.core.index import Index, Listed
from histfs.core.item import Item
from histfs.core.times import ALWAYS, Span, Zone
from histfs.core.waiting import Waiter

#: A directory of a view: the names in its path below the view's folder.
At = tuple[str, ...]


class View(Protocol):
    """Decides in which directories items are shown.

    Most items stand in one directory of a view, a dialogue in one for each of its voices. The first
    is its home in this view, where its directory stands; the others hold links to it.

    Only `ensure` and `ensure_newest` may wait for the network; the other methods answer from what
    the index knows. Any number of threads call a view at once. `WholeHistoryView` implements most
    of this for a view that needs the whole history.
    """

    @property
    def name(self) -> str:
        """The name of the view's folder under the root."""

    @property
    def depth(self) -> int:
        """The number of levels of directories between the view's folder and the items."""

    @property
    def facet(self) -> str | None:
        """The facet that a source must have for this view; None if any source can be shown."""

    @property
    def whole_history(self) -> bool:
        """Whether its directories depend on the whole history."""

    @property
    def listed(self) -> bool:
        """Whether the root lists the view's folder; the folder exists in any case."""

    @property
    def total(self) -> bool:
        """Whether every item stands in a directory, so that the view can hold the homes."""

    @property
    def aliased(self) -> bool:
        """Whether items have the names of `aliases` here instead of their own."""

    def span(self, at: At) -> Span | None:
        """Return the span of time on which a directory depends; None if it can't exist."""

    def ensure(self, at: At, index: Index, waiter: Waiter) -> None:
        """Ensure that all that a directory shows is known and fresh.

        Raises:
            SourceError, NotComplete, Interrupted: as `Index.ensure`.
        """

    def complete(self, at: At, index: Index) -> bool:
        """Say whether all that a directory shows is known, fresh or not."""

    def ensure_newest(self, at: At, index: Index, waiter: Waiter) -> None:
        """Ensure that `newest` is known for a directory, and so whether the directory exists.

        Raises:
            As `ensure`.
        """

    def knows_newest(self, at: At, index: Index) -> bool:
        """Say whether `newest` is known, fresh or not; the contents may be unknown."""

    def newest(self, at: At, index: Index) -> int | None:
        """Return the date of the newest item below a directory; None if it doesn't exist."""

    def subdirectories(self, at: At, index: Index) -> Sequence[str]:
        """Return the names in a directory above the lowest level."""

    def items(self, at: At, index: Index) -> Iterator[Listed]:
        """Yield the items in a directory at the lowest level, oldest first."""

    def holds(self, at: At, item: Item, index: Index) -> bool:
        """Say whether an item is shown in a directory."""

    def home(self, item: Item, index: Index) -> At | None:
        """Return the first of an item's `places`; None if it has none."""

    def places(self, item: Item, index: Index) -> Sequence[At]:
        """Return the directories that show an item, always in the same order.

        Empty if none does, or if any may, as in a search.
        """

    def linked(self, at: At, index: Index) -> Set[str]:
        """Return the keys of the items in a directory whose home is another directory."""

    def aliases(self, at: At, index: Index) -> Iterator[tuple[str, Listed]]:
        """Yield the items in a directory with their names there, if the view is `aliased`."""


class WholeHistoryView(ABC):
    """The base of a view that needs the whole history, with one level of directories.

    Args:
        zone: the zone of the mount.
    """

    name: str
    depth = 1
    facet: str | None = None
    whole_history = True
    listed = True
    total = True
    aliased = False

    def __init__(self, zone: Zone) -> None:
        self.zone = zone

    def span(self, at: At) -> Span | None:
        """Return all time."""
        return ALWAYS

    def ensure(self, at: At, index: Index, waiter: Waiter) -> None:
        """Wait for the whole history."""
        index.ensure(ALWAYS, waiter)

    def complete(self, at: At, index: Index) -> bool:
        """Say whether the whole history is known."""
        return index.complete(ALWAYS)

    def ensure_newest(self, at: At, index: Index, waiter: Waiter) -> None:
        """Wait for the whole history."""
        self.ensure(at, index, waiter)

    def knows_newest(self, at: At, index: Index) -> bool:
        """Say whether the whole history is known."""
        return self.complete(at, index)

    @abstractmethod
    def newest(self, at: At, index: Index) -> int | None:
        """Return the date of the newest item below a directory; None if it doesn't exist."""

    @abstractmethod
    def subdirectories(self, at: At, index: Index) -> Sequence[str]:
        """Return the names of the directories."""

    @abstractmethod
    def items(self, at: At, index: Index) -> Iterator[Listed]:
        """Yield the items in a directory, oldest first."""

    def holds(self, at: At, item: Item, index: Index) -> bool:
        """Say whether an item is shown in a directory."""
        return at in self.places(item, index)

    @abstractmethod
    def home(self, item: Item, index: Index) -> At | None:
        """Return the directory that shows an item, or the first one; None if none does."""

    def places(self, item: Item, index: Index) -> Sequence[At]:
        """Return the item's home alone; override it if several directories show an item."""
        home = self.home(item, index)
        return () if home is None else (home,)

    def linked(self, at: At, index: Index) -> Set[str]:
        """Return nothing; override it if several directories show an item."""
        return frozenset()

    def aliases(self, at: At, index: Index) -> Iterator[tuple[str, Listed]]:
        """Yield nothing: items have their own names."""
        return iter(())
