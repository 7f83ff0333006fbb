from __future__ import annotations

import random
import re
import sqlite3
from contextlib import closing

import pytest

from histfs.catalog import erasure
from histfs.catalog.erasure import ErasureWorker
from histfs.catalog.text_index import FullTextIndex
from histfs.core.names import Labelled
from histfs.core.times import ALWAYS, Span
from histfs.core.waiting import Waiter
from tests.support.eventually import eventually
from tests.support.memory import record


@pytest.fixture
def dropped():
    """The keys of the clips that were dropped."""
    return []


@pytest.fixture
def make(path, dropped, clock):
    """Return an eraser of a store, as each mount has one."""
    erasers = []

    def make(store):
        erasers.append(ErasureWorker(path, store.files, dropped.append, clock))
        store.on_erased = erasers[-1].erased
        return erasers[-1]

    yield make
    for eraser in erasers:
        eraser.close()


def put(store, *rows):
    store.replace(ALWAYS, sorted(rows, key=lambda row: -row.item.date))


def held(path, words):
    """Return which words are in the file or in its journal."""
    files = [path, *path.parent.glob(f"{path.name}-*")]
    content = b"".join(file.read_bytes() for file in files)
    return [word for word in words if word.encode() in content]


def held_slugs(path):
    """Return the numbers of all slugs, of five digits, that are in the file or in its journal."""
    files = [path, *path.parent.glob(f"{path.name}-*")]
    found = (re.findall(rb"(?=[Ss]lug([0-9]{5}))", file.read_bytes()) for file in files)
    return {int(number) for numbers in found for number in numbers}


def test_the_clip_of_an_item_that_is_gone_is_dropped_and_no_other(store, make, dropped):
    make(store)
    put(store, record("a", 1), record("b", 2), record("c", 3))
    put(store, record("a", 1, "changed"), record("b", 2))
    assert dropped == ["c"]
    store.forget("b", 2)
    store.invalidate(ALWAYS)
    assert dropped == ["c", "b"]


def test_what_a_killed_process_left_is_dropped_by_the_next_one(store, open_store, make, dropped):
    put(store, record("a", 1), record("b", 2))
    store.forget("a", 1)  # its clip is not dropped
    make(open_store()).start()
    assert dropped == ["a"]


def test_a_clip_that_comes_when_its_item_is_gone_is_dropped_and_nothing_of_it_kept(
    store, make, dropped
):
    make(store)
    put(store, record("a", 1))
    store.forget("a", 1)
    store.set_audio("a", 5, b"sum")
    assert (dropped, store.fingerprint("a")) == (["a", "a"], None)


def test_an_item_that_is_back_keeps_its_clip(store, open_store, make, dropped, clock):
    make(store)
    put(store, record("a", 1))
    put(store)
    put(store, record("a", 1))
    dropped.clear()
    store.set_audio("a", 5, b"sum")
    make(open_store()).start()
    assert (dropped, store.fingerprint("a")) == ([], (5, b"sum"))


def test_an_item_that_gets_another_date_keeps_its_clip(store, make, dropped):
    make(store)
    put(store, record("a", 5))
    store.set_audio("a", 5, b"sum")
    store.replace(Span(7, 9), [record("a", 8)])
    store.replace(Span(4, 7), [])
    assert (dropped, store.fingerprint("a")) == ([], (5, b"sum"))


def test_a_key_is_noted_as_gone_for_a_day(store, open_store, make, dropped, clock):
    make(store)
    put(store, record("a", 1))
    store.forget("a", 1)
    clock.now += erasure.GONE_MEMORY + 1
    make(open_store()).start()
    dropped.clear()
    make(open_store()).start()
    assert dropped == []


def test_a_clip_that_can_not_be_dropped_is_dropped_the_next_time(path, store, make, dropped):
    from histfs.core.errors import CacheFailed

    def fail(key):
        raise CacheFailed(key)

    eraser = make(store)
    eraser._drop = fail
    put(store, record("a", 1), record("b", 2))
    store.forget("a", 1)
    eraser._drop = dropped.append
    store.forget("b", 2)
    assert sorted(dropped) == ["a", "b"]


def test_labels_that_no_item_has_any_more_are_gone(store, path, make):
    make(store)
    named = {"voice": "quasten-id", "voice_name": "Quastenflosser"}
    put(store, record("a", 1, **named), record("b", 2, **named), record("c", 3))
    store.forget("a", 1)
    assert store.facets("b", 2)["voice"] == (Labelled("quasten-id", "Quastenflosser"),)
    store.forget("b", 2)
    with closing(sqlite3.connect(path)) as db:
        values = [value for (value,) in db.execute("SELECT value FROM labels WHERE kind = 'voice'")]
    assert values == ["rachel-id"]


def test_no_trace_of_many_items_is_left_in_the_file_while_it_is_open(path, store, make):
    make(store)
    chance = random.Random(5)
    rows = []
    for number in range(3000):
        padding = chance.randbytes(chance.randrange(300)).hex()
        rows.append(record(f"Key{number:05}", number, f"Slug{number:05} {padding}"))
    put(store, *rows)
    assert FullTextIndex(store, lambda _, raw: raw.decode()).find("slug00007", Waiter(30)) != []
    gone = chance.sample(range(3000), 1000)
    assert held_slugs(path) >= set(gone[:50])
    for number in gone[:50]:
        store.forget(f"Key{number:05}", number)
    left = set(range(3000)) - set(gone)
    put(store, *(rows[number] for number in left))
    eventually(lambda: not held_slugs(path) & set(gone))
    assert store.total() == 2000
    for number in sorted(left)[::100]:
        assert store.raw(f"Key{number:05}", number) == rows[number].raw


def test_another_mount_reads_on_when_all_is_packed_anew(path, store, open_store, make):
    put(store, *(record(f"{n}", n, voice="old", extra="old") for n in range(30)))
    other = open_store()
    assert b"old" in other.raw("1", 1)
    fresh = [record(f"{n}", n, voice="new", extra="new") for n in range(25)]
    put(store, *fresh)
    make(store).clean()
    assert not held(path, ['"old"'])
    assert [other.raw(f"{n}", n) for n in range(25)] == [row.raw for row in fresh]


def test_words_that_are_being_read_when_their_item_goes_are_not_indexed(path, store, make):
    make(store)
    put(store, record("a", 1, "stays"), record("b", 2, "Vanishing"))

    def text_of(key, raw):
        if key == "b":
            store.forget("b", 2)
        return raw.decode()

    assert FullTextIndex(store, text_of).find("stays", Waiter(10)) != []
    eventually(lambda: held(path, ["Vanishing", "vanishing"]) == [])


def test_while_another_reads_the_file_is_cleaned_later(path, store, make):
    eraser = make(store)
    put(store, *(record(f"{n}", n, f"Slug{n:05}") for n in range(30)))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM items").fetchone()
        store.forget("7", 7)
        assert not erasure.clean(path)
        assert held(path, ["slug00007"])
    eraser.clean()
    assert held(path, ["Slug00007", "slug00007"]) == []
