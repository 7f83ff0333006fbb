"""The contract of a view: what histfs relies on."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from histfs.core.errors import SourceError, Unreachable
from histfs.core.item import Details, Record
from histfs.core.names import is_component, item_name
from histfs.core.times import ALWAYS, Zone
from histfs.core.views import View
from histfs.core.views.view import At
from histfs.core.waiting import Waiter
from histfs.testing.memory_index import MemoryIndex
from histfs.testing.sample_items import describe_sample, sample_records

_THREADS = 4
_NOWHERE = "no such directory"


class Shown(NamedTuple):
    """All directories of a view.

    Attributes:
        names: the names in each directory above the lowest level.
        items: the names and the keys of the items in each directory at the lowest level.
    """

    names: dict[At, list[str]]
    items: dict[At, list[tuple[str, str]]]

    def keys(self) -> Counter[str]:
        """Return the number of times that each item is shown."""
        return Counter(key for items in self.items.values() for _, key in items)


class ViewContract:
    """Inherit it, and override the fixture `make`.

    The items are samples, with the facets of the built-in sources. For a view that needs the items
    of another source, override `records` (``everything(source)``) and `describe`
    (``source.describe``), too.
    """

    @pytest.fixture
    def make(self) -> Callable[[Zone], View]:
        """Return the constructor of the view, as the entry point names it."""
        raise NotImplementedError("override the fixture `make`")

    @pytest.fixture
    def records(self) -> list[Record]:
        """Return the records of the items."""
        return sample_records()

    @pytest.fixture
    def describe(self) -> Callable[[bytes], Details]:
        """Return the function that parses the details of these items."""
        return describe_sample

    @pytest.fixture
    def unlisted(self) -> Sequence[At]:
        """Return directories that exist though they are not listed, such as a search's."""
        return ()

    @pytest.fixture
    def zone(self) -> Zone:
        """Return the time zone of the view."""
        return Zone("Europe/Berlin")

    @pytest.fixture
    def fresh(self, make: Callable[[Zone], View], zone: Zone) -> Callable[[], View]:
        """Return a function that creates a view, as another mount would."""
        return lambda: make(zone)

    @pytest.fixture
    def view(self, fresh: Callable[[], View]) -> View:
        """Return a view."""
        return fresh()

    @pytest.fixture
    def index(self, records: list[Record], describe: Callable[[bytes], Details]) -> MemoryIndex:
        """Return an index with all items."""
        return MemoryIndex(records, describe)

    @pytest.fixture
    def shown(self, view: View, index: MemoryIndex, unlisted: Sequence[At]) -> Shown:
        """Return all directories of the view."""
        shown = walk(view, index, unlisted)
        assert shown.keys(), "the view shows nothing: override `records`"
        return shown

    def test_the_view_says_what_it_is(self, view: View) -> None:
        """Its properties have the right types; its name is a folder's, and not a hidden one."""
        assert is_component(view.name)
        assert not view.name.startswith(".")
        assert isinstance(view.depth, int)
        assert view.depth >= 0
        assert view.facet is None or (isinstance(view.facet, str) and view.facet)
        for trait in (view.whole_history, view.listed, view.total, view.aliased):
            assert isinstance(trait, bool)

    def test_names_are_names(self, shown: Shown) -> None:
        """They have at most 255 bytes and no slash; none is hidden, none occurs twice."""
        entries = [*shown.names.values(), *([n for n, _ in i] for i in shown.items.values())]
        for names in entries:
            assert [name for name in names if not is_component(name)] == []
            assert [name for name in names if name.startswith(".")] == []
            assert [name for name, count in Counter(names).items() if count > 1] == []

    def test_an_item_stands_once_in_a_directory(self, shown: Shown) -> None:
        """It may stand in several directories, in each of them once."""
        for items in shown.items.values():
            counts = Counter(key for _, key in items)
            assert [key for key, count in counts.items() if count > 1] == []

    def test_a_total_view_shows_every_item(
        self, view: View, index: MemoryIndex, shown: Shown
    ) -> None:
        """Such a view may hold the homes of items."""
        assert shown.keys().keys() <= index.rows.keys()
        if view.total:
            assert shown.keys().keys() == index.rows.keys()

    def test_what_is_listed_is_found_and_nothing_else(
        self, view: View, index: MemoryIndex, shown: Shown, unlisted: Sequence[At]
    ) -> None:
        """A lookup of a path does not list the directory."""
        for record in index.rows.values():
            listed = []
            for at, items in shown.items.items():
                is_listed = record.item.key in [key for _, key in items]
                assert view.holds(at, record.item, index) == is_listed, (at, record.item.key)
                listed += [at] if is_listed and at not in unlisted else []
            assert sorted(view.places(record.item, index)) == sorted(listed)

    def test_an_item_has_one_home(
        self, view: View, index: MemoryIndex, shown: Shown, unlisted: Sequence[At]
    ) -> None:
        """It is the first of its places, in every mount; the others hold links to it."""
        linked = {at: view.linked(at, index) for at in shown.items}
        for record in index.rows.values():
            places = view.places(record.item, index)
            home = view.home(record.item, index)
            assert home == (places[0] if places else None)
            for at in places:
                assert (record.item.key in linked[at]) == (at != home), (at, record.item.key)

    def test_items_come_oldest_first(self, view: View, index: MemoryIndex, shown: Shown) -> None:
        """A listing is in the order of dates."""
        for at in shown.items:
            dates = [listed.date for listed in view.items(at, index)]
            assert dates == sorted(dates)

    def test_a_directory_is_as_new_as_its_newest_item(
        self, view: View, index: MemoryIndex, shown: Shown
    ) -> None:
        """Its mtime is the date of the newest item below it, on any level."""
        for at in [*shown.names, *shown.items]:
            below = [
                index.rows[key].item.date
                for place, items in shown.items.items()
                for _, key in items
                if place[: len(at)] == at
            ]
            if view.listed or (at and below):
                assert view.newest(at, index) == max(below, default=None), at

    def test_there_is_no_directory_but_those_that_are_listed(
        self, view: View, index: MemoryIndex, shown: Shown
    ) -> None:
        """Otherwise every path would resolve."""
        if not view.listed:
            return
        some = next(iter(index.rows.values())).item
        for at in shown.names:
            nowhere = (*at, _NOWHERE)
            assert view.newest(nowhere, index) is None
            if len(nowhere) == view.depth:
                assert not view.holds(nowhere, some, index)

    def test_the_span_of_a_directory_holds_its_items(
        self, view: View, index: MemoryIndex, shown: Shown
    ) -> None:
        """Caches rely on it: a change outside of the span does not change the directory."""
        for at, items in shown.items.items():
            for depth in range(len(at) + 1):
                span = view.span(at[:depth])
                assert span is not None
                for _, key in items:
                    assert span.holds(index.rows[key].item.date)

    def test_the_next_mount_shows_the_same(
        self,
        fresh: Callable[[], View],
        index: MemoryIndex,
        shown: Shown,
        unlisted: Sequence[At],
    ) -> None:
        """Names don't depend on earlier calls."""
        again = fresh()
        for record in index.rows.values():
            again.home(record.item, index)
        assert walk(again, index, unlisted) == shown

    def test_the_order_in_which_items_became_known_tells_nothing(
        self,
        fresh: Callable[[], View],
        records: list[Record],
        describe: Callable[[bytes], Details],
        shown: Shown,
        unlisted: Sequence[At],
    ) -> None:
        """Items may become known newest first, or a day at a time."""
        for seed in range(3):
            mixed = random.Random(seed).sample(records, len(records))
            assert walk(fresh(), MemoryIndex(mixed, describe), unlisted) == shown

    def test_an_item_that_goes_leaves_the_others_where_they_are(
        self, view: View, index: MemoryIndex, shown: Shown, unlisted: Sequence[At]
    ) -> None:
        """A directory vanishes with its last item; an item that returns stands where it stood."""
        if unlisted:
            return
        for key, record in list(index.rows.items()):
            index.discard(key)
            now = walk(view, index)
            left = {at: [i for i in items if i[1] != key] for at, items in shown.items.items()}
            if view.depth:
                assert now.items == {at: items for at, items in left.items() if items}
            elif not view.aliased:
                assert now.items == left
            index.add(record)
            assert walk(view, index) == shown

    def test_without_items_there_is_nothing(self, view: View) -> None:
        """There are not even directories."""
        index = MemoryIndex()
        if view.listed:
            assert view.newest((), index) is None
        assert not any(walk(view, index).items.values())
        assert not any(walk(view, index).names.values())

    def test_nothing_is_listed_before_all_of_it_is_known(
        self,
        fresh: Callable[[], View],
        records: list[Record],
        describe: Callable[[bytes], Details],
        shown: Shown,
    ) -> None:
        """A backup would delete what a partial listing lacks."""
        for at in _listings(shown, fresh()):
            view, index = fresh(), _unknown(records, describe)
            assert not view.complete(at, index)
            view.ensure(at, index, Waiter(5))
            assert view.complete(at, index)
            if at in shown.names:
                assert list(view.subdirectories(at, index)) == shown.names[at]
            else:
                assert _items(view, at, index) == shown.items[at]
            view, index = fresh(), _unknown(records, describe)
            view.ensure_newest(at, index, Waiter(5))
            assert view.knows_newest(at, index)

    def test_a_source_that_fails_makes_a_listing_fail(
        self,
        fresh: Callable[[], View],
        records: list[Record],
        describe: Callable[[bytes], Details],
        shown: Shown,
    ) -> None:
        """The listing must not be empty instead."""
        for at in _listings(shown, fresh()):
            view, index = fresh(), _unknown(records, describe)
            index.error = Unreachable("no network")
            with pytest.raises(SourceError):
                view.ensure(at, index, Waiter(5))

    def test_several_threads_see_what_one_sees(
        self,
        fresh: Callable[[], View],
        index: MemoryIndex,
        shown: Shown,
        unlisted: Sequence[At],
    ) -> None:
        """All threads of a mount share one view."""
        view = fresh()
        with ThreadPoolExecutor(_THREADS) as pool:
            looks = pool.map(lambda _: walk(view, index, unlisted), range(_THREADS))
            assert all(look == shown for look in looks)


