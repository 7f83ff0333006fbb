from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from histfs.catalog.cached import CachedCatalog
from histfs.core.times import Span
from tests.support.memory import record

DAY = Span(0, 100)


class FakeCatalog:
    """A catalog that counts what it is asked, and has one item.

    Attributes:
        asked: how often each method was called.
        on_find: called while an item is looked up.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.recent_version = 1
        self.item = record("a", 50).item
        self.on_find = lambda: None

    def find(self, key):
        self.asked["find"] += 1
        found = self.item if key == self.item.key else None
        self.on_find()
        return found

    def newest(self, span):
        self.asked["newest"] += 1
        return self.item.date

    def set_size(self, key, size):
        self.item = replace(self.item, size=size)


@pytest.fixture
def catalog():
    return FakeCatalog()


@pytest.fixture
def cached(catalog):
    return CachedCatalog(catalog)


def test_an_answer_is_looked_up_once(cached, catalog):
    for _ in range(3):
        assert cached.find("a") == catalog.item
        assert cached.find("nobody") is None
        assert cached.newest(DAY) == 50
    assert catalog.asked == {"find": 2, "newest": 1}


def test_a_change_makes_every_answer_be_looked_up_again(cached, catalog):
    cached.newest(DAY)
    catalog.item = replace(catalog.item, date=60)
    catalog.recent_version += 1
    assert cached.newest(DAY) == 60


def test_a_size_that_was_learnt_is_seen_at_once_and_costs_no_other_answer(cached, catalog):
    assert cached.find("a").size is None
    cached.newest(DAY)
    cached.set_size("a", 7)
    assert cached.find("a").size == 7
    cached.newest(DAY)
    assert catalog.asked["newest"] == 1


@pytest.mark.parametrize("change", ["size", "version"])
def test_what_changed_while_it_was_looked_up_is_not_kept(cached, catalog, change):
    def meanwhile():
        catalog.on_find = lambda: None
        if change == "size":
            cached.set_size("a", 7)
        else:
            catalog.item = replace(catalog.item, size=7)
            catalog.recent_version += 1
            cached.newest(DAY)

    catalog.on_find = meanwhile
    cached.find("a")
    assert cached.find("a").size == 7
