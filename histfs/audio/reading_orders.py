"""The orders in which a program may read clips, from one clip on.

An order is that of a view: by date, or by date among the clips of one voice, say; or that in which
a directory was listed, whatever its view, and then the directories that were listed next. A view
lists the clips of one second by their keys, and programs that sort have them by their names: an
order has two numberings. Both go on after the clip, or before it, for a program that reads
backwards.

Threads: a `Numbering` is for one thread at a time. Nothing else changes after it is made.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby, islice, tee
from typing import NamedTuple

from histfs.core.audio_store import Following, Order
from histfs.core.item import Item
from histfs.core.listed_directories import ListedDirectories, Noted, Shown

#: The largest distance, in clips, that counts as a hit: clips are skipped, or read out of order.
NEAR = 8
#: Clips used last, by which a stride is known, and the part of its places that they must fill.
_RECENT, _DENSE = 16, 2 / 3
#: Clips whose order is looked up at once: at first, as a run that does not go on needs few; later.
_FIRST, _BATCH = 12, 32
#: Clips of one second that are sorted by name at once, and passed clips whose places are kept.
_SECOND, _KEPT = 128, 1000
#: Sorts after every key.
_LAST_KEY = chr(0x10FFFF)
#: Orders that a clip may be of: a dialogue has one for each of its voices, perhaps a hundred; and
#: directories that show it.
_ORDERS, _DIRECTORIES = 8, 4


class Candidate(NamedTuple):
    """A clip that may be read: its key, and what finds it; None where it is gone."""

    key: str
    find: Callable[[], Item | None]


class _Place(NamedTuple):
    """Where a clip stands in an order."""

    candidate: Candidate
    number: int


class Numbering:
    """One numbering of an order, from a clip on, and which of its clips were used.

    Args:
        order: the order.
        first: the clip.
        upcoming: yields those after it; may go on after its end.

    Attributes:
        order: as given.
        last: the highest number of a clip that was used.
        stride: the distance between the clips that are used; None where they have no regular one.
            Programs that read several clips at once use them nearly in order, and leave gaps
            meanwhile.
        density: the part of the places that were used, of those that are a stride apart.
    """

    def __init__(self, order: object, first: Candidate, upcoming: Iterator[Candidate]) -> None:
        self.order = order
        self.last = 0
        self._recent: deque[int] = deque([0], maxlen=_RECENT)
        self.stride: int | None = None
        self.density = 1.0
        self._upcoming = upcoming
        self._places: dict[str, int] = {first.key: 0}
        self._items: deque[_Place] = deque([_Place(first, 0)])

    def continues(self, item: Item, window: int) -> bool:
        """Note the use of a clip, and return whether it is in this order, and near the last."""
        reach = self.last + (window + NEAR) * (self.stride or 1)
        self._look_up_to(reach)
        number = self._places.get(item.key)
        if number is None or number > reach:
            return False
        if number not in self._recent:
            self._recent.append(number)
            # Kept: what follows asks for them many times.
            step = _step(self._recent)
            self.density = _density(self._recent, step)
            few = self.length <= 2 and step > 1
            self.stride = step if step and not few and self.density >= _DENSE else None
        self.last = max(self.last, number)
        return True

    @property
    def length(self) -> int:
        """How many clips were used, of the last ones."""
        return len(self._recent)

    def ahead(self, window: int) -> list[Candidate]:
        """Return the next clips of the stride."""
        stride = self.stride or 1
        self._look_up_to(self.last + window * stride)
        numbers = range(self.last + stride, self.last + window * stride + 1, stride)
        return [place.candidate for place in self._items if place.number in numbers]

    def led_here(self, keys: Sequence[str], steps: int) -> str | None:
        """Return where the clips that were used last began to come backwards to the first one.

        Args:
            keys: of the clips that were used last, in that order.
            steps: so many of them must have come backwards, in regular steps.

        Returns:
            The key of that clip; None where they did not come backwards.
        """
        self._look_up_to(NEAR)
        # Most often none of them is near, and no more has to be looked up.
        if any(self._places.get(key) for key in keys):
            self._look_up_to(NEAR * steps)
        near = [(self._places[key], key) for key in keys if self._places.get(key, 0)][-steps:]
        numbers = [number for number, _ in near]
        backwards = len(near) == steps and numbers == sorted(set(numbers), reverse=True)
        if not backwards:
            return None
        numbers.append(0)
        return near[0][1] if _density(numbers, _step(numbers)) >= _DENSE else None

    def expects(self, key: str) -> bool:
        """Return whether a clip is to come if those used so far go on as they did."""
        number = self._places.get(key, 0)
        return number > self.last and (number - self.last) % (self.stride or 1) == 0

    def passed_over(self, keys: Iterable[str]) -> list[str]:
        """Return the clips that were passed over."""
        behind, places = self._behind, self._places
        return [key for key in keys if places.get(key, behind) < behind]

    def forget_behind(self) -> None:
        """Forget the clips that are too far behind to be used."""
        self._forget_before(self._behind)

    @property
    def _behind(self) -> int:
        return self.last - NEAR * (self.stride or 1)

    def _look_up_to(self, number: int) -> None:
        while self._items[-1].number < number:
            candidate = next(self._upcoming, None)
            if candidate is None:
                break
            place = self._items[-1].number + 1
            # A clip may stand in several directories, or have got another date meanwhile.
            self._places.setdefault(candidate.key, place)
            self._items.append(_Place(candidate, place))
        self._forget_before(self.last - _KEPT)

    def _forget_before(self, number: int) -> None:
        while self._items[0].number < number and len(self._items) > 1:
            (key, _), place = self._items.popleft()
            if self._places.get(key) == place:
                del self._places[key]


def _step(numbers: Collection[int]) -> int:
    """Return the greatest distance of which all numbers are multiples apart."""
    first = min(numbers)
    return math.gcd(*[number - first for number in numbers])


def _density(numbers: Collection[int], step: int) -> float:
    """Return the part of the places that are taken, of those that are a step apart."""
    span = max(numbers) - min(numbers)
    return len(numbers) / (span // (step or 1) + 1)


#: Returns the orders in which a clip may be read, but for that by date.
Orders = Callable[[Item], Sequence[Order]]


def by_date_alone(item: Item) -> Sequence[Order]:
    """Return no order: clips are read by date."""
    return ()


def _none_precede(item: Item, order: Order, number: int) -> Sequence[Item]:
    """Return nothing: no program reads backwards."""
    return ()


def _none_found(key: str, date: int) -> Item | None:
    """Return nothing: no directory was listed."""
    return None


@dataclass(frozen=True, slots=True)
class ReadingOrders:
    """The orders in which the clips of a source may be read.

    Attributes:
        following: returns the clips that come after one in an order.
        of: returns the orders in which a clip may be read, the narrowest first; the order by date
            is always the last, and not among them.
        preceding: returns the clips that come before one in an order, the last one first.
        directories: those that were listed last.
        find: returns the item with a key and a date; None where it is gone.
    """

    following: Following
    of: Orders = by_date_alone
    preceding: Following = _none_precede
    directories: ListedDirectories = field(default_factory=ListedDirectories)
    find: Callable[[str, int], Item | None] = _none_found

    def numberings(self, item: Item, *, backwards: bool = False) -> list[Numbering]:
        """Return the orders of a clip from there on, the narrowest first, in all numberings.

        Args:
            item: the clip.
            backwards: whether those before it come next.
        """
        noted = self.directories.holding(item.key, _DIRECTORIES)
        walks = {one.path[0]: one for one in reversed(noted)}.values()
        return [
            *(each for one in noted for each in self._in(one, item, backwards)),
            *(each for key in self.of(item)[:_ORDERS] for each in self._by(key, item, backwards)),
            *(each for one in walks for each in self._in(one, item, backwards, is_walk=True)),
            *self._by(None, item, backwards),
        ]

    def _by(self, order: Order, first: Item, backwards: bool) -> Iterator[Numbering]:
        """Yield an order by date as it is listed, and as it is sorted by name."""
        look_up = self.preceding if backwards else self.following

        def some(last: Item, number: int) -> Sequence[Item]:
            return look_up(last, order, number)

        listed, other = tee(_upcoming(first, some))
        for items in (listed, _by_name(first, some, other, backwards)):
            yield Numbering(order, _known(first), map(_known, items))

    def _in(
        self, noted: Noted, first: Item, backwards: bool, *, is_walk: bool = False
    ) -> Iterator[Numbering]:
        """Yield the order of a directory as it was listed, and as it is sorted by name.

        Args:
            noted: the directory.
            first: the clip.
            backwards: whether those before it come next.
            is_walk: whether the next directories of the view follow.
        """
        order = noted.path[0] if is_walk else noted.directory
        for by_name in (False, True):
            walk = _Walk(self.directories, noted, first.key, by_name, backwards)
            upcoming = map(self._candidate, walk if is_walk else walk.rest)
            yield Numbering(order, _known(first), upcoming)
            if noted.directory.by_name is noted.directory.listed and not is_walk:
                break

    def _candidate(self, item: Shown) -> Candidate:
        return Candidate(item.key, partial(self.find, item.key, item.date))


class _Walk(Iterator[Shown]):
    """The items after one in its directory, then those of the directories that were listed next.

    Programs that walk a view list a directory before they read what is in it, some of them all
    directories first. So this goes on after its end once another directory is listed.

    Args:
        directories: those that were listed.
        noted: the directory of the item.
        key: of the item.
        by_name: whether each directory is in the order of its names, not of its listing.
        backwards: whether each is gone through backwards.

    Attributes:
        rest: yields what is left of the directory.
    """

    def __init__(
        self,
        directories: ListedDirectories,
        noted: Noted,
        key: str,
        by_name: bool,
        backwards: bool,
    ) -> None:
        self._directories = directories
        self._noted = noted
        self._by_name = by_name
        self._backwards = backwards
        self._walked = {noted.path}
        self.rest = self._items(key)

    def __next__(self) -> Shown:
        while (item := next(self.rest, None)) is None:
            noted = self._directories.after(self._noted)
            if noted is None:
                raise StopIteration
            self._noted = noted
            # One that was listed anew comes once.
            if noted.path not in self._walked:
                self._walked.add(noted.path)
                self.rest = self._items()
        return item

    def _items(self, after: str | None = None) -> Iterator[Shown]:
        """Return the items of the directory: all, or those after the one with a key."""
        directory = self._noted.directory
        items, places = directory.listed, directory.places
        if self._by_name:
            items, places = directory.by_name, directory.named_places
        if after is None:
            return reversed(items) if self._backwards else iter(items)
        place = places[after]
        some = range(place - 1, -1, -1) if self._backwards else range(place + 1, len(items))
        return map(items.__getitem__, some)


def _known(item: Item) -> Candidate:
    return Candidate(item.key, lambda: item)


def _upcoming(last: Item, look_up: Callable[[Item, int], Sequence[Item]]) -> Iterator[Item]:
    """Yield the clips after one, or before it, looked up as they are needed."""
    number = _FIRST
    while items := look_up(last, number):
        yield from items
        last, number = items[-1], _BATCH


def _by_name(
    first: Item,
    look_up: Callable[[Item, int], Sequence[Item]],
    upcoming: Iterable[Item],
    backwards: bool,
) -> Iterator[Item]:
    """Yield the clips after one in the order of their names, which begin with the second.

    Args:
        first: the clip.
        look_up: returns those after a clip as they are listed, or those before it.
        upcoming: yields the same.
        backwards: whether they are those before it.
    """
    # Of its second, clips before it in the listing may come after it by name.
    if backwards:
        edge = replace(first, date=first.date + 1, key="")
    else:
        edge = replace(first, date=first.date - 1, key=_LAST_KEY)
    second = [item for item in look_up(edge, _BATCH) if item.date == first.date]
    names = {_name(item): item for item in second if item.key != first.key}
    rest = [name for name in names if (name > _name(first)) != backwards]
    yield from (names[name] for name in sorted(rest, reverse=backwards))
    for date, items in groupby(upcoming, key=lambda item: item.date):
        while date != first.date and (
            some := sorted(islice(items, _SECOND), key=_name, reverse=backwards)
        ):
            yield from some


def _name(item: Item) -> str:
    """Return what a name has after the time."""
    return f"{item.slug}_{item.key}"
