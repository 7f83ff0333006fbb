import dataclasses
import json
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.details_fetcher import DetailsFetcher
from histfs.core.errors import Missing, NoSpace, NotForCrawlers, Unreachable
from histfs.core.item import Details
from histfs.core.names import Labelled
from histfs.core.single_flight import SingleFlight
from histfs.core.times import ALWAYS
from histfs.core.waiting import Waiter
from tests.support.clock import Clock
from tests.support.memory import record

TTL = 30.0
CALL = {"call": (Labelled("CA1", None),)}


class World:
    """A source that lists only a summary of its one item."""

    def __init__(self, path):
        self.path = path
        self.clock = Clock()
        self.flights = SingleFlight("details", 4)
        self.fields = {"text": "Hello", "final": True}
        self.gets = 0
        self.error = None
        self.doubted = []
        self.held = threading.Event()
        self.held.set()
        self.start()
        self.list("in short")

    def start(self):
        self.store = CatalogStore(self.path, self.clock)
        self.fetcher = DetailsFetcher(
            self.get,
            self.describe,
            self.store,
            flights=self.flights,
            ttl=TTL,
            invalidate=self.doubted.append,
            clock=self.clock,
        )

    def list(self, text):
        """Let the source list its item, as a refresh does."""
        listed = record("a", 100, text)
        self.store.replace(ALWAYS, [listed])
        self.item = listed.item

    def get(self, item_id):
        self.gets += 1
        self.held.wait(10)
        if self.error is not None:
            raise self.error
        raw = json.dumps(self.fields).encode()
        item = dataclasses.replace(self.item, revision=zlib.crc32(raw))
        return dataclasses.replace(record("a", 100), item=item, raw=raw, facets=CALL)

    def describe(self, raw):
        fields = json.loads(raw)
        return Details(raw, fields["text"], fields["final"])

    def text(self, **options):
        return self.fetcher.full(self.item, Waiter(10, **options)).text

    def known(self):
        details = self.fetcher.known(self.item)
        return details and details.text


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "catalog.sqlite")
    yield world
    world.held.set()
    world.flights.close()
    world.store.close()


def test_details_are_fetched_once_and_kept_over_a_restart(world):
    assert world.known() is None
    assert world.text() == world.text() == "Hello"
    world.store.close()
    world.start()
    assert world.text() == world.known() == "Hello"
    assert world.gets == 1


def test_several_who_ask_at_once_share_a_request(world):
    world.held.clear()
    with ThreadPoolExecutor(4) as pool:
        texts = [pool.submit(world.text) for _ in range(4)]
        while not world.gets:
            pass
        world.held.set()
        assert {text.result() for text in texts} == {"Hello"}
    assert world.gets == 1


def test_an_item_that_is_listed_otherwise_has_other_details(world):
    world.text()
    world.list("in short, and changed")
    world.fields["text"] = "Hello, again"
    assert world.known() == "Hello"
    assert world.fetcher.current(world.item) is None
    assert world.text() == world.known() == "Hello, again"


def test_what_goes_on_is_fresh_for_a_while(world):
    world.fields = {"text": "Hel", "final": False}
    assert world.text() == "Hel"
    world.fields = {"text": "Hello", "final": True}
    world.clock.now += TTL - 1
    assert world.text() == "Hel"
    world.clock.now += 2
    assert world.text() == "Hello"
    world.clock.now += 10 * TTL
    assert world.text() == "Hello"
    assert world.gets == 2


def test_a_crawler_sees_what_is_here_and_fetches_nothing(world):
    with pytest.raises(NotForCrawlers):
        world.text(may_fetch=lambda: False)
    assert world.gets == 0
    world.text()
    assert world.text(may_fetch=lambda: False) == "Hello"


def test_a_failure_is_told_and_an_item_that_is_missing_is_doubted(world):
    world.error = Unreachable("no network")
    with pytest.raises(Unreachable):
        world.text()
    assert world.doubted == []
    world.error = Missing("no such item")
    with pytest.raises(Missing):
        world.text()
    assert world.doubted == [world.item]


def test_facets_that_only_the_details_tell_stay_with_the_item(world):
    def calls():
        return [listed.key for listed in world.store.having("call", "CA1")]

    assert calls() == []
    world.text()
    assert calls() == ["a"]
    assert set(world.store.facets("a", 100)) == {"voice", "source", "model", "call"}
    world.list("in short, and changed")
    assert calls() == ["a"]
    world.store.forget("a", 100)
    assert calls() == []
    assert world.known() is None


def test_on_a_full_disk_details_are_read_and_known_all_the_same(world, monkeypatch):
    def full(*_):
        raise NoSpace("no space left")

    monkeypatch.setattr(world.store, "store_details", full)
    assert world.text() == world.text() == world.known() == "Hello"
    assert world.gets == 1
    monkeypatch.undo()
    world.list("in short, and changed")
    world.fields["text"] = "Hello, again"
    assert world.text() == world.known() == "Hello, again"
