"""Clips that are about to become the last copy: what is not known to be sound is fetched anew."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from histfs.core.attachments import part_of
from histfs.core.errors import BadAnswer, Unreachable
from histfs.core.item import Attachment
from histfs.core.waiting import Waiter
from tests.audio.conftest import DATE, TIMEOUT
from tests.support.memory import MemorySource, record


def waiter():
    return Waiter(TIMEOUT)


def place_of(world, item):
    return next(path for path in (world.disk.root / "audio").glob("*/*") if path.name == item.key)


def forget_checksum(world, item, *, size):
    """Let the catalog be damaged, or a new one: of the clip it knows its size, or nothing."""
    world.checksums[item.key] = None
    if not size:
        del world.sizes[item.key]


@pytest.mark.parametrize("size", [True, False], ids=["size known", "nothing known"])
def test_a_clip_without_a_checksum_is_fetched_anew_before_it_is_the_last_copy(world, size):
    item = world.item()
    sound = world.read(item)
    forget_checksum(world, item, size=size)
    world.store.ensure_verified(item, waiter())
    assert world.fetched == 2
    assert place_of(world, item).read_bytes() == sound
    world.store.ensure_verified(item, waiter())
    assert world.fetched == 2


@pytest.mark.parametrize("size", [True, False], ids=["size known", "nothing known"])
@pytest.mark.parametrize("damaged", [lambda sound: sound[::-1], lambda sound: sound[:-3]])
def test_a_clip_that_was_damaged_together_with_the_catalog_is_not_the_copy(
    make_world, caplog, size, damaged
):
    world = make_world()
    item = world.item()
    sound = world.read(item)
    wrong = damaged(sound)
    forget_checksum(world, item, size=size)
    place_of(world, item).write_bytes(wrong)
    if size:
        world.sizes[item.key] = len(wrong)
    world = make_again(make_world, world)
    world.store.ensure_verified(item, waiter())
    assert place_of(world, item).read_bytes() == sound
    assert world.sizes[item.key] == len(sound)
    assert "not what the server sends" in caplog.text
    caplog.clear()


def make_again(make_world, before):
    """Return a world of the next mount, with what the catalog and the disk have kept."""
    world = make_world(before.source)
    world.sizes.update(before.sizes)
    world.checksums.update(before.checksums)
    return world


def test_two_answers_that_differ_are_no_copy(make_world):
    world = make_world()
    item = world.item()
    world.read(item)
    forget_checksum(world, item, size=False)
    audio, answers = world.source.audio, iter([b"one\0", b"two\0", b"three\0"])

    def another(item_id):
        world.source.clips[item_id] = next(answers)
        return audio(item_id)

    world.source.audio = another
    with pytest.raises(BadAnswer, match="not what it was"):
        world.store.ensure_verified(item, waiter())


def test_a_clip_without_a_checksum_stays_where_it_is_when_it_can_not_be_fetched_anew(world):
    item = world.item()
    sound = world.read(item)
    forget_checksum(world, item, size=False)
    world.source.fail("audio", Unreachable("down"))
    with pytest.raises(Unreachable):
        world.store.ensure_verified(item, waiter())
    assert place_of(world, item).read_bytes() == sound


def test_a_clip_on_its_way_is_not_fetched_twice_to_be_the_last_copy(world):
    item = world.item()
    with ThreadPoolExecutor(2) as pool:
        with world.source.held("audio") as gate:
            fetched = pool.submit(world.store.fetch, item, waiter())
            gate.wait_until_reached()
            ensured = pool.submit(world.store.ensure_verified, item, waiter())
        fetched.result(TIMEOUT)
        ensured.result(TIMEOUT)
    assert world.fetched == 1


def test_an_attachment_without_a_checksum_is_fetched_anew_too(make_world):
    world = make_world(MemorySource(attachments=True))
    made = record("a", DATE, attachments=["f"])
    world.source.add(made)
    part = part_of(made.item, Attachment("f", "f"))
    world.store.ensure_verified(part, waiter())
    forget_checksum(world, part, size=False)
    place_of(world, part).write_bytes(b"damaged")
    world = make_again(make_world, world)
    world.store.ensure_verified(part, waiter())
    assert place_of(world, part).read_bytes() == b"attachment f"
