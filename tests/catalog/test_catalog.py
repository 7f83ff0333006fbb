import pytest

from histfs.catalog.catalog import Catalog
from histfs.catalog.refresh import Refresher
from histfs.core.errors import NoSuchPath, Unreachable
from histfs.core.flights import Flights
from histfs.core.times import ALWAYS, Span
from histfs.core.waiting import Waiter
from tests.support.memory import MemorySource, record


@pytest.fixture
def source():
    return MemorySource([record("a", 1, "one"), record("b", 2, None, voice="adam")])


@pytest.fixture
def catalog(store, source):
    flights = Flights("scan", 1)
    yield Catalog(store, Refresher(source, store, flights, 30), source.describe)
    flights.close()


def test_nothing_is_complete_until_it_was_asked_for(catalog):
    assert not catalog.complete(ALWAYS)
    catalog.ensure(Span(0, 5), Waiter(5))
    assert catalog.complete(ALWAYS)


def test_what_was_asked_for_is_answered_without_the_source(catalog, source):
    catalog.ensure(ALWAYS, Waiter(5))
    source.fail("list", Unreachable("down"))
    a, b = catalog.between(ALWAYS)
    assert (a.id, b.id) == ("a", "b")
    assert catalog.newest(Span(0, 2)) == 1
    assert catalog.find("b") == b
    assert catalog.having("voice", "adam") == [b]
    assert [value.value for value in catalog.facet_values("voice")] == ["rachel-id", "adam"]
    assert catalog.facets(a)["voice"].label == "Rachel"
    assert catalog.details(a).text == "one"
    assert catalog.details(b).text is None
    assert source.count("list") == 1


def test_a_deleted_item_is_forgotten_and_its_details_are_gone(catalog):
    catalog.ensure(ALWAYS, Waiter(5))
    a, b = catalog.between(ALWAYS)
    version = catalog.version
    catalog.forget(a)
    assert catalog.version != version
    assert catalog.between(ALWAYS) == [b]
    assert catalog.complete(ALWAYS)
    with pytest.raises(NoSuchPath):
        catalog.details(a)
