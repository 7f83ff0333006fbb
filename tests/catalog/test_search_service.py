"""Searches by the server, by the catalog's own index, and without the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from histfs.catalog import search_service
from histfs.catalog.circuit_breaker import FAILURE_MEMORY
from histfs.catalog.search_service import SearchService
from histfs.catalog.text_index import FullTextIndex
from histfs.core.errors import (
    BadAnswer,
    DeadlineExceeded,
    InvalidRequest,
    KeyRefused,
    NotOffered,
    ServerFailed,
    TimedOut,
    Unreachable,
)
from histfs.core.source import SPAN, WORDS, Named, Page
from histfs.core.times import ALWAYS, Span
from histfs.core.waiting import Waiter
from tests.support.eventually import eventually
from tests.support.memory import MemorySource
from tests.support.world import World, names, numbered, world_at


class Searchable(MemorySource):
    """A source with a search that names items, or lists them.

    Attributes:
        said: what was said in each item, by its id.
        naming: whether the search only names the items.
        results: results on a page.
        error: what a search raises.
        odd: what it names beside what it finds.
        repeats: how often it names what it finds.
        searches: the queries of the searches.
    """

    def __init__(self, records, page_size, *, naming):
        super().__init__(records, page_size)
        self.traits = replace(self.traits, filters=frozenset({SPAN, WORDS}), summaries=naming)
        self.naming = naming
        self.said = {}
        self.results = 2
        self.error = None
        self.odd = []
        self.repeats = 1
        self.searches = []

    def list(self, query):
        if query.words is None:
            return super().list(query)
        self.searches.append(query)
        self._called("search", query)
        if self.error is not None:
            raise self.error
        known = {record.item.id: record for record in self.records()}
        hits = [id_ for id_, said in self.said.items() if query.words in said] * self.repeats
        start = int(query.after or 0)
        end = start + self.results
        page, cursor = hits[start:end], str(end) if end < len(hits) else None
        if not self.naming:
            return Page([known[id_] for id_ in page], cursor)
        named = [Named(id_, known[id_].item.date if id_ in known else 7) for id_ in page]
        return Page((), cursor, [*named, *named, *self.odd])


class Desk:
    """A searcher of a source, which looks with its own index through texts and what was said."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.source = world.source
        words = FullTextIndex(world.store, lambda key, raw: json.loads(raw)["text"])
        self.searcher = SearchService(
            world.reader, world.refresher, words, flights=world.flights[1], ttl=30.0
        )

    def search(self, words: str, timeout: float = 10) -> list[str]:
        self.searcher.search(words, Waiter(timeout))
        found = self.searcher.found(words)
        assert found is not None
        assert list(found) == sorted(found)
        return [item.key for item in found]

    def lists(self) -> list[Span]:
        """The spans of the lists that were requested."""
        return [call.argument.span for call in self.source.calls if call.method == "list"]


def desk_at(path, naming: bool) -> Iterator[Desk]:
    with world_at(path, Searchable(numbered(range(100)), 10, naming=naming)) as world:
        yield Desk(world)


@pytest.fixture
def desk(path) -> Iterator[Desk]:
    """A hundred items, ten on a page, of a server whose search only names them."""
    yield from desk_at(path, naming=True)


@pytest.fixture
def listing(path) -> Iterator[Desk]:
    """The same of a server whose search lists them."""
    yield from desk_at(path, naming=False)


def says(desk, words, *dates):
    desk.source.said.update(dict.fromkeys(names(*dates), words))


# A search that only names items


def test_what_is_named_is_listed_with_no_more_pages_than_items(desk):
    says(desk, "hi", 90, 55, 12, 11, 54, 91)
    assert desk.search("hi") == names(11, 12, 54, 55, 90, 91)
    assert desk.lists() == [Span(11, 92), Span(11, 56), Span(11, 13)]
    assert len(desk.source.searches) == 3
    assert desk.source.count("get") == 0


def test_many_that_are_named_cost_no_more_pages_than_there_are(desk):
    says(desk, "hi", *range(100))
    assert desk.search("hi") == names(*range(100))
    assert len(desk.lists()) <= 12


def test_any_number_of_results_may_be_named(desk):
    desk.source.results = 1
    says(desk, "hi", *range(100))
    desk.source.repeats = 3
    assert desk.search("hi") == names(*range(100))
    assert len(desk.source.searches) == 300


def test_what_is_named_and_known_costs_the_search_alone(desk):
    desk.world.list()
    before = desk.lists()
    says(desk, "hi", 3, 97)
    assert desk.search("hi") == names(3, 97)
    assert desk.lists() == before


def test_what_is_known_here_is_found_by_its_summary_too(desk):
    desk.world.list(Span(20, 22))
    says(desk, "hello", 21, 50)
    assert desk.search("hello") == names(20, 21, 50)


def test_an_item_that_is_newer_than_all_that_is_known_is_found(desk):
    desk.world.list()
    desk.source.add(*numbered([200]))
    says(desk, "hi", 200)
    assert desk.search("hi") == names(200)


def test_what_is_named_and_gone_is_left_out(desk):
    desk.world.list(Span(0, 20))
    says(desk, "hi", 7, 9)
    desk.source.said["gone"] = "hi"
    assert desk.search("hi") == names(7, 9)
    assert desk.source.count("get") == 1


