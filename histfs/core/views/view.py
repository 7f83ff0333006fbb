"""The `View` protocol, and the base of the views that need the whole history."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence, Set
from typing import Protocol

from histfs.core.index import Index, Listed
from histfs.core.item import Item
from histfs.core.times import ALWAYS, Span, Zone
from histfs.core.waiting import Waiter

#: A directory of a view: the names on the way to it, below the view's own folder.
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
        """How many levels of directories lie between the view's folder and the items."""

    @property
    def facet(self) -> str | None:
        """The facet without which a source has nothing to show here; None when any has."""

    @property
    def whole(self) -> bool:
        """Whether any of its directories needs the whole history."""

    @property
    def listed(self) -> bool:
        """Whether the root lists the view's folder; it is there in any case."""

    @property
    def total(self) -> bool:
        """Whether every item stands in a directory, so that the view can be where items live."""

    @property
    def aliased(self) -> bool:
        """Whether items have other names here than their own: those of `aliases`."""

    def span(self, at: At) -> Span | None:
        """Return the span of time on which a directory depends; None when there can't be it."""

    def ensure(self, at: At, index: Index, waiter: Waiter) -> None:
        """See to it that all that a directory shows is known and fresh.

        Raises:
            SourceError, NotComplete, Interrupted: as `Index.ensure`.
        """

    def complete(self, at: At, index: Index) -> bool:
        """Say whether all that a directory shows is known, fresh or not."""

    def ensure_newest(self, at: At, index: Index, waiter: Waiter) -> None:
        """See to it that it is known whether there is a directory, and its newest item.

        Raises:
            As `ensure`.
        """

    def knows_newest(self, at: At, index: Index) -> bool:
        """Say whether `newest` is known for certain, though the directory may not be."""

    def newest(self, at: At, index: Index) -> int | None:
        """Return the date of the newest item below a directory; None when there is no such one."""

    def subdirectories(self, at: At, index: Index) -> Sequence[str]:
        """Return the names in a directory that lies above the items."""

    def items(self, at: At, index: Index) -> Iterator[Listed]:
        """Yield the items in a directory at the lowest level, oldest first."""

    def holds(self, at: At, item: Item, index: Index) -> bool:
        """Say whether an item is shown in a directory."""

    def home(self, item: Item, index: Index) -> At | None:
        """Return the first of an item's `places`; None when it has none."""

    def places(self, item: Item, index: Index) -> Sequence[At]:
        """Return the directories in which an item is shown, always in the same order.

        None where it is shown nowhere, and where it may be shown anywhere, as by a search.
        """

    def linked(self, at: At, index: Index) -> Set[str]:
        """Return the keys of the items in a directory whose home is another one of this view."""

    def aliases(self, at: At, index: Index) -> Iterator[tuple[str, Listed]]:
        """Yield the items in a directory with their names there; only where it is `aliased`."""


class WholeHistoryView(ABC):
    """The base of a view that needs the whole history, with one level of directories.

    Args:
        zone: the zone of the mount.
    """

    name: str
    depth = 1
    facet: str | None = None
    whole = True
    listed = True
    total = True
    aliased = False

    def __init__(self, zone: Zone) -> None:
        self.zone = zone

    def span(self, at: At) -> Span | None:
        """Return all time: which directories there are, and what they hold, needs all of it."""
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
        """Return the date of the newest item below a directory; None when there is no such one."""

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
        """Return the directory in which an item is shown; the first where it is in several."""

    def places(self, item: Item, index: Index) -> Sequence[At]:
        """Return the directories in which an item is shown: its home, unless you say otherwise."""
        home = self.home(item, index)
        return () if home is None else (home,)

    def linked(self, at: At, index: Index) -> Set[str]:
        """Return nothing: items stand in one directory, unless you say otherwise."""
        return frozenset()

    def aliases(self, at: At, index: Index) -> Iterator[tuple[str, Listed]]:
        """Yield nothing: items have their own names here."""
        return iter(())
