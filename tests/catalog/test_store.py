import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histfs.catalog.store import Store
from histfs.catalog.windows import Windows
from histfs.core.errors import CacheFailed
from histfs.core.index import FacetValue
from histfs.core.names import Labelled
from histfs.core.times import ALWAYS, Span
from tests.support.memory import record


def put(store: Store, *records, span: Span = ALWAYS, keep=(), outdated=None) -> None:
    store.replace(span, sorted(records, key=lambda r: -r.item.date), keep, outdated)


def ids(store: Store, span: Span = ALWAYS) -> list[str]:
    return [item.id for item in store.between(span)]


def test_an_empty_store_knows_nothing(store):
    assert store.windows() == Windows()
    assert ids(store) == []
    assert store.newest(ALWAYS) is None
    assert store.find("a") is None
    assert store.raw("a") is None
    assert store.facets("a") == {}
    assert store.facet_values("voice") == []


def test_what_is_stored_is_found_again(store):
    row = record("a", 5, "Grüße", voice="v", voice_name="Rachel", unknown=[1, {"x": None}])
    put(store, row)
    assert store.find("a") == row.item
    assert store.raw("a") == row.raw
    assert list(store.raw("a")) == list(row.raw)
    assert store.facets("a") == row.facets
    assert store.count() == 1


def test_items_are_listed_oldest_first_within_a_half_open_span(store):
    put(store, record("c", 7), record("a", 5), record("b", 5), record("d", 9))
    assert ids(store) == ["a", "b", "c", "d"]
    assert ids(store, Span(5, 9)) == ["a", "b", "c"]
    assert store.newest(Span(0, 9)) == 7
    assert store.newest(Span(0, 5)) is None


def test_a_span_is_replaced_whole_and_nothing_else(store):
    put(store, *(record(name, date) for date, name in enumerate("abcdef")))
    put(store, record("d", 3), record("x", 2), span=Span(2, 5))
    assert ids(store) == ["a", "b", "x", "d", "f"]


def test_what_came_with_a_page_before_is_kept(store):
    put(store, record("a", 5), record("b", 5))
    put(store, record("c", 5), span=Span(5, 6), keep={"a"})
    assert ids(store) == ["a", "c"]


def test_an_item_from_below_the_span_is_stored_and_its_neighbours_are_left_alone(store):
    put(store, record("a", 4), record("b", 4))
    put(store, record("c", 6), record("b", 4, "changed"), span=Span(5, 9))
    assert ids(store) == ["a", "b", "c"]
    assert store.raw("b")["text"] == "changed"


def test_an_item_that_moved_in_time_stands_in_one_place(store):
    put(store, record("a", 4), record("b", 5))
    put(store, record("a", 8), span=Span(7, 10))
    assert ids(store) == ["b", "a"]


def test_an_item_that_a_page_holds_twice_is_stored_once(store):
    put(store, record("a", 5), record("a", 5))
    assert ids(store) == ["a"]


def test_spans_that_were_stored_are_known(store):
    put(store, span=Span(0, 5))
    put(store, span=Span(5, 9))
    assert store.windows() == Windows([Span(0, 9)])
    put(store, span=Span(20, 30), outdated=Span(7, 25))
    assert store.windows() == Windows([Span(0, 7), Span(20, 30)])


def test_a_size_is_kept_when_its_item_changes_goes_and_comes_back(store, open_store):
    put(store, record("a", 5))
    assert store.find("a").size is None
    store.set_size("a", 123)
    put(store, record("a", 5, "changed"))
    assert store.find("a").size == 123
    put(store)
    assert store.find("a") is None
    put(open_store(), record("a", 5))
    assert open_store().find("a").size == 123


def test_a_size_is_known_before_its_item_and_can_change(store):
    store.set_size("a", 1)
    store.set_size("a", 2)
    put(store, record("a", 5))
    assert store.find("a").size == 2


def test_a_size_survives_that_its_item_is_forgotten(store, open_store):
    put(store, record("a", 5))
    store.set_size("a", 123)
    store.forget("a")
    put(open_store(), record("a", 5))
    assert open_store().find("a").size == 123


@pytest.mark.parametrize("odd", ["a/../b", "", "ä\x00\n", "\ud800", "x" * 5000, "%2F"])
def test_an_odd_id_is_given_back_as_it_was(store, odd):
    row = record(odd, 5)
    put(store, row)
    assert store.find(row.item.key) == row.item
    assert ids(store) == [odd]
    store.forget(row.item.key)
    assert ids(store) == []


