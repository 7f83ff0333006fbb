"""Beyond the contract: the rule runs again only for months that have changed."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from histfs.core.times import EARLIEST, LATEST, Zone
from histfs.core.views import ByDay, ByRule
from tests.core.fakes import TableIndex
from tests.support.memory import record

ZONES = ["UTC", "America/New_York", "Europe/Berlin", "Pacific/Kiritimati", "America/Sao_Paulo"]


def at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=timezone.utc).timestamp())


class ByFirstWord(ByRule):
    """Records the items for which the rule runs."""

    name = "by-first-word"

    def __init__(self, zone=None):
        super().__init__(zone or Zone("UTC"))
        self.asked = []

    def directory(self, item, index):
        self.asked.append(item.key)
        return (index.details(item).text or "").partition(" ")[0] or None


@pytest.fixture
def view():
    return ByFirstWord()


@pytest.fixture
def index():
    return TableIndex(
        [
            record("a", at(2024, 4, 30), "good day"),
            record("b", at(2024, 5, 1), "good night"),
            record("c", at(2024, 5, 31), "hello"),
            record("d", at(2024, 5, 31, 1), None),
            record("e", at(2024, 6, 1), "good grief"),
        ]
    )


def asked(view, act):
    view.asked.clear()
    act()
    return sorted(view.asked)


def test_an_item_stands_where_the_rule_says_or_nowhere(view, index):
    assert view.subdirectories((), index) == ["good", "hello"]
    assert [listed.key for listed in view.items(("good",), index)] == ["a", "b", "e"]
    assert view.home(index.rows["d"].item, index) is None


def test_what_has_not_changed_is_not_asked_again(view, index):
    view.subdirectories((), index)
    assert asked(view, lambda: view.subdirectories((), index)) == []
    assert asked(view, lambda: view.newest(("hello",), index)) == []


def test_a_change_costs_its_own_month(view, index):
    view.subdirectories((), index)
    index.add(record("f", at(2024, 5, 15), "new word"))
    assert asked(view, lambda: view.subdirectories((), index)) == ["b", "c", "d", "f"]
    assert view.subdirectories((), index) == ["good", "hello", "new"]
    index.discard("e")
    assert asked(view, lambda: view.newest(("good",), index)) == []
    assert view.newest(("good",), index) == at(2024, 5, 1)


def test_listing_a_directory_asks_only_of_the_months_that_have_it(view, index):
    view.subdirectories((), index)
    assert asked(view, lambda: list(view.items(("hello",), index))) == ["b", "c", "d"]
    assert asked(view, lambda: list(view.items(("nobody",), index))) == []


def test_a_month_that_changed_long_ago_is_not_read_again_when_the_index_has_forgotten_the_change(
    view, index
):
    """The catalog knows the last few hundred changes."""
    forgetful = index.unchanged
    index.unchanged = lambda span, since: index.version - since <= 2 and forgetful(span, since)
    view.subdirectories((), index)
    for number in range(6):
        index.add(record(f"f{number}", at(2024, 6, 2), "good"))
        assert "a" not in asked(view, lambda: view.subdirectories((), index))


def test_a_directorys_name_is_made_safe(index):
    class Unsafe(ByFirstWord):
        def directory(self, item, index):
            return f"../{item.key}\0" + "x" * 300

    for name in Unsafe().subdirectories((), index):
        assert not set("/\0") & set(name)
        assert not name.startswith(".")
        assert len(name.encode()) <= 255


@given(
    zone=st.sampled_from(ZONES),
    dates=st.lists(st.integers(EARLIEST, LATEST + 10**9), min_size=1, max_size=8),
)
@example(zone="America/New_York", dates=[0, 1, 86_400])  # New Year's Eve there
@example(zone="UTC", dates=[LATEST, LATEST + 1, LATEST + 86_400])
@example(zone="America/Sao_Paulo", dates=[at(2018, 11, 4, 2, 59), at(2018, 11, 4, 3)])
def test_every_item_is_shown_once_whatever_its_date(zone, dates):
    view = ByDay(Zone(zone))
    index = TableIndex(record(f"id{n}", date) for n, date in enumerate(dates))
    names = view.subdirectories((), index)
    found = [listed.key for name in names for listed in view.items((name,), index)]
    assert sorted(found) == sorted(index.rows)
    for name in names:
        newest = max(listed.date for listed in view.items((name,), index))
        assert view.newest((name,), index) == newest
