from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from histfs.catalog.catalog import Catalog
from histfs.catalog.item_rows import Fetched
from histfs.core.names import Labelled
from histfs.core.times import Span
from tests.support.memory import record

DAY, LATER = Span(0, 100), Span(200, 300)


class FakeStore:
    """A store, refresher and fetcher that counts its calls, and has one item.

    Attributes:
        calls: how often each method was called.
        changes: the spans that have changed since the version 0.
        during: called in the middle of a lookup.
    """

    between = items = facet_values = named_values = having = secondary = None
    ensure = ensure_newest = asked_after = None

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.changes: list[Span] = []
        self.item = record("a", 50).item
        self.voice = "rachel-id"
        self.known = True
        self.checksum = None
        self.during = lambda: None

    @property
    def recent_version(self) -> int:
        return len(self.changes)

    def unchanged(self, span, since):
        self.calls["unchanged"] += 1
        return all(c.end <= span.start or span.end <= c.start for c in self.changes[since:])

    def find(self, key, date):
        found = (key, date) == (self.item.key, self.item.date)
        return self._answer("find", self.item if found else None)

    def newest(self, span):
        inside = span.start <= self.item.date < span.end
        return self._answer("newest", self.item.date if inside else None)

    def covers(self, span):
        return self._answer("covers", self.known)

    def knows_newest(self, span):
        return self._answer("knows_newest", self.known)

    def facets(self, key, date):
        return self._answer("facets", {"voice": (Labelled(self.voice, None),)})

    def fetched(self, item):
        return None if self.checksum is None else Fetched(item.revision, self.checksum, 0.0, b"{}")

    def full(self, item, waiter):
        return self.checksum

    def set_extension(self, key, extension):
        self.item = replace(self.item, extension=extension)

    def _answer(self, method, answer):
        self.calls[method] += 1
        self.during()
        return answer


@pytest.fixture
def store():
    return FakeStore()


@pytest.fixture
def catalog(store):
    return Catalog(store, store, None, fetcher=store)


def ask_all(catalog, item) -> list[object]:
    return [
        catalog.find("a", 50),
        catalog.newest(DAY),
        catalog.complete(DAY),
        catalog.knows_newest(DAY),
        catalog.facets(item)["voice"][0].value,
    ]


def test_an_answer_is_looked_up_once(catalog, store):
    for _ in range(3):
        assert ask_all(catalog, store.item) == [store.item, 50, True, True, "rachel-id"]
        assert catalog.find("nobody", 50) is None
        assert catalog.newest(LATER) is None
    assert store.calls == {"find": 2, "newest": 2, "covers": 1, "knows_newest": 1, "facets": 1}


def test_a_change_makes_the_answers_about_its_span_be_looked_up_again(catalog, store):
    old = store.item
    ask_all(catalog, old)
    store.item, store.voice, store.known = replace(old, slug="new"), "adam", False
    store.changes.append(Span(50, 51))
    assert ask_all(catalog, old) == [store.item, 50, False, False, "adam"]


def test_a_change_elsewhere_makes_nothing_be_looked_up_again(catalog, store):
    ask_all(catalog, store.item)
    calls = store.calls.copy()
    for start in (200, 201, 202):
        store.changes.append(Span(start, start + 10))
        ask_all(catalog, store.item)
    del store.calls["unchanged"]
    assert store.calls == calls


def test_a_change_elsewhere_is_looked_at_once(catalog, store):
    catalog.newest(DAY)
    store.changes.append(LATER)
    for _ in range(3):
        catalog.newest(DAY)
    assert store.calls == {"newest": 1, "unchanged": 1}


def test_a_change_makes_an_answer_be_looked_up_again_once(catalog, store):
    catalog.newest(DAY)
    store.changes.append(DAY)
    for _ in range(3):
        catalog.newest(DAY)
    assert store.calls["newest"] == 2


def test_a_change_in_the_span_is_not_forgotten_over_one_elsewhere(catalog, store):
    catalog.newest(DAY)
    store.item = replace(store.item, date=60)
    store.changes += [DAY, LATER]
    assert catalog.newest(DAY) == 60


def test_an_item_that_was_not_found_is_found_when_it_has_come(catalog, store):
    assert catalog.find("b", 250) is None
    store.item = record("b", 250).item
    store.changes.append(LATER)
    assert catalog.find("b", 250) == store.item


def test_a_key_is_found_at_its_own_date_whichever_was_asked_for_before(catalog, store):
    for _ in range(2):
        assert catalog.find("a", 60) is None
        assert catalog.find("a", 50) == store.item
    store.item = replace(store.item, date=60)
    store.changes.append(DAY)
    for _ in range(2):
        assert catalog.find("a", 50) is None
        assert catalog.find("a", 60) == store.item


def test_an_extension_that_is_detected_is_seen_at_once_and_costs_no_other_answer(catalog, store):
    catalog.find("a", 50)
    catalog.newest(DAY)
    catalog.set_extension("a", "opus")
    assert catalog.find("a", 50).extension == "opus"
    catalog.newest(DAY)
    assert store.calls["newest"] == 1


def test_an_extension_that_is_detected_during_a_lookup_of_its_item_is_seen_after_that(
    catalog, store
):
    def meanwhile():
        store.during = lambda: None
        catalog.set_extension("a", "opus")

    store.during = meanwhile
    catalog.find("a", 50)
    assert catalog.find("a", 50).extension == "opus"


def test_what_changed_while_it_was_looked_up_is_looked_up_again(catalog, store):
    def meanwhile():
        store.during = lambda: None
        store.item = replace(store.item, date=60)
        store.changes.append(DAY)

    store.during = meanwhile
    assert catalog.newest(DAY) == 50
    assert catalog.newest(DAY) == 60


def test_what_changed_elsewhere_while_it_was_looked_up_is_kept(catalog, store):
    def meanwhile():
        store.during = lambda: None
        store.changes.append(LATER)

    store.during = meanwhile
    for _ in range(3):
        assert catalog.newest(DAY) == 50
    assert store.calls["newest"] == 1


def test_details_that_another_process_has_fetched_count_once_they_were_read(catalog, store):
    assert catalog.full_revision(store.item) is None
    # The change of another process is noticed later.
    store.checksum = 7
    assert catalog.full_revision(store.item) is None
    assert catalog.full(store.item, None) == 7
    assert catalog.full_revision(store.item) == 7