def test_an_item_that_stands_elsewhere_than_it_is_named_is_found_there(desk):
    desk.world.list()
    desk.source.odd = [Named("0055", 3), Named("0056", None)]
    assert desk.search("hi") == names(55, 56)
    assert desk.source.count("get") == 0


def test_a_server_that_names_what_no_list_has_is_not_believed(desk):
    desk.source.said.update({f"ghost{n}": "hi" for n in range(60)})
    with pytest.raises(BadAnswer, match="60 items that are in no list"):
        desk.search("hi")
    assert desk.source.count("get") == 0


def test_what_comes_too_late_for_a_call_is_there_for_the_next_one(desk):
    says(desk, "hi", 5)
    with desk.source.held("search") as gate:
        with pytest.raises(DeadlineExceeded):
            desk.search("hi", timeout=0.2)
        gate.wait_until_reached()
    assert eventually(lambda: desk.search("hi", timeout=0.5)) == names(5)
    assert len(desk.source.searches) == 1


# A server without a search


@pytest.mark.parametrize("error", [InvalidRequest("400"), NotOffered("404"), KeyRefused("403")])
@pytest.mark.parametrize("kind", ["desk", "listing"])
def test_a_server_that_does_not_search_is_listed_whole_and_searched_here(request, kind, error):
    desk = request.getfixturevalue(kind)
    desk.source.error = error
    assert desk.search("hello") == names(*range(100))
    assert desk.world.breaker.failure() is None


def test_a_server_that_has_no_search_is_asked_for_one_once(listing):
    listing.source.error = NotOffered("404")
    for words in ("hello", "world", "hello world"):
        assert listing.search(words) == names(*range(100))
    assert len(listing.source.searches) == 1


def test_a_key_that_is_refused_for_all_is_told(listing):
    listing.source.error = KeyRefused("401")
    listing.source.fail("list", KeyRefused("401"))
    with pytest.raises(KeyRefused):
        listing.search("hello")


@pytest.mark.parametrize("error", [BadAnswer("<html>"), ServerFailed("500"), TimedOut("slow")])
def test_a_search_that_fails_is_made_here_where_all_is_known_else_it_is_an_error(listing, error):
    listing.source.error = error
    with pytest.raises(type(error)):
        listing.search("hello")
    listing.world.list()
    assert listing.search("hello") == names(*range(100))


def test_the_server_is_told_which_sources_the_catalog_knows(listing):
    listing.world.list(Span(5, 8))
    listing.search("hi")
    assert listing.source.searches[0].sources == ("TTS",)


# Which requests a failed search affects


@pytest.mark.parametrize(
    "error",
    [InvalidRequest("400"), BadAnswer("<html>"), ServerFailed("500"), TimedOut("slow")],
    ids=lambda error: type(error).__name__,
)
def test_a_search_that_fails_fails_no_listing(listing, error):
    listing.source.error = error
    if isinstance(error, InvalidRequest):
        listing.world.list()
        listing.search("hello")
        listing.world.later()
    else:
        with pytest.raises(type(error)):
            listing.search("hello")
    before = len(listing.lists())
    assert listing.world.list(Span(40, 42)) == names(40, 41)
    assert len(listing.lists()) == before + 1


def test_without_a_way_to_the_server_nothing_is_listed_for_a_while(listing):
    listing.source.error = Unreachable("down")
    with pytest.raises(Unreachable):
        listing.search("hello")
    with pytest.raises(Unreachable):
        listing.world.list(Span(40, 42))
    assert listing.lists() == []
    listing.world.later(FAILURE_MEMORY)
    assert listing.world.list(Span(40, 42)) == names(40, 41)


def test_a_refused_search_is_not_repeated_for_a_while_and_refuses_no_other(listing):
    listing.world.list(ALWAYS)
    listing.source.error = InvalidRequest("400")
    for _ in range(3):
        listing.searcher._found.clear()
        assert listing.search("hello wo") == names(*range(100))
    assert len(listing.source.searches) == 1
    listing.source.error = None
    says(listing, "other", 3)
    assert listing.search("other") == names(3)


# Too many results


@pytest.mark.parametrize("naming", [True, False])
def test_no_more_pages_are_asked_for_than_are_shown(path, monkeypatch, naming):
    monkeypatch.setattr(search_service, "SEARCH_LIMIT", 5)
    for desk in desk_at(path, naming=naming):
        says(desk, "hi", *range(100))
        assert len(desk.search("hi")) == 6
        assert len(desk.source.searches) == 3


def test_of_what_is_found_in_both_ways_the_newest_are_kept(desk, monkeypatch):
    monkeypatch.setattr(search_service, "SEARCH_LIMIT", 3)
    desk.world.list()
    says(desk, "hello", 90, 12, 11)
    assert desk.search("hello") == names(96, 97, 98, 99)


def test_many_searches_take_no_more_memory_than_a_few(listing, monkeypatch):
    monkeypatch.setattr(search_service, "_ITEMS", 1000)
    searcher = SearchService(
        listing.world.reader, listing.world.refresher, FullTextIndex(listing.world.store, str),
        flights=listing.world.flights[1], ttl=1000.0,
    )  # fmt: skip
    for n in range(20):
        words = f"words {n}"
        says(listing, words, *range(50))
        searcher.search(words, Waiter(10))
        assert len(searcher.found(words)) == 50
    assert sum(len(found) for found in searcher._found.values()) <= 1000
