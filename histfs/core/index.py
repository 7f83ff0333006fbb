"""The `Index` protocol: the items known on this machine, as the tree and its views query them.

The catalog implements it. Any number of threads call it at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple, Protocol

from histfs.core.item import Details, Facets, Item
from histfs.core.times import Span
from histfs.core.waiting import Waiter

#: The greatest number of items that a search shows; its hits are held in memory.
SEARCH_LIMIT = 10_000


class Listed(NamedTuple):
    """The fields of an `Item` that a listing needs; sorts by date, then by key."""

    date: int
    key: str
    slug: str


class FacetValue(NamedTuple):
    """One value of a facet, such as one voice.

    Attributes:
        value: its id; empty for the items that have none.
        label: its newest name; None if it never had one.
        oldest: date of its oldest item, in seconds since the epoch.
        newest: date of its newest item, in seconds since the epoch.
    """

    value: str
    label: str | None
    oldest: int
    newest: int


class Index(Protocol):
    """The items known on this machine. Only the methods that take a waiter may use the network."""

    @property
    def version(self) -> int:
        """A number that changes whenever a result of another method may have changed."""

    @property
    def recent_version(self) -> int:
        """The same at less cost; sees the changes of other processes a moment late."""

    def unchanged(self, span: Span, since: int) -> bool:
        """Say whether the results for a span are certainly what they were at a version."""

    def ensure(self, span: Span, waiter: Waiter) -> None:
        """Ensure that all items of a span are known and fresh.

        Raises:
            SourceError: they are not known, and the source failed.
            KeyRefused: the source refuses the key, even if the items are known.
            NotComplete: the wait ended before they were known.
            Interrupted: the calling process was interrupted.
        """

    def ensure_newest(self, spans: Sequence[Span], waiter: Waiter) -> None:
        """Ensure that the newest item of each span is known, or that the span has none.

        Costs far less than `ensure` if the spans hold many items.

        Args:
            spans: adjacent; each ends where the next one starts.
            waiter: limits the wait.

        Raises:
            As `ensure`.
        """

    def mark_stale(self, span: Span) -> None:
        """Have a span requested again when it is next ensured; what is known of it stays."""

    def asked_after(self, span: Span, moment: float) -> bool:
        """Say whether all of a span was requested after a moment, in seconds since the epoch."""

    def complete(self, span: Span) -> bool:
        """Say whether all items of a span are known, fresh or not."""

    def knows_newest(self, span: Span) -> bool:
        """Say whether the newest item of a span, or that it has none, is known, fresh or not."""

    def newest(self, span: Span) -> int | None:
        """Return the date of the newest item of a span; None if it has none."""

    def between(self, span: Span) -> Iterator[Listed]:
        """Yield the items of a span, oldest first."""

    def items(self, span: Span) -> Iterator[Item]:
        """Yield the items of a span with all their fields, oldest first."""

    def facet_values(self, kind: str) -> Sequence[FacetValue]:
        """Return the values of a facet, in the order of their oldest items."""

    def named_values(
        self, view: str, kind: str, nothing: str, *, rename: bool = False
    ) -> Mapping[str, FacetValue]:
        """Return the values of a facet by the names of their directories in a view.

        A name is never reused for another value, whatever is deleted or renamed, in any mount of
        the same catalog. A value without a name gets one (see `choose_name`), in the order of
        `facet_values`.

        Args:
            view: the name of the view.
            kind: the facet.
            nothing: the directory of the items without a value.
            rename: whether a value whose label has changed gets a new name; the old name stays
                reserved for it.
        """

    def having(self, kind: str, value: str) -> Iterator[Listed]:
        """Yield the items that have a value of a facet, first or not, oldest first."""

    def secondary(self, kind: str, value: str) -> Set[str]:
        """Return the keys of the items that have a value of a facet, but not as their first."""

    def find(self, key: str, date: int) -> Item | None:
        """Return the item with a key and a date, in seconds since the epoch; None if unknown."""

    def facets(self, item: Item) -> Facets:
        """Return the facets of an item."""

    def details(self, item: Item) -> Details:
        """Return the details of an item as it was listed; `NoSuchPath` if the item is gone."""

    def known(self, item: Item) -> Details | None:
        """Return the full details of an item, perhaps outdated; None if they were never fetched.

        The same as `details` if the source lists all there is.
        """

    def full_revision(self, item: Item) -> int | None:
        """Return a checksum of what `known` returns, at less cost; None if that is None."""

    def full(self, item: Item, waiter: Waiter) -> Details:
        """Return the full details of an item; fetch them if they are unknown or outdated.

        Raises:
            NoSuchPath: the item is gone.
            SourceError: the source failed.
            NotForCrawlers: they must be fetched, and the caller may not cause that.
            Interrupted, DeadlineExceeded: the wait ended first.
        """

    def search(self, words: str, waiter: Waiter) -> None:
        """Find the items that match words, and keep the hits for a moment.

        Raises:
            As `ensure`.
        """

    def found(self, words: str) -> Sequence[Listed] | None:
        """Return the hits of a recent search, oldest first; None if there was none.

        At most `SEARCH_LIMIT` + 1 items; the last one means that there are more.
        """

    def invalidate(self, item: Item) -> None:
        """Mark an item's time as not fresh: the item may be gone from the source."""

    def forget(self, item: Item) -> None:
        """Drop a deleted item; its details stay readable while it has a tombstone."""
