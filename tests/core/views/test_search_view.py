"""Beyond the contract: the index searches only for words that are looked up."""

from __future__ import annotations

import pytest

from histfs.core.errors import Unreachable
from histfs.core.times import Zone
from histfs.core.views import Search, search_view
from histfs.core.waiting import Waiter
from tests.core.fakes import TableIndex
from tests.support.memory import record

FOX = ("quick fox",)


@pytest.fixture
def view():
    return Search(Zone("UTC"))


@pytest.fixture
def index():
    texts = {"a": "A quick brown fox", "b": "A fox", "c": "The fox is QUICK"}
    return TableIndex(record(key, n, text) for n, (key, text) in enumerate(texts.items()))


def test_looking_at_the_folder_searches_for_nothing(view, index):
    view.ensure((), index, Waiter(5))
    view.ensure_newest((), index, Waiter(5))
    assert view.complete((), index)
    assert view.subdirectories((), index) == ()
    assert index.asked == []


def test_a_directory_is_there_for_whatever_words_and_holds_what_was_found(view, index):
    assert not view.complete(FOX, index)
    view.ensure(FOX, index, Waiter(5))
    assert view.complete(FOX, index)
    assert [listed.key for listed in view.items(FOX, index)] == ["a", "c"]
    assert [view.holds(FOX, row.item, index) for row in index.rows.values()] == [True, False, True]
    assert view.newest(FOX, index) == 2


def test_words_that_nothing_has_make_an_empty_directory_that_is_as_new_as_the_history(view, index):
    nothing = ("unheard of",)
    view.ensure(nothing, index, Waiter(5))
    assert list(view.items(nothing, index)) == []
    assert view.newest(nothing, index) == 2


def test_a_search_that_fails_is_no_empty_directory(view, index):
    index.error = Unreachable("no network")
    with pytest.raises(Unreachable):
        view.ensure(FOX, index, Waiter(5))
    assert not view.complete(FOX, index)


def test_a_found_item_may_be_the_oldest_there_can_be(view):
    index = TableIndex([record("a", 0, "quick fox"), record("b", 5, "else")])
    view.ensure(FOX, index, Waiter(5))
    assert view.newest(FOX, index) == 0


def test_of_too_many_the_newest_are_shown_and_that_there_are_more(view, monkeypatch):
    monkeypatch.setattr(search_view, "SEARCH_LIMIT", 2)
    index = TableIndex(record(f"fox{n}", n, "quick fox") for n in range(3))
    view.ensure(FOX, index, Waiter(5))
    assert [listed.key for listed in view.items(FOX, index)] == ["fox1", "fox2"]
    rows = index.rows.values()
    assert [view.holds(FOX, row.item, index) for row in rows] == [False, True, True]
    assert view.more(FOX, index)
    index.discard("fox0")
    view.ensure(FOX, index, Waiter(5))
    assert len(list(view.items(FOX, index))) == 2
    assert not view.more(FOX, index)
