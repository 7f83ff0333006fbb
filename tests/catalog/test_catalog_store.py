from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from histfs.catalog import catalog_writes
from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.catalog_writes import DELETED_MEMORY
from histfs.catalog.coverage import Coverage, CoveredSpan
from histfs.core.errors import CacheFailed, NoSpace
from histfs.core.index import FacetValue, Listed
from histfs.core.names import Labelled
from histfs.core.times import ALWAYS, Span
from tests.support.clock import Clock
from tests.support.memory import record

#: Seconds that no request takes, and after which two answers are not merged.
#: Answers that were requested within one may be merged.
SECOND = 1.0
LONG = 10 * SECOND


def put(store: CatalogStore, *records, span: Span = ALWAYS, **arguments) -> None:
    store.replace(span, sorted(records, key=lambda r: -r.item.date), **arguments)


def keys(store: CatalogStore, span: Span = ALWAYS) -> list[str]:
    return [listed.key for listed in store.between(span)]


def having(store: CatalogStore, kind: str, value: str) -> list[str]:
    return [listed.key for listed in store.having(kind, value)]


def text(store: CatalogStore, key: str, date: int) -> str:
    return json.loads(store.raw(key, date))["text"]


def changed(store: CatalogStore, action) -> bool:
    before = store.version
    action()
    return store.version != before


@contextmanager
def short_lived(clock: Clock | None = None) -> Iterator[CatalogStore]:
    """A store of one example of a test."""
    with tempfile.TemporaryDirectory() as directory:
        store = CatalogStore(Path(directory) / "catalog.sqlite", clock or Clock())
        try:
            yield store
        finally:
            store.close()


# Stored items are found again


def test_an_empty_store_knows_nothing(store):
    assert store.coverage() == Coverage()
    assert keys(store) == []
    assert store.newest(ALWAYS) is None
    assert store.find("a", 5) is None
    assert store.raw("a", 5) is None
    assert store.facets("a", 5) == {}
    assert store.facet_values("voice") == []
    assert having(store, "voice", "v") == []
    assert store.total() == 0


def test_what_is_stored_is_found_again(store, open_store):
    row = record("a", 5, "Grüße", voice="v", voice_name="Rachel", unknown=[1, {"x": None}])
    put(store, row)
    for each in (store, open_store()):
        assert each.find("a", 5) == row.item
        assert each.raw("a", 5) == row.raw
        assert each.facets("a", 5) == row.facets
        assert list(each.between(ALWAYS)) == [Listed(5, "a", row.item.slug)]
        assert each.total() == 1


def test_items_are_listed_oldest_first_within_a_half_open_span(store):
    put(store, record("b", 7), record("d", 5), record("c", 5), record("a", 9))
    assert keys(store) == having(store, "source", "TTS") == ["c", "d", "b", "a"]
    assert keys(store, Span(5, 9)) == ["c", "d", "b"]
    assert store.newest(Span(0, 9)) == 7
    assert store.newest(Span(0, 5)) is None


