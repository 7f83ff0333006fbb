"""Read-ahead: when a client reads clips in view order, the next ones are prefetched.

An order is that of a view: by date, or by date among the clips of one voice, say. A view lists the
clips of one second by their keys, and programs that sort have them by their names: an order has two
numberings, and the one counts in which the clips that were used leave fewer gaps.

A sequence begins when the next clip of an order is read, or one a few places on. The window starts
at 2, doubles on a hit, and halves on a miss. Random access prefetches nothing, and a program that
reads every third clip, say, is followed in its steps: what it skips is not fetched.

Threads: any number at once. One thread at a time follows what is used: that of the first reader.
The others leave their clips to it and go on, so none waits for what another one looks up. `_lock`
guards whether a thread follows, and what was left to it; nothing else is done while it is held. The
sequences belong to the thread that follows.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, islice, tee
from typing import NamedTuple

from histfs.core.audio_store import Following, Order
from histfs.core.errors import HistfsError
from histfs.core.item import Item

#: The largest distance, in clips, that counts as a hit: clips are skipped, or read out of order.
_NEAR = 8
#: Clips used last, by which a stride is known, and the part of its places that they must fill.
_RECENT, _DENSE = 16, 2 / 3
#: Sequences that are followed at once: of several programs, or of one that reads in two places.
_SEQUENCES = 8
#: Clips whose order is looked up at once.
_BATCH = 32
#: Clips of one second that are sorted by name at once, and passed clips whose places are kept.
_SECOND, _KEPT = 128, 1000
#: Sorts after every key.
_LAST_KEY = chr(0x10FFFF)
#: Orders that a sequence may be of: a dialogue has one for each of its voices, perhaps a hundred.
_ORDERS = 8
#: Clips that are left to the thread that follows; of more the newest count.
_LEFT = 64

log = logging.getLogger(__name__)


class _Position(NamedTuple):
    """Where a clip stands in an order."""

    item: Item
    number: int


class _Order:
    """One numbering of an order, from a clip on, and which of its clips were used.

    Args:
        order: the order.
        first: the clip.
        upcoming: yields those after it.

    Attributes:
        order: as given.
        last: the highest number of a clip that was used.
    """

    def __init__(self, order: Order, first: Item, upcoming: Iterator[Item]) -> None:
        self.order = order
        self.last = 0
        self._recent: deque[int] = deque([0], maxlen=_RECENT)
        self._upcoming = upcoming
        self._places: dict[str, int] = {first.key: 0}
        self._items: deque[_Position] = deque([_Position(first, 0)])

    def continues(self, item: Item, window: int) -> bool:
        """Note the use of a clip, and return whether it is in this order, and near the last."""
        reach = self.last + (window + _NEAR) * (self.stride or 1)
        self._look_up_to(reach)
        number = self._places.get(item.key)
        if number is None or number > reach:
            return False
        if number not in self._recent:
            self._recent.append(number)
        self.last = max(self.last, number)
        return True

    @property
    def length(self) -> int:
        """How many clips were used, of the last ones."""
        return len(self._recent)

    @property
    def stride(self) -> int | None:
        """The distance between the clips that are used; None where they have no regular one.

        Programs that read several clips at once use them nearly in order, and leave gaps meanwhile.
        """
        stride = self._step
        if not stride or (self.length <= 2 and stride > 1):
            return None
        return stride if self.density >= _DENSE else None

    @property
    def density(self) -> float:
        """The part of the places that were used, of those that are a stride apart."""
        span = max(self._recent) - min(self._recent)
        return len(self._recent) / (span // (self._step or 1) + 1)

    @property
    def _step(self) -> int:
        first = min(self._recent)
        return math.gcd(*(number - first for number in self._recent))

    def ahead(self, window: int) -> list[Item]:
        """Return the next clips of the stride."""
        stride = self.stride or 1
        self._look_up_to(self.last + window * stride)
        numbers = range(self.last + stride, self.last + window * stride + 1, stride)
        return [place.item for place in self._items if place.number in numbers]

    def expects(self, item: Item) -> bool:
        """Return whether a clip is to come if those used so far go on as they did."""
        number = self._places.get(item.key, 0)
        return number > self.last and (number - self.last) % (self.stride or 1) == 0

    def is_behind(self, item: Item) -> bool:
        """Return whether a clip was passed over."""
        return self._places.get(item.key, self.last) < self._behind

    def forget_behind(self) -> None:
        """Forget the clips that are too far behind to be used."""
        self._forget_before(self._behind)

    @property
    def _behind(self) -> int:
        return self.last - _NEAR * (self.stride or 1)

    def _look_up_to(self, number: int) -> None:
        while self._items[-1].number < number:
            item = next(self._upcoming, None)
            if item is None:
                break
            place = self._items[-1].number + 1
            self._places[item.key] = place
            self._items.append(_Position(item, place))
        self._forget_before(self.last - _KEPT)

    def _forget_before(self, number: int) -> None:
        while self._items[0].number < number and len(self._items) > 1:
            # An item that has got another date meanwhile may have had two places.
            self._places.pop(self._items.popleft().item.key, None)


def _upcoming(last: Item, following: Callable[[Item, int], Sequence[Item]]) -> Iterator[Item]:
    """Yield the clips after one, looked up as they are needed."""
    while items := following(last, _BATCH):
        yield from items
        last = items[-1]


def _by_name(
    first: Item, following: Callable[[Item, int], Sequence[Item]], upcoming: Iterable[Item]
) -> Iterator[Item]:
    """Yield the clips after one in the order of their names, which begin with the second.

    Args:
        first: the clip.
        following: returns those after a clip as they are listed.
        upcoming: yields the same.
    """
    # Of its second, clips before it in the listing may come after it by name.
    before = replace(first, date=first.date - 1, key=_LAST_KEY)
    second = (item for item in following(before, _BATCH) if item.date == first.date)
    yield from sorted((item for item in second if _name(item) > _name(first)), key=_name)
    for date, items in groupby(upcoming, key=lambda item: item.date):
        while date > first.date and (some := sorted(islice(items, _SECOND), key=_name)):
            yield from some


def _name(item: Item) -> str:
    """Return what a name has after the time."""
    return f"{item.slug}_{item.key}"


class _Sequence:
    """Clips that are used one after another, in one of several orders.

    Where several orders have them so, only clips that all of these expect are prefetched: the
    others may be clips that the program skips.

    Args:
        orders: those that it may be of, the narrowest first, each in both numberings.
        size_of: returns the size of a clip in bytes, exact or estimated.
    """

    def __init__(self, orders: Sequence[_Order], size_of: Callable[[Item], int]) -> None:
        self._orders = orders
        self._size_of = size_of
        self._window = 0
        self._unused: dict[str, Item] = {}

    @property
    def length(self) -> int:
        """How many clips were used, of the last ones."""
        return self._orders[0].length

    def used(self, item: Item, max_clips: int, max_bytes: int) -> list[Item] | None:
        """Continue with a clip.

        Args:
            item: the clip.
            max_clips: clips that may be prefetched.
            max_bytes: bytes that they may have together.

        Returns:
            The clips to prefetch; None where the clip does not continue this sequence.
        """
        last = {order: order.last for order in self._orders}
        continued = [order for order in self._orders if order.continues(item, self._window)]
        if not continued:
            return None
        self._orders = continued
        self._unused.pop(item.key, None)
        regular = _regular(continued)
        # Any order may have two clips next to each other by chance.
        by_chance = self.length <= 2 and any(order.stride is None for order in continued)
        if not regular or by_chance:
            return []
        if any(order.last > last[order] for order in continued):
            self._window = min(max(2, 2 * self._window), max_clips)
            self._drop_missed(regular[0])
        return self._new(regular, max_bytes)

    def _new(self, orders: Sequence[_Order], max_bytes: int) -> list[Item]:
        """Return the clips in the window that were not prefetched yet."""
        room = max_bytes - sum(map(self._size_of, self._unused.values()))
        new = []
        for item in orders[0].ahead(self._window):
            if item.key in self._unused or not all(order.expects(item) for order in orders[1:]):
                continue
            room -= self._size_of(item)
            if room < 0:
                break
            self._unused[item.key] = item
            new.append(item)
        return new

    def _drop_missed(self, order: _Order) -> None:
        """Halve the window for each clip that was prefetched and passed over."""
        for item in [item for item in self._unused.values() if order.is_behind(item)]:
            del self._unused[item.key]
            self._window //= 2
        order.forget_behind()


def _regular(orders: Sequence[_Order]) -> list[_Order]:
    """Return the orders in which clips are used regularly, each in the numbering that fits best."""
    best: dict[Order, _Order] = {}
    for order in orders:
        if order.stride is not None:
            known = best.setdefault(order.order, order)
            if order.density > known.density:
                best[order.order] = order
    return list(best.values())


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
        self._is_followed = False
        self._left: deque[tuple[Item, Callable[[], bool]]] = deque(maxlen=_LEFT)
        self._sequences: deque[_Sequence] = deque(maxlen=_SEQUENCES)

    def used(self, item: Item, may_fetch: Callable[[], bool]) -> None:
        """Note that a client begins to read a clip, and prefetch the next ones.

        Raises nothing: where the catalog or the cache fails, nothing is prefetched.

        Args:
            item: the clip.
            may_fetch: says whether the client is no crawler; called only before a prefetch.
        """
        with self._lock:
            alone = not self._is_followed
            self._is_followed = True
        if not alone:
            # Asked here: it is about the calling thread.
            allowed = may_fetch()
            with self._lock:
                self._left.append((item, lambda: allowed))
                if self._is_followed:
                    return
                self._is_followed = True
        try:
            if alone:
                self._follow(item, may_fetch)
            while (left := self._take()) is not None:
                self._follow(*left)
        except BaseException:
            with self._lock:
                self._is_followed = False
            raise

    def _take(self) -> tuple[Item, Callable[[], bool]] | None:
        """Return what another thread has left; where there is nothing, this one follows no more."""
        with self._lock:
            if self._left:
                return self._left.popleft()
            self._is_followed = False
            return None

    def _follow(self, item: Item, may_fetch: Callable[[], bool]) -> None:
        """Prefetch what comes after a clip."""
        try:
            items = self._next(item)
            if items and may_fetch():
                for each in items:
                    self._fetch(each)
        except HistfsError as error:
            # The read of a clip must not fail because of another clip.
            log.info("nothing is prefetched after %s: %s", item.key, error)

    def _next(self, item: Item) -> list[Item]:
        # One that began a little further on, or in another order, is told, too; of those that are
        # as long the most recently used one decides.
        continued = [
            (sequence, found)
            for sequence in reversed(self._sequences)
            if (found := sequence.used(item, self._max_clips, self._max_bytes)) is not None
        ]
        if continued:
            sequence, found = max(continued, key=lambda each: each[0].length)
            # The least recently used sequence is dropped first.
            self._sequences.remove(sequence)
            self._sequences.append(sequence)
            return found
        keys = (*self._orders(item)[:_ORDERS], None)
        orders = [numbering for key in keys for numbering in self._numberings(item, key)]
        self._sequences.append(_Sequence(orders, self._size_of))
        return []

    def _numberings(self, item: Item, order: Order) -> tuple[_Order, _Order]:
        """Return an order from a clip on, as it is listed and as it is sorted."""

        def following(last: Item, number: int) -> Sequence[Item]:
            return self._following(last, order, number)

        listed, other = tee(_upcoming(item, following))
        return _Order(order, item, listed), _Order(order, item, _by_name(item, following, other))
