from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from histfs.catalog.cached import CachedCatalog
from histfs.core.names import Labelled
from histfs.core.times import Span
from tests.support.memory import record

DAY, LATER = Span(0, 100), Span(200, 300)


class FakeCatalog:
    """A catalog that counts what it is asked, and has one item.

    Attributes:
        asked: how often each method was called.
        changes: the spans that have changed since the version 0.
        during: called while something is looked up.
    """

    fetches = True

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.changes: list[Span] = []
        self.item = record("a", 50).item
        self.voice = "rachel-id"
        self.known = True
        self.fetched = None
        self.during = lambda: None

    @property
    def recent_version(self) -> int:
        return len(self.changes)

    def unchanged(self, span, since):
        self.asked["unchanged"] += 1
        return all(c.end <= span.start or span.end <= c.start for c in self.changes[since:])

    def find(self, key, date):
        found = (key, date) == (self.item.key, self.item.date)
        return self._answer("find", self.item if found else None)

    def newest(self, span):
        inside = span.start <= self.item.date < span.end
        return self._answer("newest", self.item.date if inside else None)

    def complete(self, span):
        return self._answer("complete", self.known)

    def knows_newest(self, span):
        return self._answer("knows_newest", self.known)

    def facets(self, item):
        return self._answer("facets", {"voice": (Labelled(self.voice, None),)})

    def full_revision(self, item):
        return self._answer("full_revision", self.fetched)

    def full(self, item, waiter):
        self.asked["full"] += 1
        return self.fetched

    def set_extension(self, key, extension):
        self.item = replace(self.item, extension=extension)

    def _answer(self, method, answer):
        self.asked[method] += 1
        self.during()
        return answer


@pytest.fixture
def catalog():
    return FakeCatalog()


@pytest.fixture
def cached(catalog):
    return CachedCatalog(catalog)


def ask_all(cached, item) -> list[object]:
    return [
        cached.find("a", 50),
        cached.newest(DAY),
        cached.complete(DAY),
        cached.knows_newest(DAY),
        cached.facets(item)["voice"][0].value,
    ]


def test_an_answer_is_looked_up_once(cached, catalog):
    for _ in range(3):
        assert ask_all(cached, catalog.item) == [catalog.item, 50, True, True, "rachel-id"]
        assert cached.find("nobody", 50) is None
        assert cached.newest(LATER) is None
    assert catalog.asked == {"find": 2, "newest": 2, "complete": 1, "knows_newest": 1, "facets": 1}


def test_a_change_makes_the_answers_about_its_span_be_looked_up_again(cached, catalog):
    old = catalog.item
    ask_all(cached, old)
    catalog.item, catalog.voice, catalog.known = replace(old, slug="new"), "adam", False
    catalog.changes.append(Span(50, 51))
    assert ask_all(cached, old) == [catalog.item, 50, False, False, "adam"]


def test_a_change_elsewhere_makes_nothing_be_looked_up_again(cached, catalog):
    ask_all(cached, catalog.item)
    asked = catalog.asked.copy()
    for start in (200, 201, 202):
        catalog.changes.append(Span(start, start + 10))
        ask_all(cached, catalog.item)
    del catalog.asked["unchanged"]
    assert catalog.asked == asked


def test_a_change_elsewhere_is_looked_at_once(cached, catalog):
    cached.newest(DAY)
    catalog.changes.append(LATER)
    for _ in range(3):
        cached.newest(DAY)
    assert catalog.asked == {"newest": 1, "unchanged": 1}


def test_a_change_makes_an_answer_be_looked_up_again_once(cached, catalog):
    cached.newest(DAY)
    catalog.changes.append(DAY)
    for _ in range(3):
        cached.newest(DAY)
    assert catalog.asked["newest"] == 2


def test_a_change_in_the_span_is_not_forgotten_over_one_elsewhere(cached, catalog):
    cached.newest(DAY)
    catalog.item = replace(catalog.item, date=60)
    catalog.changes += [DAY, LATER]
    assert cached.newest(DAY) == 60


def test_an_item_that_was_not_found_is_found_when_it_has_come(cached, catalog):
    assert cached.find("b", 250) is None
    catalog.item = record("b", 250).item
    catalog.changes.append(LATER)
    assert cached.find("b", 250) == catalog.item


def test_a_key_is_found_at_its_own_date_whichever_was_asked_for_before(cached, catalog):
    for _ in range(2):
        assert cached.find("a", 60) is None
        assert cached.find("a", 50) == catalog.item
    catalog.item = replace(catalog.item, date=60)
    catalog.changes.append(DAY)
    for _ in range(2):
        assert cached.find("a", 50) is None
        assert cached.find("a", 60) == catalog.item


def test_an_extension_that_was_learnt_is_seen_at_once_and_costs_no_other_answer(cached, catalog):
    assert cached.find("a", 50).extension is None
    cached.newest(DAY)
    cached.set_extension("a", "opus")
    assert cached.find("a", 50).extension == "opus"
    cached.newest(DAY)
    assert catalog.asked["newest"] == 1


def test_an_extension_that_is_learnt_while_its_item_is_looked_up_is_seen_after(cached, catalog):
    def meanwhile():
        catalog.during = lambda: None
        cached.set_extension("a", "opus")

    catalog.during = meanwhile
    cached.find("a", 50)
    assert cached.find("a", 50).extension == "opus"


def test_what_changed_while_it_was_looked_up_is_looked_up_again(cached, catalog):
    def meanwhile():
        catalog.during = lambda: None
        catalog.item = replace(catalog.item, date=60)
        catalog.changes.append(DAY)

    catalog.during = meanwhile
    assert cached.newest(DAY) == 50
    assert cached.newest(DAY) == 60


def test_what_changed_elsewhere_while_it_was_looked_up_is_kept(cached, catalog):
    def meanwhile():
        catalog.during = lambda: None
        catalog.changes.append(LATER)

    catalog.during = meanwhile
    for _ in range(3):
        assert cached.newest(DAY) == 50
    assert catalog.asked["newest"] == 1


def test_details_that_another_process_has_fetched_count_once_they_were_read():
    fake = FakeCatalog()
    catalog = CachedCatalog(fake)
    assert catalog.full_revision(fake.item) is None
    # Its change is noticed later.
    fake.fetched = 7
    assert catalog.full_revision(fake.item) is None
    assert catalog.full(fake.item, None) == 7
    assert catalog.full_revision(fake.item) == 7