def test_more_items_than_are_fetched_at_once_are_listed(store):
    put(store, *(record(f"{number:04}", number // 3) for number in range(2500)))
    everything = [f"{number:04}" for number in range(2500)]
    assert keys(store) == having(store, "voice", "rachel-id") == everything


def test_a_listing_that_is_given_up_leaves_the_store_as_it_was(store):
    put(store, record("a", 5), record("b", 6))
    assert next(store.between(ALWAYS)).key == "a"
    put(store, record("c", 7))
    assert keys(store) == ["c"]


@given(
    st.lists(st.integers(0, 9), max_size=8),
    st.tuples(st.integers(0, 10), st.integers(0, 10)).map(lambda edges: Span(*sorted(edges))),
)
@settings(max_examples=20)
def test_items_are_counted_from_both_ends_of_a_span(dates, span):
    inside = sorted(date for date in dates if span.start <= date < span.end)
    with short_lived() as store:
        put(store, *(record(f"id{n}", date) for n, date in enumerate(dates)))
        for number in range(len(dates) + 1):
            assert store.count(span, number) == min(number, len(inside))
            wanted = dict(enumerate(inside)).get(number)
            assert store.nth_oldest(span, number) == wanted
            assert store.nth_newest(span, number) == dict(enumerate(inside[::-1])).get(number)
        assert store.total() == len(dates)


@pytest.mark.parametrize("odd", ["a/../b", "", "ä\x00\n", "\ud800", "x" * 5000, "%2F"])
def test_an_odd_id_is_given_back_as_it_was(store, odd):
    row = record(odd, 5)
    put(store, row)
    assert store.find(row.item.key, 5) == row.item
    assert keys(store) == [row.item.key]
    store.forget(row.item.key, 5)
    assert keys(store) == []


@pytest.mark.parametrize("key", ["", "\udcff", "\x00", "a' OR 1 --", "x" * 10_000])
def test_a_key_that_no_item_has_is_not_found_whatever_it_is(store, key):
    put(store, record("a", 5))
    assert store.find(key, 5) is None


@pytest.mark.parametrize("date", [4, 6, -(2**62), 2**62])
def test_an_item_is_found_at_its_own_date_alone(store, date):
    put(store, record("a", 5))
    assert store.find("a", date) is None
    assert store.raw("a", date) is None
    assert store.facets("a", date) == {}


@pytest.mark.parametrize("items", [1, 30], ids=["without a dictionary", "with one"])
def test_raw_objects_are_read_after_the_file_was_opened_again(store, open_store, items):
    rows = [record(f"{number}", number, f"Sentence {number}") for number in range(items)]
    put(store, *rows)
    for each in (store, open_store()):
        assert [each.raw(f"{date}", date) for date in range(items)] == [row.raw for row in rows]


def test_raw_objects_from_before_the_file_had_a_dictionary_are_read_after_it_got_one(
    store, open_store
):
    first, second = open_store(), open_store()
    early = record("early", 0)
    put(first, early, span=Span(0, 1))
    assert second.raw("early", 0) == early.raw
    late = [record(f"{number}", number) for number in range(1, 31)]
    put(first, *late, span=Span(1, 100))
    for each in (first, second, store):
        for row in (early, late[-1]):
            assert each.raw(row.item.key, row.item.date) == row.raw


def test_a_damaged_raw_object_is_told_as_such(store, path):
    put(store, record("a", 5))
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE raws SET raw = x'00112233'")
        db.commit()
    with pytest.raises(CacheFailed, match="damaged"):
        store.raw("a", 5)


# What an answer replaces


def test_a_span_is_replaced_whole_and_nothing_else(store):
    put(store, *(record(name, date) for date, name in enumerate("abcdef")))
    put(store, record("d", 3), record("x", 2), span=Span(2, 5))
    assert keys(store) == ["a", "b", "x", "d", "f"]


def test_an_item_from_below_the_span_is_stored_and_its_neighbours_are_left_alone(store):
    put(store, record("a", 4), record("b", 4))
    put(store, record("c", 6), record("b", 4, "changed"), span=Span(5, 9))
    assert keys(store) == ["a", "b", "c"]
    assert text(store, "b", 4) == "changed"


@pytest.mark.parametrize("span", [Span(0, 0), Span(5, 5)])
def test_an_answer_that_tells_nothing_completely_takes_nothing_away(store, span):
    put(store, record("a", 4), record("b", 5))
    put(store, record("c", 4), span=span)
    assert keys(store) == ["a", "c", "b"]


def test_an_item_that_moved_in_time_is_gone_from_where_it_was_once_that_is_asked_for(store):
    put(store, record("a", 5, "old", voice="v"), record("b", 6))
    moved = record("a", 8, "new", voice="v")
    put(store, moved, span=Span(7, 10))
    assert store.find("a", 8) == moved.item
    put(store, record("b", 6), span=Span(0, 7))
    assert keys(store) == ["b", "a"]
    assert having(store, "voice", "v") == ["a"]
    assert store.find("a", 5) is None
    assert text(store, "a", 8) == "new"
    assert store.total() == 2


def test_an_item_that_a_page_holds_twice_is_stored_once(store):
    put(store, record("a", 5), record("a", 5))
    assert keys(store) == ["a"]
    assert having(store, "voice", "rachel-id") == ["a"]


def test_an_item_that_changed_is_shown_as_it_is_now(store):
    put(store, record("a", 5, "Old words", content_type="audio/mpeg"))
    new = record("a", 5, "New words", content_type="audio/wav")
    put(store, new)
    assert store.find("a", 5) == new.item
    assert store.raw("a", 5) == new.raw
    assert list(store.between(ALWAYS)) == [Listed(5, "a", "new-words")]


def test_nothing_is_left_behind_in_the_file_of_an_item_that_goes(store, path):
    put(store, *(record(name, date, voice=name) for date, name in enumerate("abcd")))
    put(store, record("b", 1, "changed", voice="d"), record("c", 2, voice="c"))
    store.forget("c", 2)
    with closing(sqlite3.connect(path)) as db:
        counted = "SELECT (SELECT count(*) FROM items), (SELECT count(*) FROM raws)"
        assert db.execute(counted).fetchone() == (1, 1)
        placed = "SELECT value, key FROM placed JOIN labels USING (label) WHERE kind = 'voice'"
        assert db.execute(placed).fetchall() == [("d", "b")]


def test_an_answer_that_can_not_be_kept_whole_leaves_all_as_it_was(store, monkeypatch):
    put(store, record("a", 5), span=Span(0, 9))
    before = store.coverage()

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch, pytest.raises(NoSpace):
        patch.setattr(catalog_writes, "_put_coverage", full)
        put(store, record("b", 6))
    assert keys(store) == ["a"]
    assert store.coverage() == before
    put(store, record("b", 6))
    assert keys(store) == ["b"]


answers = st.lists(
    st.tuples(
        # The span that it tells completely; the page also holds items of the second below.
        st.tuples(st.integers(1, 8), st.integers(1, 8)).map(lambda edges: Span(*sorted(edges))),
        # The texts of its items, by their dates and keys.
        st.dictionaries(
            st.tuples(st.integers(0, 7), st.sampled_from("ab")),
            st.sampled_from(["one", "two"]),
            max_size=8,
        ),
        # When it was requested.
        st.integers(0, 6),
        # The span that is outdated.
        st.none()
        | st.tuples(st.integers(0, 8), st.integers(0, 8)).map(lambda edges: Span(*sorted(edges))),
    ),
    max_size=6,
)


@settings(max_examples=60)
@given(answers)
def test_the_store_holds_of_each_second_what_the_last_one_asked_about_it_told(some):
    """Against a model: for each second when it was requested, and for each item its text."""
    clock = Clock()
    known: dict[int, float] = {}
    items: dict[tuple[int, str], str] = {}
    with short_lived(clock) as store:
        for span, drawn, number, outdated in some:
            asked = clock.now + number * LONG - 100 * LONG
            low = max(span.start - 1, 0)
            told = {at: words for at, words in drawn.items() if low <= at[0] < span.end}
            beaten = {moment for moment, at in known.items() if at > asked}
            store.replace(
                span,
                [
                    record(key, date, words)
                    for (date, key), words in sorted(told.items(), reverse=True)
                ],
                asked,
                outdated,
            )
            if outdated:
                for moment in set(range(*outdated)) - beaten:
                    known.pop(moment, None)
            for moment in set(range(*span)) - beaten:
                known[moment] = asked
                items = {key: words for key, words in items.items() if key[0] != moment}
            items |= {key: words for key, words in told.items() if key[0] not in beaten}
            listed = [(date, key) for date, key, _ in store.between(ALWAYS)]
            assert listed == sorted(items)
            assert {(date, key): text(store, key, date) for date, key in listed} == items
            assert {
                moment: covered.requested_at
                for covered in store.coverage()
                for moment in range(*covered.span)
            } == known
            assert having(store, "voice", "rachel-id") == keys(store)
            assert store.total() == len(items)


# Of two answers the later one stands


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in another process"])
def test_an_answer_that_took_longer_changes_nothing_where_a_later_one_is_known(
    store, open_store, clock, elsewhere
):
    begun = clock.now
    clock.now += LONG
    put(open_store() if elsewhere else store, record("new", 5), span=Span(4, 7))
    clock.now += LONG
    late = [record("old", 5), record("below", 3), record("above", 8)]
    put(store, *late, span=Span(4, 9), requested_at=begun)
    assert keys(store) == ["below", "new", "above"]
    assert {window.span for window in store.coverage()} == {Span(4, 7), Span(7, 9)}


def test_a_late_answer_does_not_make_a_later_one_outdated(store, clock):
    begun = clock.now
    clock.now += LONG
    put(store, record("a", 5), span=Span(4, 7))
    put(store, span=Span(10, 12), requested_at=begun, outdated=Span(0, 12))
    assert store.coverage().spans() == [Span(4, 7), Span(10, 12)]


def test_what_was_asked_for_in_the_future_of_a_clock_that_was_set_back_gives_way(store, clock):
    put(store, record("a", 5))
    clock.now -= 3600
    put(store, record("b", 5))
    assert keys(store) == ["b"]
    assert store.coverage() == Coverage([CoveredSpan(*ALWAYS, clock.now)])


# Coverage


def test_spans_that_were_stored_are_known(store):
    put(store, span=Span(0, 5))
    put(store, span=Span(5, 9))
    assert store.coverage().spans() == [Span(0, 9)]
    put(store, span=Span(20, 30), outdated=Span(7, 25))
    assert store.coverage().spans() == [Span(0, 7), Span(20, 30)]


def test_what_was_outdated_is_not_known_though_its_items_stay(store):
    put(store, record("a", 5), span=Span(0, 9))
    put(store, span=Span(8, 9), outdated=Span(4, 9))
    assert keys(store) == ["a"]
    assert store.coverage().spans() == [Span(0, 4), Span(8, 9)]


def test_another_mount_knows_when_something_was_asked_about(store, open_store, clock):
    put(store, span=Span(0, 5), requested_at=clock.now - 2 * LONG)
    put(store, span=Span(5, 9), requested_at=clock.now - LONG)
    put(store, span=Span(9, 12))
    coverage = open_store().coverage()
    assert coverage == store.coverage()
    assert coverage.requested_between(clock.now - LONG, clock.now).spans() == [Span(5, 12)]


near_answers = st.lists(
    st.tuples(
        st.tuples(st.integers(0, 8), st.integers(0, 8)).map(lambda edges: Span(*sorted(edges))),
        st.integers(0, 10).map(lambda number: number * SECOND / 4),
        st.booleans(),
    ),
    max_size=8,
)


@settings(max_examples=50)
@given(near_answers)
@example([(Span(0, 1), 0, False), (Span(2, 3), 0.75 * SECOND, False),
          (Span(1, 2), 1.5 * SECOND, False), (Span(2, 3), 0, True)])  # fmt: skip
def test_what_is_known_is_told_of_each_span_however_near_each_other_answers_came(some):
    clock = Clock()
    known: set[int] = set()
    with short_lived(clock) as store:
        for span, asked, outdated in some:
            if outdated:
                put(store, span=Span(0, 0), outdated=span)
                known -= set(range(*span))
            else:
                put(store, span=span, requested_at=clock.now - LONG + asked)
                known |= set(range(*span))
            assert [moment for w in store.coverage() for moment in range(*w.span)] == sorted(known)
        coverage = list(store.coverage())
        for span in [Span(start, end) for end in range(10) for start in range(end)]:
            reaching = [
                each for each in coverage if each.start < span.end and span.start < each.end
            ]
            assert list(store.coverage(span)) == reaching
        assert list(store.coverage(ALWAYS)) == coverage


def test_whether_the_whole_history_is_wanted_is_known_to_all(store, open_store):
    other = open_store()
    assert not other.notes.full_scan_wanted
    for wanted in (True, True, False, False):
        store.notes.full_scan_wanted = wanted
        assert store.notes.full_scan_wanted is other.notes.full_scan_wanted is wanted


# Sizes


def test_a_size_is_kept_when_its_item_changes_and_goes_with_it(store, open_store):
    put(store, record("a", 5))
    assert store.fingerprint("a") is None
    store.set_audio("a", 123, b"sum")
    put(store, record("a", 5, "changed"))
    assert store.fingerprint("a") == (123, b"sum")
    put(store)
    assert store.fingerprint("a") is None
    put(open_store(), record("a", 5))
    assert open_store().fingerprint("a") is None


def test_a_size_is_known_before_its_item_and_can_change(store):
    store.set_audio("a", 1, None)
    store.set_audio("a", 2, None)
    put(store, record("a", 5))
    assert store.fingerprint("a") == (2, None)


def test_sizes_of_the_next_clips_by_date_come_along_whatever_is_known_of_the_item(store):
    put(
        store,
        *(record(name, date) for name, date in zip("abcdef", (1, 2, 2, 2, 3, 4), strict=True)),
    )
    for size, key in enumerate("acex", 1):
        store.set_audio(key, size, None)
    item = store.find("c", 2)
    near = [known[:2] for known in store.sizes_near(item, 2)]
    assert near == [("c", 2), ("d", None), ("e", 3), ("b", None), ("a", 1)]
    assert [known[:2] for known in store.sizes_near(item, 0)] == [("c", 2)]
    gone = record("x", 9).item
    assert [known[:2] for known in store.sizes_near(gone, 1)] == [("x", 4), ("f", None)]


def test_a_checksum_is_kept_for_as_long_as_the_size_is_the_same(store):
    assert store.fingerprint("a") is None
    steps = [(5, None, None), (5, b"old", b"old"), (5, None, b"old"), (5, b"new", b"new")]
    for size, sha256, kept in [*steps, (6, None, None), (7, b"", b"")]:
        store.set_audio("a", size, sha256)
        assert store.fingerprint("a") == (size, kept)


def test_sizes_that_were_never_counted_can_be_forgotten(store):
    store.set_audio("a", 123, b"sum")
    store.set_audio("b", 456, None)
    store.forget_unverified()
    assert (store.fingerprint("a").size, store.fingerprint("b")) == (123, None)


def test_an_extension_is_kept_as_the_size_is(store, open_store):
    put(store, record("a", 5))
    assert store.find("a", 5).extension is None
    store.set_extension("a", "opus")
    store.set_extension("a", "ogg")
    put(open_store(), record("a", 5, "changed"))
    assert open_store().find("a", 5).extension == "ogg"
    assert [item.extension for item in open_store().items(ALWAYS)] == ["ogg"]


# Facets


def test_lone_surrogates_are_stored(store):
    row = record("a", 5, "x\ud800y", voice="v\udfff", voice_name="\ud800", odd={"\udc00": "\udbff"})
    put(store, row)
    assert store.raw("a", 5) == row.raw
    (voice,) = store.facet_values("voice")
    assert (voice.value, voice.label) == ("v?", "?")
    assert having(store, "voice", voice.value) == ["a"]
    assert store.facets("a", 5)["voice"] == (Labelled("v?", "?"),)


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
    assert having(store, "voice", "adam") == ["a", "c"]
    assert having(store, "voice", "") == ["d"]
    assert having(store, "voice", "nobody") == having(store, "mood", "adam") == []


def test_a_value_is_as_old_as_the_items_that_are_left_of_it(store):
    rows = [record(name, date, voice="adam") for date, name in enumerate("abc", 1)]
    put(store, *rows)
    store.forget("a", 1)
    put(store, *rows[1:2], span=Span(2, 9))
    assert store.facet_values("voice") == [FacetValue("adam", "Rachel", 2, 2)]
    store.forget("b", 2)
    assert store.facet_values("voice") == []
    assert having(store, "voice", "adam") == []


def test_an_item_that_changed_its_voice_is_shown_with_the_new_one_alone(store):
    put(store, record("a", 1, voice="adam"), record("b", 2, voice="adam"))
    put(store, record("a", 1, voice="zoe"), record("b", 2, voice="adam"))
    assert having(store, "voice", "adam") == ["b"]
    assert having(store, "voice", "zoe") == ["a"]
    assert having(store, "source", "TTS") == ["a", "b"]
    assert [(value.value, value.oldest) for value in store.facet_values("voice")] == [
        ("zoe", 1),
        ("adam", 2),
    ]


@settings(max_examples=15)
@given(st.permutations([(1, "Old"), (2, None), (3, "New"), (4, None)]), st.booleans())
def test_a_value_has_its_newest_name_in_whatever_order_items_come(order, one_page):
    records = [record(f"id{date}", date, voice="v", voice_name=name) for date, name in order]
    with short_lived() as store:
        for page in [records] if one_page else [[row] for row in records]:
            store.replace(Span(9, 9), page)
        assert [value.label for value in store.facet_values("voice")] == ["New"]


# Versions


def test_the_version_changes_when_something_changed_and_only_then(store, clock):
    items = [record("a", 5), record("b", 6)]
    assert changed(store, lambda: put(store, *items, span=Span(0, 9)))
    clock.now += LONG
    assert not changed(store, lambda: put(store, *items, span=Span(0, 9)))
    assert not changed(store, lambda: put(store, span=Span(7, 8)))
    assert changed(store, lambda: put(store, span=Span(10, 12)))
    assert changed(store, lambda: put(store, span=Span(8, 9), outdated=Span(1, 3)))
    assert changed(store, lambda: put(store, record("a", 5, "other"), span=Span(5, 6)))
    assert changed(store, lambda: put(store, span=Span(5, 6)))
    assert not changed(store, lambda: store.forget("b", 7))
    assert changed(store, lambda: store.forget("b", 6))
    assert not changed(store, lambda: store.forget("b", 6))


def test_a_change_is_seen_at_less_cost_too(store):
    before = store.recent_version
    put(store, record("a", 5))
    assert store.recent_version == store.version != before


changes = pytest.mark.parametrize(
    ("change", "touched"),
    [
        (lambda store: put(store, record("x", 25), span=Span(20, 30)), Span(20, 30)),
        (lambda store: put(store, span=Span(50, 60)), Span(50, 60)),
        (lambda store: put(store, record("x", 19), span=Span(20, 20)), Span(19, 20)),
        (lambda store: put(store, record("a", 10, "other"), span=Span(10, 11)), Span(10, 11)),
        (lambda store: put(store, span=Span(20, 21)), Span(20, 21)),
        (lambda store: put(store, span=Span(39, 40), outdated=Span(5, 8)), Span(5, 40)),
        (lambda store: store.forget("a", 10), Span(10, 11)),
    ],
    ids=["new", "known", "new below", "changed", "gone", "outdated", "forgotten"],
)


@changes
def test_a_change_touches_what_it_changes_and_nothing_far_from_it(store, change, touched):
    put(store, record("a", 10), record("b", 20), span=Span(0, 40))
    version = store.version
    change(store)
    assert store.version != version
    assert not store.unchanged(touched, version)
    assert not store.unchanged(Span(touched.start, touched.start + 1), version)
    assert not store.unchanged(Span(touched.end - 1, touched.end), version)
    assert store.unchanged(Span(touched.end, 99), version)
    assert store.unchanged(Span(0, touched.start), version)
    assert store.unchanged(ALWAYS, store.version)


@changes
def test_of_another_processes_change_nobody_knows_what_it_touches(
    store, open_store, change, touched
):
    put(store, record("a", 10), record("b", 20), span=Span(0, 40))
    before = store.version
    change(open_store())
    assert store.version != before
    assert not store.unchanged(touched, before)
    assert not store.unchanged(Span(1000, 1001), before)
    assert store.unchanged(touched, store.version)


def test_a_change_of_ones_own_between_anothers_does_not_hide_them(store, open_store):
    put(store, span=Span(0, 40))
    before, other = store.version, open_store()
    for number in (1, 2, 3):
        put(other if number != 2 else store, record(f"{number}", number), span=Span(0, 9))
    assert store.version == before + 3
    assert not store.unchanged(Span(1000, 1001), before)


def test_what_changed_too_long_ago_is_taken_for_changed(store):
    before = store.version
    put(store, span=Span(0, 1))
    assert store.unchanged(Span(5, 6), before)
    for number in range(300):
        store.replace(Span(4, 4), [record("a", 3, f"{number}")])
    assert not store.unchanged(Span(5, 6), before)
    assert store.unchanged(Span(5, 6), store.version - 10)


# Deleted items


def test_an_item_deleted_here_is_not_brought_back_by_a_page_that_was_on_its_way(
    store, open_store, clock
):
    rows = [record("a", 5), record("b", 6)]
    put(store, *rows)
    store.forget("a", 5)
    for _ in range(2):
        clock.now += DELETED_MEMORY / 2
        for each in (store, open_store()):
            put(each, *rows)
            assert keys(each) == ["b"]
    clock.now += 1
    put(store, *rows)
    assert keys(store) == ["a", "b"]


def test_a_deletion_stands_that_another_process_stores_while_a_page_waits_for_the_lock(
    store, open_store, clock, monkeypatch
):
    put(store, record("a", 5), record("b", 6))
    other = open_store()
    transaction = store.files.transaction

    def after_the_deletion():
        clock.now += 0.01
        other.forget("a", 5)
        return transaction()

    monkeypatch.setattr(store.files, "transaction", after_the_deletion)
    put(store, record("a", 5), record("b", 6))
    assert keys(store) == ["b"]


def test_an_item_deleted_in_the_future_of_a_clock_that_was_set_back_may_come_back(store, clock):
    put(store, record("a", 5))
    store.forget("a", 5)
    clock.now -= 10
    put(store, record("a", 5))
    assert keys(store) == ["a"]


def test_who_forgets_one_item_remembers_the_others_that_were_deleted(store, clock):
    rows = [record(name, 5) for name in "abc"]
    put(store, *rows)
    for name in "ab":
        store.forget(name, 5)
        clock.now += DELETED_MEMORY / 4
    put(store, *rows)
    assert keys(store) == ["c"]


def test_a_deleted_item_leaves_what_is_known_of_its_time_known(store):
    put(store, record("a", 5))
    store.forget("a", 5)
    assert store.covers(ALWAYS)


# Several threads at once


def test_two_mounts_of_one_account_see_each_other(store, open_store):
    other = open_store()
    version = other.version
    put(store, record("a", 5, voice_name="Rachel"))
    store.set_audio("a", 77, None)
    assert keys(other) == ["a"]
    assert other.fingerprint("a").size == 77
    assert other.covers(ALWAYS)
    assert other.version > version
    other.forget("a", 5)
    assert keys(store) == []


def test_many_write_at_once_and_nothing_is_lost(store, open_store):
    stores = [store, open_store()]

    def write(number: int) -> list[str]:
        each, span = stores[number % 2], Span(10 * number, 10 * number + 10)
        put(each, record(f"{number}", 10 * number, voice=f"v{number % 3}"), span=span)
        return keys(each, span)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(write, range(40))) == [[f"{number}"] for number in range(40)]
    assert store.coverage().spans() == [Span(0, 400)]
    assert store.version == 40
    assert sum(len(having(store, "voice", f"v{n}")) for n in range(3)) == store.total() == 40


def test_a_store_that_is_closed_is_opened_again_when_it_is_asked(store):
    put(store, record("a", 5))
    store.close()
    assert keys(store) == ["a"]


def test_a_disk_that_fails_is_told_as_such(store, path):
    store.close()
    path.unlink()
    path.mkdir()
    with pytest.raises(CacheFailed):
        store.total()


def test_what_follows_an_item_comes_by_date_or_among_those_of_one_voice(store):
    rows = [record(f"{n}", n // 2, voice="ab"[n % 2], voice_name=None) for n in range(8)]
    store.replace(ALWAYS, sorted(rows, key=lambda row: -row.item.date))
    first = store.find("2", 1)
    assert [item.key for item in store.following(first, None, 3)] == ["3", "4", "5"]
    assert [item.key for item in store.following(first, ("voice", "a"), 9)] == ["4", "6"]
    assert store.following(first, ("unheard of", "a"), 9) == []
    assert store.following(store.find("7", 3), None, 9) == []
    last = store.find("5", 2)
    assert [item.key for item in store.preceding(last, None, 3)] == ["4", "3", "2"]
    assert [item.key for item in store.preceding(last, ("voice", "b"), 9)] == ["3", "1"]
    assert store.preceding(store.find("0", 0), None, 9) == []


def test_an_item_of_several_voices_is_among_those_of_each(store):
    put(store, record("a", 1, voice=("k", "b")), record("b", 2, voice=("b",)))
    assert [voice.value for voice in store.facets("a", 1)["voice"]] == ["k", "b"]
    assert having(store, "voice", "k") == ["a"]
    assert having(store, "voice", "b") == ["a", "b"]
    assert store.facet_values("voice") == [FacetValue("b", "B", 1, 2), FacetValue("k", "K", 1, 1)]
    assert [item.key for item in store.following(store.find("a", 1), ("voice", "b"), 9)] == ["b"]


def test_for_which_items_a_voice_is_not_the_first_is_known(store):
    # In the order of their numbers the voices are k, b, m.
    put(store, record("a", 1, voice=("b", "k")), record("b", 2, voice=("k", "b", "m")))
    put(store, record("c", 3, voice=("b",)), span=Span(3, 4))
    assert [store.secondary("voice", value) for value in "bkm?"] == [{"b"}, {"a"}, {"b"}, set()]
    assert store.secondary("source", "TTS") == set()


def test_an_item_that_goes_leaves_none_of_its_voices(store):
    put(store, record("a", 1, voice=("k", "b")))
    put(store, record("a", 1, voice=("m", "b"), state="changed"))
    assert [voice.value for voice in store.facet_values("voice")] == ["b", "m"]
    store.forget("a", 1)
    assert store.facet_values("voice") == []


def test_voices_that_are_the_same_to_sqlite_are_one(store):
    put(store, record("a", 1, voice=("\ud800", "?", "\udfff")))
    assert store.facets("a", 1)["voice"] == (Labelled("?", "?"),)


def test_facets_of_details_that_were_stored_one_by_one_are_read(store, path):
    row = record("a", 1)
    put(store, row)
    store.store_details(row.item, row, requested_at=0)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("""UPDATE details SET facets = '{"call": ["CA1", null]}'""")
    put(store, record("a", 1, state="changed"))
    assert store.facets("a", 1)["call"] == (Labelled("CA1", None),)


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_items_that_are_read_in_batches_come_once_and_in_order(store, monkeypatch, batch):
    monkeypatch.setattr("histfs.catalog.catalog_queries._BATCH", batch)
    dates = [5, 5, 5, 6, 7, 7, 9]
    store.replace(ALWAYS, [record(f"k{n}", date) for n, date in enumerate(dates)][::-1])
    expected = [(date, f"k{n}") for n, date in enumerate(dates)]
    assert [item[:2] for item in store.between(ALWAYS)] == expected
    assert [item[:2] for item in store.between(Span(5, 7))] == expected[:4]
    assert [item[:2] for item in store.having("voice", "rachel-id")] == expected
    assert [(item.date, item.key) for item in store.items(Span(6, 9))] == expected[3:6]


def test_a_reader_that_takes_its_time_keeps_nothing_in_the_journal(store, monkeypatch):
    monkeypatch.setattr("histfs.catalog.catalog_queries._BATCH", 2)
    store.replace(ALWAYS, [record(f"k{n}", n) for n in reversed(range(9))])
    for read in (store.between(ALWAYS), store.items(ALWAYS), store.having("voice", "rachel-id")):
        next(read)
        store.add([record("new", 20)])
        ((busy, _, _),) = store.files.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        assert not busy
        assert len(list(read)) >= 8
