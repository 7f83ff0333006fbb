"""What a server's search finds is stored, and covers no span."""

from __future__ import annotations

from dataclasses import replace

from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.search_service import SearchService
from histfs.catalog.text_index import FullTextIndex
from histfs.core.index import Listed
from histfs.core.source import SPAN, WORDS
from histfs.core.times import ALWAYS, Span
from histfs.core.waiting import Waiter
from tests.support.memory import MemorySource, record
from tests.support.world import numbered, world_at


def keys(store: CatalogStore) -> list[str]:
    return [listed.key for listed in store.between(ALWAYS)]


def test_what_is_found_is_stored_and_no_span_is_known_by_it(store):
    rows = [record("new", 9, "New", voice="v"), record("old", 5), record("new", 9, "New")]
    assert store.add(rows) == [Listed(5, "old", "hello-world"), Listed(9, "new", "new")]
    assert keys(store) == ["old", "new"]
    assert store.raw("new", 9) == rows[0].raw
    assert store.total() == 2
    assert store.coverage().spans() == []


def test_the_next_answer_about_the_span_settles_what_was_found(store):
    store.add([record("stays", 5), record("goes", 6), record("elsewhere", 20)])
    store.replace(Span(0, 10), [record("comes", 7), record("stays", 5)])
    assert keys(store) == ["stays", "comes", "elsewhere"]


def test_an_item_that_was_not_known_puts_in_doubt_what_lies_between_its_neighbours(store, clock):
    store.replace(ALWAYS, numbered([80, 50, 30, 10]))
    clock.now += 1
    store.add(numbered([40, 30]))
    assert store.coverage().gaps(ALWAYS) == [Span(30, 50)]
    store.add(numbered([95, 90]))
    assert store.coverage().gaps(ALWAYS) == [Span(30, 50), Span(80, ALWAYS.end)]


def test_an_answer_that_was_asked_for_later_is_believed_more(store, clock):
    store.replace(ALWAYS, [record("b", 8, "after"), record("a", 5)])
    before = store.version
    late = [record("gone", 6), record("b", 8, "before")]
    assert store.add(late, requested_at=clock.now - 1) == [Listed(8, "b", "after")]
    assert keys(store) == ["a", "b"]
    assert store.version == before


def test_an_item_that_is_otherwise_by_now_is_stored_so_and_its_span_stays_known(store, clock):
    store.replace(ALWAYS, [record("b", 8), record("a", 5, "before")])
    clock.now += 1
    before = store.version
    store.add([record("b", 8)])
    assert store.version == before
    changed = record("a", 5, "after")
    assert store.add([changed, changed]) == [Listed(5, "a", "after")]
    assert store.version != before
    assert store.covers(ALWAYS)
    assert store.total() == 2


def test_an_item_deleted_here_a_moment_ago_is_not_brought_back(store, clock):
    store.replace(ALWAYS, [record("a", 5)])
    store.forget("a", 5)
    clock.now += 1
    assert store.add([record("a", 5)]) == []
    assert keys(store) == []
    assert store.covers(ALWAYS)


def test_an_item_that_a_listing_no_longer_has_while_the_server_searches_is_not_found(tmp_path):
    source = MemorySource([record("gone", 6), record("a", 5)])
    source.traits = replace(source.traits, filters=frozenset({SPAN, WORDS}))
    with world_at(tmp_path / "catalog.sqlite", source) as world:
        words = FullTextIndex(world.store, lambda key, raw: "")
        searcher = SearchService(
            world.reader, world.refresher, words, flights=world.flights[0], ttl=30.0
        )
        with source.held("list") as gate:
            flight = world.flights[1].submit("search", lambda: searcher.search("a", Waiter(10)))
            gate.wait_until_reached()
            world.later(1)
            world.store.replace(ALWAYS, [record("a", 5)])
        flight.result(10)
        assert [listed.key for listed in searcher.found("a")] == ["a"]
        assert world.known() == ["a"]


def test_while_a_search_is_overdue_the_next_one_does_without_the_server(tmp_path):
    source = MemorySource([record("a", 5)])
    source.traits = replace(source.traits, filters=frozenset({SPAN, WORDS}))
    with world_at(tmp_path / "catalog.sqlite", source) as world:
        words = FullTextIndex(world.store, lambda key, raw: "spoken")
        searcher = SearchService(
            world.reader, world.refresher, words, flights=world.flights[0], ttl=30.0
        )
        world.store.replace(ALWAYS, [record("a", 5)])
        with source.held("list") as gate:
            flight = world.flights[1].submit(
                "search", lambda: searcher.search("spoken", Waiter(10))
            )
            gate.wait_until_reached()
            world.reader.breaker.wait_budget = lambda kind: 0.0
            asked = source.count("list")
            searcher.search("spok", Waiter(10))
            assert [listed.key for listed in searcher.found("spok")] == ["a"]
            assert source.count("list") == asked
        flight.result(10)
