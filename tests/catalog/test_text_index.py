from __future__ import annotations

import json
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from histfs.catalog import text_index
from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.text_index import FullTextIndex
from histfs.core.errors import BadAnswer, CacheFailed, Interrupted, NotComplete
from histfs.core.times import ALWAYS, Span
from histfs.core.waiting import Waiter
from tests.support.memory import record


def text_of(key: str, raw: bytes) -> str:
    return json.loads(raw)["text"] or ""


def put(store: CatalogStore, **texts: str | None) -> None:
    """Let the history be some items, the oldest one first."""
    records = [record(key, date, text) for date, (key, text) in enumerate(texts.items())]
    store.replace(ALWAYS, records[::-1])


def found(store: CatalogStore, words: str, timeout: float = 10) -> list[str]:
    index = FullTextIndex(store, text_of)
    return [listed.key for listed in index.find(words, Waiter(timeout))]


# Which words match


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("quick brown", "The quick brown fox"),
        ("brown quick", "The quick brown fox"),
        ("report", "Quarterly reports"),
        ("bro qui", "The quick brown fox"),
        ("CAFÉ naive", "a cafe\u0301, so naïve"),
        ("strasse", "Lange STRAẞE"),
        ("don't", "I don't know"),
        ("ﬁne", "fine"),
        ("x.y", "see X.Y."),
        ("tie 🎉", "Tie"),
        ("日本", "これは日本語のテキスト"),
        ("語の テキ", "これは日本語のテキスト"),
        ("가방", "가방을 샀다"),
        ("ภาษา", "นี่คือภาษาไทย"),
    ],
)
def test_an_item_is_found_by_the_beginnings_of_its_words(store, words, text):
    put(store, other="Something else", it=text, none=None)
    assert found(store, words) == ["it"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("quick cat", "The quick brown fox"),
        ("own", "The quick brown fox"),
        ("don't", "dont"),
        ("本日", "これは日本語のテキスト"),
        ("quick OR cat", "The quick brown fox"),
        ("quick NOT cat", "The quick brown fox"),
        ("text:quick", "quick"),
        ("q*k", "quick"),
    ],
)
def test_an_item_without_one_of_the_words_is_not_found(store, words, text):
    put(store, it=text)
    assert found(store, words) == []


@pytest.mark.parametrize("words", ["", " ", "🎉", '"', "*", "--", "\0", "\ud800", "( ) : ^ +", "…"])
def test_without_anything_to_search_for_nothing_is_found(store, words):
    put(store, it='All of it: 🎉 " * -- ( ) …')
    assert found(store, words) == []


odd = st.sampled_from([*"\"*-()^:+{},'\0\ud800🎉日 a", "AND", "OR", "NOT", "NEAR(", "text:"])


@settings(max_examples=100, deadline=None)
@given(words=st.lists(odd | st.characters()).map("".join))
@example(words="a" * 10_000)
@example(words="日" * 10_000)
@example(words=" ".join(f"w{n}" for n in range(2000)))
@example(words='"' * 10_000)
def test_whatever_is_searched_for_is_found_where_it_stands_and_is_never_an_error(words):
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(CatalogStore(Path(directory) / "catalog.sqlite")) as store,
    ):
        put(store, it=f"so {words} it is")
        assert found(store, f"so {words}") == ["it"]
        assert found(store, words) in (["it"], [])


def test_what_is_found_comes_oldest_first(store):
    dates = {"c": 3, "a": 9, "b": 3}
    store.replace(ALWAYS, [record(key, dates[key], "Hello") for key in "acb"])
    listed = FullTextIndex(store, text_of).find("hello", Waiter(10))
    assert listed == list(store.between(ALWAYS))
    assert [item.key for item in listed] == ["b", "c", "a"]


# Changes that the index follows


def test_what_came_went_or_changed_since_the_last_search_is_found_so(store, open_store):
    put(store, a="one", b="one", c="one")
    assert found(store, "one") == ["a", "b", "c"]
    other = open_store()
    put(other, a="two", b="one", c="one", d="one")
    other.forget("c", 2)
    assert found(store, "one") == ["b", "d"]
    assert found(store, "two") == ["a"]


