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
from histfs.core.sizes import KnownSize
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
    size, is_exact = sizes.size(ITEM)
    assert (size > 2 * ITEM.estimate, is_exact) == (True, False)
    sizes.announce("a", 10)
    assert sizes.size(ITEM) == (10, False)
    sizes.learn(ITEM, 11, None)
    assert sizes.size(ITEM) == (11, True)
    sizes.announce("a", 12)
    assert sizes.size(ITEM) == (11, True)


def test_what_was_learnt_is_kept_in_the_catalog_and_seen_at_once(sizes, table):
    assert sizes.exact(ITEM) is None
    assert sizes.learn(ITEM, 7, b"sum") is None
    assert (sizes.exact(ITEM), table.fingerprint("a")) == (7, (7, b"sum"))
    assert sizes.fingerprint("a") == (7, b"sum")
    assert sizes.learn(ITEM, 8, None) == 7


def test_a_size_that_is_learnt_while_the_catalog_is_read_is_seen_after_that(sizes, table):
    def meanwhile(item, number):
        del table.sizes_near
        sizes.learn(ITEM, 7, None)
        return [KnownSize("a", None)]

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
    sizes.learn(ITEM, 7, None)
    clock.now += 1000
    assert sizes.exact(ITEM) == 7
    assert "the size of a can't be kept: no space left" in caplog.text


def test_a_size_that_is_wrong_is_not_known_until_another_one_is_learnt(sizes, table, clock):
    table.set_audio("a", 7, b"sum")
    assert sizes.exact(ITEM) == 7
    sizes.discard("a")
    clock.now += 1000
    assert (sizes.exact(ITEM), sizes.fingerprint("a")) == (None, None)
    sizes.learn(ITEM, 9, None)
    assert (sizes.exact(ITEM), sizes.fingerprint("a")) == (9, (9, None))


def test_attachments_have_sizes_of_their_own(sizes, table):
    part = part_of(ITEM, Attachment("f", "a.pdf"))
    table.set_audio(ITEM.key, 7, None)
    assert not sizes.size(part).is_exact
    sizes.learn(part, 3, None)
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


def test_estimates_follow_what_has_come_of_the_same_kind(sizes):
    others = [record(f"b{n}", n).item for n in range(20)]
    before = sizes.size(ITEM).size
    for item in others:
        sizes.learn(item, item.estimate // 2, None)
    assert sizes.size(ITEM).size < before / 2
    assert sizes.expected(ITEM) == pytest.approx(ITEM.estimate / 2, rel=0.01)


def test_a_clip_that_comes_twice_is_learnt_once(sizes):
    other = record("b", 6).item
    for _ in range(20):
        sizes.learn(other, other.estimate, None)
    assert sizes.size(ITEM).size > 2 * ITEM.estimate


def test_estimates_follow_what_the_catalog_knows(tmp_path):
    store = CatalogStore(tmp_path / "catalog")
    rows = [record(f"i{n:03}", n) for n in range(40)]
    store.replace(ALWAYS, rows[::-1])
    new = rows[-1].item
    first = SizeRegistry(store).size(new).size
    for row in rows[:-1]:
        store.set_audio(row.item.key, 3 * row.item.estimate, None)
    again = SizeRegistry(store)
    assert 3 * new.estimate < again.size(new).size < 3.7 * new.estimate + 4096
    assert first < 3 * new.estimate
    store.close()


def test_a_size_in_the_header_is_what_a_clip_has_at_the_least(sizes):
    sizes.announce_by_header("a", 10_000)
    assert sizes.size(ITEM).size > 10_000
    sizes.announce("a", 10_100)
    sizes.announce_by_header("a", 10_000)
    assert sizes.size(ITEM) == (10_100, False)


def test_voices_are_told_apart(tmp_path):
    store = CatalogStore(tmp_path / "catalog")
    rows = [record(f"i{n:03}", n, voice=("slow", "fast")[n % 2], source="TTS") for n in range(80)]
    store.replace(ALWAYS, rows[::-1])
    sizes = SizeRegistry(store)
    for row in rows[:-2]:
        sizes.learn(row.item, row.item.estimate * (2 - row.item.date % 2), None)
    slow, fast = rows[-2].item, rows[-1].item
    assert sizes.expected(slow) == pytest.approx(2 * slow.estimate, rel=0.01)
    assert sizes.expected(fast) == pytest.approx(fast.estimate, rel=0.01)
    assert sizes.size(fast).size < 1.5 * fast.estimate + 4096 < sizes.size(slow).size
    store.close()


def test_a_thread_is_shown_one_clip_too_small(sizes):
    items = [record(f"b{n}", n, text="word " * 999).item for n in range(4)]
    smaller = [item.key for item in items if sizes.size(item, 7).size < item.estimate]
    assert smaller == ["b1"]
    assert sizes.size(items[1]).size > items[1].estimate


def test_after_sizes_were_forgotten_a_thread_is_still_followed(sizes):
    items = [record(f"b{n}", n, text="word " * 999).item for n in range(6)]
    shown = [sizes.size(item, 7).size for item in items[:2]]
    sizes.forget_unverified()
    # It was no larger than shown, and has told nothing: another one takes its place.
    sizes.learn(items[1], shown[1], b"sum")
    assert any(sizes.size(item, 7).size < sizes.size(item).size for item in items[2:])