@pytest.mark.parametrize("key", ["", "\udcff", "\x00", "a' OR 1 --", "x" * 10_000])
def test_a_key_that_no_item_has_is_not_found_whatever_it_is(store, key):
    put(store, record("a", 5))
    assert store.find(key) is None


def test_lone_surrogates_are_stored(store):
    row = record("a", 5, "x\ud800y", voice="v\udfff", voice_name="\ud800", odd={"\udc00": "\udbff"})
    put(store, row)
    assert store.raw("a") == row.raw
    (voice,) = store.facet_values("voice")
    assert (voice.value, voice.label) == ("v?", "?")
    assert [item.id for item in store.having("voice", voice.value)] == ["a"]
    assert store.facets("a")["voice"] == Labelled("v?", "?")


def test_facet_values_come_in_the_order_of_their_oldest_items(store):
    put(
        store,
        record("a", 1, voice="adam", voice_name="Adam"),
        record("b", 2, voice="zoe", voice_name=None),
        record("c", 3, voice="adam", voice_name="Adam"),
        record("d", 4, voice="", voice_name=None),
    )
    assert store.facet_values("voice") == [
        FacetValue("adam", "Adam", 1, 3),
        FacetValue("zoe", None, 2, 2),
        FacetValue("", None, 4, 4),
    ]
    assert [item.id for item in store.having("voice", "adam")] == ["a", "c"]
    assert [item.id for item in store.having("voice", "")] == ["d"]
    assert store.having("voice", "nobody") == store.having("mood", "adam") == []


def test_a_value_without_items_is_not_shown(store):
    put(store, record("a", 1, voice="adam"))
    store.forget("a")
    assert store.facet_values("voice") == []


def test_an_item_that_changed_its_voice_is_shown_with_the_new_one_alone(store):
    put(store, record("a", 1, voice="adam"))
    put(store, record("a", 1, voice="zoe"))
    assert store.having("voice", "adam") == []
    assert [item.id for item in store.having("voice", "zoe")] == ["a"]


@settings(max_examples=15, deadline=None)
@given(st.permutations([(1, "Old"), (2, None), (3, "New"), (4, None)]), st.booleans())
def test_a_value_has_its_newest_name_in_whatever_order_items_come(order, one_page):
    records = [record(f"id{date}", date, voice="v", voice_name=name) for date, name in order]
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory) / "catalog.sqlite")
        try:
            for page in [records] if one_page else [[row] for row in records]:
                store.replace(Span(0, 0), page, (), None)
            assert [value.label for value in store.facet_values("voice")] == ["New"]
        finally:
            store.close()


def test_the_version_changes_when_something_changed_and_only_then(store):
    def changed(change) -> bool:
        before = store.version
        change()
        return store.version != before

    assert changed(lambda: put(store, record("a", 5), record("b", 6)))
    assert not changed(lambda: put(store, record("a", 5), record("b", 6)))
    assert not changed(lambda: put(store, span=Span(100, 200)))
    assert changed(lambda: put(store, record("a", 5, "other"), record("b", 6)))
    assert changed(lambda: put(store, record("b", 6)))
    assert changed(lambda: store.forget("b"))


def test_an_item_deleted_here_is_not_brought_back_by_a_page_that_was_on_its_way(store):
    put(store, record("a", 5), record("b", 6))
    store.forget("a")
    put(store, record("a", 5), record("b", 6))
    assert ids(store) == ["b"]


def test_two_mounts_of_one_account_see_each_other(store, open_store):
    other = open_store()
    version = other.version
    put(store, record("a", 5, voice_name="Rachel"))
    store.set_size("a", 77)
    assert ids(other) == ["a"]
    assert other.find("a").size == 77
    assert other.windows().cover(ALWAYS)
    assert other.version > version
    other.forget("a")
    assert ids(store) == []


def test_a_store_that_is_closed_is_opened_again_when_it_is_asked(store):
    put(store, record("a", 5))
    store.close()
    assert ids(store) == ["a"]


def test_a_disk_that_fails_is_told_as_such(store, path):
    store.close()
    path.unlink()
    path.mkdir()
    with pytest.raises(CacheFailed):
        store.count()
