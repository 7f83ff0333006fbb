"""Read-ahead: when a client reads clips in view order, the next ones are prefetched.

A sequence begins when the next clip of an order is read, or one a few places on. The window starts
at 2, doubles on a hit, and halves on a miss. Random access prefetches nothing, and a program that
reads every third clip, say, is followed in its steps: what it skips is not fetched. A program that
has gone three steps backwards is followed backwards.

Threads: any number at once. One thread at a time follows what is used: that of the first reader.
The others leave their clips to it and go on, so none waits for what another one looks up. `_lock`
guards whether a thread follows, and what was left to it; nothing else is done while it is held. The
sequences belong to the thread that follows.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from histfs.audio.reading_orders import Numbering, ReadingOrders
from histfs.core.errors import HistfsError
from histfs.core.item import Item

#: Sequences that are followed at once: of several programs, or of one that reads in two places.
_SEQUENCES = 8
#: Clips that are left to the thread that follows; of more the newest count.
_LEFT = 64
#: Steps backwards after which a program is followed, and clips used last among which they are.
_STEPS_BACK, _RECENT = 3, 8
#: Clips that are used between two looks at the sizes of those that were prefetched.
_SIZED = 8

log = logging.getLogger(__name__)


class _Sequence:
    """Clips that are used one after another, in one of several orders.

    Where several orders have them so, only clips that all of these expect are prefetched: the
    others may be clips that the program skips.

    Args:
        orders: those that it may be of, the narrowest first, each in both numberings.
        size_of: returns the size of a clip in bytes, exact or estimated.
    """

    def __init__(self, orders: Sequence[Numbering], size_of: Callable[[Item], int]) -> None:
        self._orders = orders
        self._size_of = size_of
        self._window = 0
        self._unused: dict[str, Item] = {}
        # The sizes of these when they were looked up last, and the clips that were used since.
        self._sizes: dict[str, int] = {}
        self._used = 0

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
        self._forget(item.key)
        regular = _regular(continued)
        # Any order may have two clips next to each other by chance.
        by_chance = self.length <= 2 and any(order.stride is None for order in continued)
        if not regular or by_chance:
            return []
        if any(order.last > last[order] for order in continued):
            self._window = min(max(2, 2 * self._window), max_clips)
            self._drop_missed(regular[0])
        return self._new(regular, max_bytes)

    def _new(self, orders: Sequence[Numbering], max_bytes: int) -> list[Item]:
        """Return the clips in the window that were not prefetched yet."""
        self._used += 1
        if self._used % _SIZED == 0:
            # Most of what was an estimate is known by now.
            self._sizes = {key: self._size_of(item) for key, item in self._unused.items()}
        room = max_bytes - sum(self._sizes.values())
        new = []
        for key, find in orders[0].ahead(self._window):
            if key in self._unused or not all(order.expects(key) for order in orders[1:]):
                continue
            if (item := find()) is None:
                continue
            size = self._size_of(item)
            room -= size
            if room < 0:
                break
            self._unused[key], self._sizes[key] = item, size
            new.append(item)
        return new

    def _drop_missed(self, order: Numbering) -> None:
        """Halve the window for each clip that was prefetched and passed over."""
        for key in order.passed_over(self._unused):
            self._forget(key)
            self._window //= 2
        order.forget_behind()

    def _forget(self, key: str) -> None:
        """Note that a clip is no more one that was prefetched and is to be used."""
        self._unused.pop(key, None)
        self._sizes.pop(key, None)


def _regular(orders: Sequence[Numbering]) -> list[Numbering]:
    """Return the orders in which clips are used regularly, each in the numbering that fits best."""
    best: dict[object, Numbering] = {}
    for order in orders:
        if order.stride is not None:
            known = best.setdefault(order.order, order)
            if order.density > known.density:
                best[order.order] = order
    return list(best.values())


class ReadAhead:
    """Prefetches the clips that are likely to be read next.

    Args:
        orders: in which the clips may be read.
        fetch: fetches a clip in the background unless it is cached.
        size_of: returns the size of a clip in bytes, exact or estimated.
        max_clips: clips that are prefetched at most.
        max_bytes: bytes that they may have together.
    """

    def __init__(
        self,
        orders: ReadingOrders,
        fetch: Callable[[Item], None],
        *,
        size_of: Callable[[Item], int],
        max_clips: int,
        max_bytes: int,
    ) -> None:
        self._orders = orders
        self._fetch = fetch
        self._size_of = size_of
        self._max_clips = max_clips
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._is_followed = False
        self._left: deque[tuple[Item, Callable[[], bool]]] = deque(maxlen=_LEFT)
        self._sequences: deque[_Sequence] = deque(maxlen=_SEQUENCES)
        self._recent: deque[Item] = deque(maxlen=_RECENT)

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
        else:
            orders = self._orders.numberings(item)
            self._sequences.append(_Sequence(orders, self._size_of))
            found = self._backwards(item, orders)
        if all(each.key != item.key for each in self._recent):
            self._recent.append(item)
        return found

    def _backwards(self, item: Item, orders: Sequence[Numbering]) -> list[Item]:
        """Begin a sequence that goes backwards, where the last clips do.

        Args:
            item: the last one.
            orders: from it on.
        """
        recent = list(self._recent)
        if len(recent) < _STEPS_BACK:
            return []
        keys = [each.key for each in recent]
        first = next(filter(None, (order.led_here(keys, _STEPS_BACK) for order in orders)), None)
        if first is None:
            return []
        begun, *others = recent[keys.index(first) :]
        backwards = self._orders.numberings(begun, backwards=True)
        sequence = _Sequence(backwards, self._size_of)
        for each in others:
            sequence.used(each, 0, 0)
        found = sequence.used(item, self._max_clips, self._max_bytes)
        if found is None:
            return []
        self._sequences.append(sequence)
        return found
