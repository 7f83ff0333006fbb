"""Read-ahead: when a client reads clips in view order, the next ones are prefetched.

An order is that of a view: by date, or by date among the clips of one voice, say. A sequence begins
when the next clip of an order is read, or one a few places on. The window starts at 2, doubles on a
hit, and halves on a miss. Random access prefetches nothing.

Threads: any number at once. `_lock` guards the sequences. It is held while the catalog is asked for
the clips that follow and for their sizes; nothing is fetched under it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from histfs.core.audio_store import Following, Order
from histfs.core.errors import HistfsError
from histfs.core.item import Item

#: The largest distance, in clips, that counts as a hit: clips are skipped, or read out of order.
_NEAR = 4
#: Sequences that are followed at once: of several programs, or of one that reads in two places.
_SEQUENCES = 8
#: Clips whose order is looked up at once.
_BATCH = 32
#: Orders that a sequence may be of: a dialogue has one for each of its voices, perhaps a hundred.
_ORDERS = 8

log = logging.getLogger(__name__)


class _Position(NamedTuple):
    """Where a clip stands in an order."""

    item: Item
    number: int


class _Order:
    """One order, from a clip on.

    Args:
        first: the clip.
        following: returns those after a clip.
    """

    def __init__(self, first: Item, following: Callable[[Item, int], Sequence[Item]]) -> None:
        self._following = following
        self._places: dict[str, int] = {first.key: 0}
        self._items: deque[_Position] = deque([_Position(first, 0)])
        self._ended = False

    def place(self, item: Item) -> int | None:
        """Return the number of a clip in this order; None where it isn't near."""
        return self._places.get(item.key)

    def upto(self, number: int) -> list[_Position]:
        """Return the places up to a number, as far as there are clips."""
        while not self._ended and self._items[-1].number < number:
            last = self._items[-1]
            items = self._following(last.item, _BATCH)
            self._ended = not items
            for place, item in enumerate(items, last.number + 1):
                self._places[item.key] = place
                self._items.append(_Position(item, place))
        return [place for place in self._items if place.number <= number]

    def forget_before(self, number: int) -> None:
        """Forget the places before a number."""
        while self._items[0].number < number and len(self._items) > 1:
            del self._places[self._items.popleft().item.key]


class _Sequence:
    """Clips that are used one after another, in one of several orders.

    Args:
        orders: those that it may be of, the narrowest first.
        size_of: returns the size of a clip in bytes, exact or estimated.
    """

    def __init__(self, orders: Sequence[_Order], size_of: Callable[[Item], int]) -> None:
        self._orders = orders
        self._size_of = size_of
        self._last = 0
        self._window = 0
        self._unused: dict[str, _Position] = {}

    def used(self, item: Item, max_clips: int, max_bytes: int) -> list[Item] | None:
        """Continue with a clip.

        Args:
            item: the clip.
            max_clips: clips that may be prefetched.
            max_bytes: bytes that they may have together.

        Returns:
            The clips to prefetch; None where the clip does not continue this sequence.
        """
        reach = self._last + self._window + _NEAR
        for order in self._orders:
            order.upto(reach)
        continued = [o for o in self._orders if (number := o.place(item)) and number <= reach]
        if continued:
            self._orders = continued
        number = self._orders[0].place(item)
        if number is None or number > reach:
            return None
        self._unused.pop(item.key, None)
        if number > self._last:
            self._last = number
            self._window = min(max(2, 2 * self._window), max_clips)
            self._drop_missed()
        return self._new(max_bytes)

    def _new(self, max_bytes: int) -> list[Item]:
        """Return the clips in the window that were not prefetched yet."""
        room = max_bytes - sum(self._size_of(place.item) for place in self._unused.values())
        new = []
        for place in self._orders[0].upto(self._last + self._window):
            if place.number > self._last and place.item.key not in self._unused:
                room -= self._size_of(place.item)
                if room < 0:
                    break
                self._unused[place.item.key] = place
                new.append(place.item)
        return new

    def _drop_missed(self) -> None:
        """Halve the window for each clip that was prefetched and passed over."""
        behind = self._last - _NEAR
        for place in [place for place in self._unused.values() if place.number < behind]:
            del self._unused[place.item.key]
            self._window //= 2
        self._orders[0].forget_before(behind)


#: Returns the orders in which a clip may be read, but for that by date.
Orders = Callable[[Item], Sequence[Order]]


def by_date_alone(item: Item) -> Sequence[Order]:
    """Return no order: clips are read by date."""
    return ()


class ReadAhead:
    """Prefetches the clips that are likely to be read next.

    Args:
        following: returns the clips that come after one in an order.
        fetch: fetches a clip in the background unless it is cached.
        size_of: returns the size of a clip in bytes, exact or estimated.
        max_clips: clips that are prefetched at most.
        max_bytes: bytes that they may have together.
        orders: returns the orders in which a clip may be read, the narrowest first; the order by
            date is always the last, and not among them.
    """

    def __init__(
        self,
        following: Following,
        fetch: Callable[[Item], None],
        *,
        size_of: Callable[[Item], int],
        max_clips: int,
        max_bytes: int,
        orders: Orders = by_date_alone,
    ) -> None:
        self._following = following
        self._fetch = fetch
        self._size_of = size_of
        self._max_clips = max_clips
        self._max_bytes = max_bytes
        self._orders = orders
        self._lock = threading.Lock()
        self._sequences: deque[_Sequence] = deque(maxlen=_SEQUENCES)

    def used(self, item: Item, may_fetch: Callable[[], bool]) -> None:
        """Note that a client begins to read a clip, and prefetch the next ones.

        Raises nothing: where the catalog or the cache fails, nothing is prefetched.

        Args:
            item: the clip.
            may_fetch: says whether the client is no crawler; called only before a prefetch.
        """
        try:
            with self._lock:
                items = self._next(item)
            if items and may_fetch():
                for each in items:
                    self._fetch(each)
        except HistfsError as error:
            # The read of a clip must not fail because of another clip.
            log.info("nothing is prefetched after %s: %s", item.key, error)

    def _next(self, item: Item) -> list[Item]:
        for sequence in self._sequences:
            found = sequence.used(item, self._max_clips, self._max_bytes)
            if found is not None:
                # The least recently used sequence is dropped first.
                self._sequences.remove(sequence)
                self._sequences.append(sequence)
                return found
        keys = (*self._orders(item)[:_ORDERS], None)
        orders = [self._order_from(item, key) for key in keys]
        self._sequences.append(_Sequence(orders, self._size_of))
        return []

    def _order_from(self, item: Item, order: Order) -> _Order:
        return _Order(item, lambda last, number: self._following(last, order, number))