def _listings(shown: Shown, view: View) -> list[At]:
    """Return the directories whose contents must be known: all but an unlisted folder."""
    return [at for at in [*shown.names, *shown.items] if at or view.listed]


def _unknown(records: list[Record], describe: Callable[[bytes], Details]) -> MemoryIndex:
    """Return an index that knows nothing before a call that may cost a request."""
    index = MemoryIndex((), describe)
    index.unknown, index.arriving = ALWAYS, list(records)
    return index


def walk(view: View, index: MemoryIndex, unlisted: Sequence[At] = ()) -> Shown:
    """Return all directories of a view."""
    names: dict[At, list[str]] = {}
    level: list[At] = [()]
    for _ in range(view.depth):
        names.update({at: list(view.subdirectories(at, index)) for at in level})
        level = [(*at, name) for at in level for name in names[at]]
    for at in unlisted:
        view.ensure(at, index, Waiter(5))
    return Shown(names, {at: _items(view, at, index) for at in [*level, *unlisted]})


def _items(view: View, at: At, index: MemoryIndex) -> list[tuple[str, str]]:
    """Return the names and the keys of the items in a directory."""
    if view.aliased:
        return sorted((name, listed.key) for name, listed in view.aliases(at, index))
    zone = Zone("UTC")
    return [
        (item_name(listed.date, listed.slug, listed.key, zone), listed.key)
        for listed in view.items(at, index)
    ]