def test_a_new_item_is_never_found_by_the_words_of_one_that_is_gone(store):
    put(store, a="one", b="gone")
    assert found(store, "gone") == ["b"]
    store.forget("b", 1)
    store.replace(Span(2, 3), [record("c", 2, "new")])
    assert found(store, "gone") == []
    assert found(store, "new") == ["c"]


def test_an_item_that_changes_while_it_is_indexed_is_found_by_what_it_has_become(store):
    put(store, a="one", b="before")

    def meanwhile(key: str, raw: bytes) -> str:
        if key == "b" and "before" in text_of(key, raw):
            put(store, a="one", b="after")
        return text_of(key, raw)

    index = FullTextIndex(store, meanwhile)
    assert index.find("before", Waiter(10)) == []
    assert [listed.key for listed in index.find("after", Waiter(10))] == ["b"]


def test_an_item_is_found_by_the_words_of_its_details_once_they_are_fetched(store):
    def of_all_known(key: str, raw: bytes) -> str:
        fetched = store.fetched(key)
        return text_of(key, fetched.raw if fetched else raw)

    put(store, a="a summary", b="a summary")
    index = FullTextIndex(store, of_all_known)
    assert [listed.key for listed in index.find("summary", Waiter(10))] == ["a", "b"]
    store.store_details(store.find("b", 1), record("b", 1, "all that was said"), 5.0)
    assert [listed.key for listed in index.find("summary", Waiter(10))] == ["a"]
    assert [listed.key for listed in index.find("said all", Waiter(10))] == ["b"]


def test_a_search_that_has_no_time_goes_on_the_next_time(store, monkeypatch):
    monkeypatch.setattr(text_index, "_BATCH", 2)
    read = []

    def counted(key: str, raw: bytes) -> str:
        read.append(key)
        return text_of(key, raw)

    index = FullTextIndex(store, counted)
    put(store, **{f"k{n}": "hello" for n in range(7)})
    for _ in range(2):
        with pytest.raises(NotComplete, match="search again"):
            index.find("hello", Waiter(0))
    with pytest.raises(Interrupted):
        index.find("hello", Waiter(10, interrupted=lambda: True))
    assert len(index.find("hello", Waiter(0))) == 7
    assert read == [f"k{n}" for n in range(7)]


def test_searches_at_the_same_time_find_the_same(store, open_store, monkeypatch):
    monkeypatch.setattr(text_index, "_BATCH", 10)
    put(store, **{f"k{n}": "hello" for n in range(200)})
    indexes = [FullTextIndex(store, text_of), FullTextIndex(open_store(), text_of)] * 2
    counts = []

    def one(index: FullTextIndex) -> None:
        counts.append(len(index.find("hello", Waiter(30))))

    threads = [threading.Thread(target=one, args=(index,)) for index in indexes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [200] * 4


def test_an_index_that_is_mostly_about_what_is_gone_is_made_anew(store, monkeypatch):
    monkeypatch.setattr(text_index, "_FEW", 5)
    for turn in range(10):
        put(store, a=f"turn {turn}", b="hello")
        assert found(store, f"turn {turn}") == ["a"]
        assert found(store, "hello") == ["b"]
        assert turn == 0 or found(store, f"turn {turn - 1}") == []
    ((rows,),) = store.files.rows("SELECT rows FROM numbers")
    assert rows < 11


def test_an_item_that_its_source_can_not_read_hides_no_other_one(store):
    put(store, a="hello", b="hello")

    def odd(key: str, raw: bytes) -> str:
        if key == "a":
            raise BadAnswer("no idea")
        return text_of(key, raw)

    listed = FullTextIndex(store, odd).find("hello", Waiter(10))
    assert [item.key for item in listed] == ["b"]


def test_an_sqlite_without_full_text_search_is_told_as_such(store, monkeypatch):
    tables = [table.replace("fts5", "fts5_of_another_sqlite") for table in text_index._TABLES]
    monkeypatch.setattr(text_index, "_TABLES", tables)
    put(store, a="hello")
    with pytest.raises(CacheFailed, match=r"no full text search \(FTS5\)"):
        found(store, "hello")
    assert [listed.key for listed in store.between(ALWAYS)] == ["a"]


def test_of_a_million_the_newest_are_found(store, monkeypatch):
    monkeypatch.setattr(text_index, "SEARCH_LIMIT", 3)
    put(store, **{f"item{n}": "hello there" for n in range(9)})
    assert found(store, "hello") == ["item5", "item6", "item7", "item8"]
