"""The sizes of clips: what is in memory, what the catalog has, and which of them holds."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from histfs.audio.size_registry import SizeRegistry
from histfs.catalog.catalog_store import CatalogStore
from histfs.core.attachments import part_of
from histfs.core.errors import NoSpace
from histfs.core.item import Attachment
from histfs.core.times import ALWAYS
from tests.audio.conftest import MemoryTable
from tests.support.memory import record

ITEM = record("a", 5).item


@pytest.fixture
def table():
    return MemoryTable()


@pytest.fixture
def clock():
    return SimpleNamespace(now=0.0)


@pytest.fixture
def sizes(table, clock):
    return SizeRegistry(table, lambda: clock.now)


def test_a_size_is_an_estimate_then_what_is_announced_then_exact(sizes):
    assert sizes.size(ITEM) == (ITEM.estimate, False)
    sizes.announce("a", 10)
    assert sizes.size(ITEM) == (10, False)
    sizes.learn("a", 11, None)
    assert sizes.size(ITEM) == (11, True)
    sizes.announce("a", 12)
    assert sizes.size(ITEM) == (11, True)


def test_what_was_learnt_is_kept_in_the_catalog_and_seen_at_once(sizes, table):
    assert sizes.exact(ITEM) is None
    assert sizes.learn("a", 7, b"sum") is None
    assert (sizes.exact(ITEM), table.fingerprint("a")) == (7, (7, b"sum"))
    assert sizes.fingerprint("a") == (7, b"sum")
    assert sizes.learn("a", 8, None) == 7


def test_a_size_that_is_learnt_while_the_catalog_is_read_is_seen_after_that(sizes, table):
    def meanwhile(item, number):
        sizes.learn("a", 7, None)
        return [("a", None)]

    table.sizes_near = meanwhile
    sizes.exact(ITEM)
    assert sizes.exact(ITEM) == 7


def test_a_size_that_another_process_learns_is_seen_a_little_later(sizes, table, clock):
    assert sizes.exact(ITEM) is None
    table.set_audio("a", 7, None)
    assert sizes.exact(ITEM) is None
    clock.now += 20
    assert sizes.exact(ITEM) == 7
    table.set_audio("a", 8, None)
    clock.now += 20
    assert sizes.exact(ITEM) == 8


def test_a_size_is_known_here_though_the_catalog_can_not_keep_it(sizes, table, clock, caplog):
    table.error = NoSpace("no space left for the catalog")
    sizes.learn("a", 7, None)
    clock.now += 1000
    assert sizes.exact(ITEM) == 7
    assert "the size of a can't be kept: no space left" in caplog.text


def test_a_size_that_is_wrong_is_not_known_until_another_one_is_learnt(sizes, table, clock):
    table.set_audio("a", 7, b"sum")
    assert sizes.exact(ITEM) == 7
    sizes.discard("a")
    clock.now += 1000
    assert (sizes.exact(ITEM), sizes.fingerprint("a")) == (None, None)
    sizes.learn("a", 9, None)
    assert (sizes.exact(ITEM), sizes.fingerprint("a")) == (9, (9, None))


def test_attachments_have_sizes_of_their_own(sizes, table):
    part = part_of(ITEM, Attachment("f", "a.pdf"))
    table.set_audio(ITEM.key, 7, None)
    assert sizes.size(part) == (part.estimate, False)
    sizes.learn(part.key, 3, None)
    assert (sizes.size(part), sizes.size(ITEM)) == ((3, True), (7, True))


@pytest.mark.parametrize("step", [1, -1], ids=["oldest first", "newest first"])
def test_a_walk_by_date_reads_many_sizes_at_once(tmp_path, step):
    store = CatalogStore(tmp_path / "catalog")
    rows = [record(f"i{n:03}", n // 3) for n in range(600)]
    store.replace(ALWAYS, rows[::-1])
    for row in rows[::2]:
        store.set_audio(row.item.key, row.item.date + 1, None)
    reads = []
    near = store.sizes_near
    store.sizes_near = lambda item, number: reads.append(item) or near(item, number)
    sizes = SizeRegistry(store)
    for row in rows[::step]:
        known = row.item.date + 1 if int(row.item.id[1:]) % 2 == 0 else None
        assert sizes.exact(row.item) == known
    assert len(reads) <= 12
    assert sizes.exact(replace(rows[0].item, key="gone")) is None
    store.close()
