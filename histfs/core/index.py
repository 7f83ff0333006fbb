"""The `Index` protocol: what the tree and its views ask of the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple, Protocol

from histfs.core.item import Details, Facets, Item
from histfs.core.times import Span
from histfs.core.waiting import Waiter

#: Items that a search shows, at the most. What it finds is held in memory.
SEARCH_LIMIT = 10_000


class Listed(NamedTuple):
    """What a listing needs of an item; see `Item`."""

    date: int
    key: str
    slug: str


class FacetValue(NamedTuple):
    """One value of a facet, such as one voice.

    Attributes:
        value: identifies it; empty for the items that have none.
        label: its newest name, None when it never had one.
        oldest: date of its oldest item, in seconds since the epoch.
        newest: date of its newest item.
    """

    value: str
    label: str | None
    oldest: int
    newest: int


class Index(Protocol):
    """The items known on this machine.

    Only the methods that take a waiter may ask the network.
    """

    @property
    def version(self) -> int:
        """A number that changes whenever an answer of the other methods may have changed."""

    @property
    def recent_version(self) -> int:
        """The same at less cost; a change that another process made may be a moment late."""

    def unchanged(self, span: Span, since: int) -> bool:
        """Say whether the answers about a span are for certain what they were at a version."""

    def ensure(self, span: Span, waiter: Waiter) -> None:
        """See to it that all items of a span are known and fresh.

        Raises:
            SourceError: they are not known, and the source failed.
            KeyRefused: the source does not accept the key, whatever is known.
            NotComplete: they could not be had within the waiter's time.
            Interrupted: the calling process was interrupted.
        """

    def ensure_newest(self, spans: Sequence[Span], waiter: Waiter) -> None:
        """See to it that the newest item is known of each of some spans, and whether it has one.

        Costs far less than `ensure` where the spans hold many items.

        Args:
            spans: each ends where the next one starts.
            waiter: the patience of the call.

        Raises:
            As `ensure`.
        """

    def asked_after(self, span: Span, moment: float) -> bool:
        """Say whether all of a span was asked for after a moment, in seconds since the epoch."""

    def complete(self, span: Span) -> bool:
        """Say whether all items of a span are known, fresh or not."""

    def knows_newest(self, span: Span) -> bool:
        """Say whether the newest item of a span is known, fresh or not, or that it has none."""

    def newest(self, span: Span) -> int | None:
        """Return the date of the newest item of a span, None when it has none."""

    def between(self, span: Span) -> Iterator[Listed]:
        """Yield the items of a span, oldest first."""

    def items(self, span: Span) -> Iterator[Item]:
        """Yield the items of a span with all that is known of them, oldest first."""

    def facet_values(self, kind: str) -> Sequence[FacetValue]:
        """Return the values that a facet has, in the order of their oldest items."""

    def named_values(
        self, view: str, kind: str, nothing: str, *, rename: bool = False
    ) -> Mapping[str, FacetValue]:
        """Return the values that a facet has by the names of their directories in a view.

        A name that stood for one value never stands for another one, whatever is deleted or
        renamed, in no mount of the same catalog. A value without a name is given one (see
        `choose_name`), in the order of `facet_values`.

        Args:
            view: the name of the view.
            kind: the facet.
            nothing: the directory of the items that have no value.
            rename: whether a value whose label has changed gets a new name; its former name stays
                reserved for it.
        """

    def having(self, kind: str, value: str) -> Iterator[Listed]:
        """Yield the items that have a value of a facet, also beside others, oldest first."""

    def secondary(self, kind: str, value: str) -> Set[str]:
        """Return the keys of the items that have a value of a facet, but not as the first one."""

    def find(self, key: str, date: int) -> Item | None:
        """Return the item with a key and a date, in seconds since the epoch."""

    def facets(self, item: Item) -> Facets:
        """Return the facets of an item."""

    def details(self, item: Item) -> Details:
        """Return the details of an item as it was listed; `NoSuchPath` when they are gone."""

    def known(self, item: Item) -> Details | None:
        """Return all details of an item, as far as they were fetched, and may be outdated.

        The same as `details` where a source lists all there is.
        """

    def full_revision(self, item: Item) -> int | None:
        """Return a checksum of what `known` gives, at less cost; None when that is None."""

    def full(self, item: Item, waiter: Waiter) -> Details:
        """Return all details of an item, fetched where they aren't known or are outdated.

        Raises:
            NoSuchPath: they are gone.
            SourceError: the source failed.
            NotForCrawlers: they would have to be fetched, and may not be for who calls.
            Interrupted, DeadlineExceeded: the wait ended first.
        """

    def search(self, words: str, waiter: Waiter) -> None:
        """Find the items that match words, and remember them for a moment.

        Raises:
            As `ensure`.
        """

    def found(self, words: str) -> Sequence[Listed] | None:
        """Return what a search found a moment ago, oldest first; None when there was none.

        Never more than one item above `SEARCH_LIMIT`: that one says that there are more.
        """

    def invalidate(self, item: Item) -> None:
        """Have an item's time asked for again, as it may not be there any more."""

    def forget(self, item: Item) -> None:
        """Take a deleted item out; its details can be had as long as it lingers (`Removal`)."""
