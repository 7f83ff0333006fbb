"""How a listing is cut into pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class ListPage:
    """One page of a listing.

    Attributes:
        numbers: The numbers of the items, in the order asked for.
        last: The number of the item that the page reaches to, or None when it is empty.
        has_more: Whether another page follows.
    """

    numbers: list[int]
    last: int | None
    has_more: bool


def take_page(
    numbers: Iterable[int], fits: Callable[[int], bool], *, size: int, limit: int | None
) -> ListPage:
    """Takes one page off a listing.

    Args:
        numbers: The numbers of the items that are left, in the order asked for.
        fits: Tells whether an item belongs to the listing.
        size: At most so many.
        limit: End the page after looking at so many items, even if it is empty; None for never.

    Returns:
        The page.
    """
    picked: list[int] = []
    scanned_to = None
    for scanned, number in enumerate(numbers):
        if scanned == limit:
            return ListPage(picked, scanned_to, has_more=True)
        if fits(number):
            if len(picked) == size:
                return ListPage(picked, picked[-1], has_more=True)
            picked.append(number)
        scanned_to = number
    return ListPage(picked, picked[-1] if picked else None, has_more=False)
