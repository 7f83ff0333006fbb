"""All items, newest first, read a batch at a time."""

from __future__ import annotations

import itertools
from contextlib import closing

import pytest

from histfs.catalog import catalog_queries as module
from histfs.core.times import ALWAYS
from tests.support.memory import record


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(module, "_BATCH", 2)


def put(store, *records):
    store.replace(ALWAYS, sorted(records, key=lambda r: (-r.item.date, r.item.key)))


def test_all_items_come_newest_first_whole_also_those_of_one_second(store):
    # More of one second than a batch holds.
    items = [
        record(name, date) for name, date in zip("abcdefg", (1, 2, 2, 2, 2, 2, 3), strict=True)
    ]
    put(store, *items)
    store.set_extension("c", "opus")
    found = list(store.newest_first())
    assert [item.id for item in found] == list("gfedcba")
    assert {item.id: item.extension for item in found if item.extension} == {"c": "opus"}
    assert [item for item in found if item.id != "c"] == [
        made.item for made in reversed(items) if made.item.id != "c"
    ]


def test_an_empty_catalog_has_none(store):
    assert list(store.newest_first()) == []


def test_what_changes_meanwhile_neither_ends_it_nor_comes_twice(store):
    put(store, *(record(name, date) for date, name in enumerate("abcdef")))
    items = store.newest_first()
    first = [item.id for item in itertools.islice(items, 2)]
    put(store, *(record(name, date) for date, name in enumerate("ab_d_fg") if name != "_"))
    assert first + [item.id for item in items] == ["f", "e", "d", "b", "a"]


def test_nothing_is_held_open_between_two_batches(store, path):
    put(store, *(record(name, date) for date, name in enumerate("abcdef")))
    items = store.newest_first()
    next(items)
    store.set_audio("a", 1, None)
    with closing(module.ConnectionPool(path)) as other:
        checkpoint = other.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    assert checkpoint[0][0] == 0  # no reader is open: the whole journal was checkpointed
