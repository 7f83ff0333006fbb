"""Read-ahead: clips are fetched before they are asked for, when they are used in their order.

Orders are those of the views: by date, and by date among the clips of one voice, say. Who
uses the next clip of an order, or one a few places on, has begun a run. Then the ones that follow
are fetched: two at first, twice as many each time that one of the next is used, half as many when
one was fetched and passed over. Somebody who opens one clip, or clips here and there, costs nothing
that he didn't ask for.

Threads: any number at once. `_lock` guards the runs, and is held while the catalog is asked for
what follows; nothing is fetched under it.
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

#: Places after the last clip in which the next one may be: some are skipped, or are out of turn.
_NEAR = 4
#: Runs that are followed at once: two programs, or one that reads in two places.
_RUNS = 8
#: Clips whose order is looked up at once.
_BATCH = 32
#: Orders that a run may be of: a dialogue has one for each of its voices, perhaps a hundred.
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
        following: gives those after a clip.
    """

    def __init__(self, first: Item, following: Callable[[Item, int], Sequence[Item]]) -> None:
        self._following = following
        self._places: dict[str, int] = {first.key: 0}
        self._items: deque[_Position] = deque([_Position(first, 0)])
        self._ended = False

    def place(self, item: Item) -> int | None:
        """Return the number of a clip in this order, None when it isn't near."""
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

    def pass_by(self, number: int) -> None:
        """Forget the places before a number."""
        while self._items[0].number < number and len(self._items) > 1:
            del self._places[self._items.popleft().item.key]


class _Sequence:
    """Clips that are used one after another, in one of several orders.

    Args:
        courses: the orders that it may be, the narrowest first.
    """

    def __init__(self, courses: Sequence[_Order]) -> None:
        self._courses = courses
        self._last = 0
        self._window = 0
        self._unused: dict[str, _Position] = {}

    def used(self, item: Item, most: int, room: int) -> list[Item] | None:
        """Go on with a clip, and return what is to be fetched; None when it is none of this run.

        Args:
            item: the clip.
            most: clips that may be fetched ahead.
            room: bytes that they may have together.
        """
        reach = self._last + self._window + _NEAR
        for course in self._courses:
            course.upto(reach)
        going_on = [c for c in self._courses if (number := c.place(item)) and number <= reach]
        if going_on:
            self._courses = going_on
        number = self._courses[0].place(item)
        if number is None or number > reach:
            return None
        self._unused.pop(item.key, None)
        if number > self._last:
            self._last = number
            self._window = min(max(2, 2 * self._window), most)
            self._look_back()
        return self._new(room)

    def _new(self, room: int) -> list[Item]:
        """Return what is in the window, and is yet to be fetched."""
        room -= sum(_size(place.item) for place in self._unused.values())
        new = []
        for place in self._courses[0].upto(self._last + self._window):
            if place.number > self._last and place.item.key not in self._unused:
                room -= _size(place.item)
                if room < 0:
                    break
                self._unused[place.item.key] = place
                new.append(place.item)
        return new

    def _look_back(self) -> None:
        """Narrow the window for what was fetched and is left behind."""
        behind = self._last - _NEAR
        for place in [place for place in self._unused.values() if place.number < behind]:
            del self._unused[place.item.key]
            self._window //= 2
        self._courses[0].pass_by(behind)


def _size(item: Item) -> int:
    return item.size or item.estimate


#: Gives the orders, but that by date, in which a clip may be used.
Orders = Callable[[Item], Sequence[Order]]


def by_date_alone(item: Item) -> Sequence[Order]:
    """Return no order: clips are used by date."""
    return ()


class ReadAhead:
    """Sees clips being used, and says which ones to fetch.

    Args:
        following: gives the clips that come after one in an order.
        fetch: fetches a clip in the background unless it is here.
        most: clips that are fetched ahead at the most.
        room: bytes that they may have together.
        orders: gives the orders in which a clip may be used, the narrowest first; by date comes
            last, and is not among them.
    """

    def __init__(
        self,
        following: Following,
        fetch: Callable[[Item], None],
        most: int,
        room: int,
        orders: Orders = by_date_alone,
    ) -> None:
        self._following = following
        self._fetch = fetch
        self._most = most
        self._room = room
        self._orders = orders
        self._lock = threading.Lock()
        self._runs: deque[_Sequence] = deque(maxlen=_RUNS)

    def used(self, item: Item, may_fetch: Callable[[], bool]) -> None:
        """Note that somebody begins to read a clip; what is likely to be next is fetched.

        Raises nothing: where the catalog or the cache fails, nothing is fetched ahead.

        Args:
            item: the clip.
            may_fetch: says whether it is somebody to fetch for; asked when there is something.
        """
        try:
            with self._lock:
                items = self._next(item)
            if items and may_fetch():
                for each in items:
                    self._fetch(each)
        except HistfsError as error:
            # Whoever reads a clip must not fail for another one.
            log.info("nothing is fetched ahead of %s: %s", item.key, error)

    def _next(self, item: Item) -> list[Item]:
        for run in self._runs:
            found = run.used(item, self._most, self._room)
            if found is not None:
                # The one that was used last is dropped last.
                self._runs.remove(run)
                self._runs.append(run)
                return found
        orders = (*self._orders(item)[:_ORDERS], None)
        self._runs.append(_Sequence([self._course(item, order) for order in orders]))
        return []

    def _course(self, item: Item, order: Order) -> _Order:
        return _Order(item, lambda last, number: self._following(last, order, number))
