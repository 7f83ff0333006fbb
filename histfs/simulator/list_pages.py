"""Cut a listing into pages."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class ListPage:
    """One page of a listing.

    Attributes:
        numbers: The numbers of the items, in the requested order.
        has_more: Whether another page follows.
    """

    numbers: list[int]
    has_more: bool

    @property
    def last(self) -> int | None:
        """The number of the last item, or None when the page is empty."""
        return self.numbers[-1] if self.numbers else None


def take_page(numbers: Iterable[int], matches: Callable[[int], bool], size: int) -> ListPage:
    """Take one page off a listing.

    Args:
        numbers: The numbers of the remaining items, in the requested order.
        matches: Whether an item belongs to the listing.
        size: The maximum number of items on the page.

    Returns:
        The page.
    """
    found = list(itertools.islice(filter(matches, numbers), size + 1))
    return ListPage(found[:size], len(found) > size)
