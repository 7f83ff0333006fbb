"""Clips that are open in a player, before their size is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from histfs.core.item import Item
from histfs.core.nodes import PlayedFile
from histfs.core.waiting import Waiter
from tests.audio.conftest import TIMEOUT, StepSource

PIECE = b"\1" + bytes(99_999)


def waiter(plays: bool = True) -> Waiter:
    return Waiter(TIMEOUT, plays=lambda: plays)


def opened(world, item: Item) -> PlayedFile:
    file = world.store.open(item, waiter())
    assert isinstance(file, PlayedFile)
    return file


def far(clip: PlayedFile) -> int:
    """Return an offset near the end of a clip as it is shown, and far from what has come."""
    assert clip.size > 3 * len(PIECE)
    return clip.size - 128


@pytest.fixture
def source():
    return StepSource([PIECE] * 5)


@pytest.fixture
def world(make_world, source):
    return make_world(source)


@pytest.fixture
def item(world):
    """An item that is thought to have 400,000 bytes, and shown with more."""
    return replace(world.item(), estimate=4 * len(PIECE))


def test_a_player_reads_what_has_come_and_no_tags_at_the_end(world, source, item):
    source.go()
    clip = opened(world, item)
    assert clip.read(0, 1 << 20, waiter()) == PIECE
    shown = clip.size
    assert clip.read(far(clip), 128, waiter()) == b""
    assert shown > item.estimate
    source.go(4)
    assert world.store.open(item, waiter(plays=False)).size == clip.size == 5 * len(PIECE)
    assert clip.read(far(clip), 128, waiter()) == bytes(128)
    assert clip.read(5 * len(PIECE), 1, waiter()) == b""


def test_a_player_waits_for_what_is_near_or_not_at_the_end(world, source, item):
    source.go()
    clip = opened(world, item)
    source.go()
    assert clip.read(len(PIECE) + 1000, 10, waiter()) == bytes(10)
    source.go(3)
    # 30,000 bytes further than three fifths, and more than 160 KB before the end.
    assert clip.read(230_000, 10, waiter()) == bytes(10)


def test_a_size_in_the_header_is_shown_from_the_first_byte_on(make_world):
    head = b"RIFF" + (5000 - 8).to_bytes(4, "little") + b"WAVEfmt " + bytes(100)
    source = StepSource([head, bytes(4900)])
    world = make_world(source)
    source.go()
    item = world.item()
    clip = opened(world, item)
    assert 5000 < clip.size == world.size(item) < 10_000 < item.estimate
    source.go()
    world.flush()
    # The true one counts as soon as it is known.
    assert clip.size == world.size(item) == len(head) + 4900


def test_other_programs_get_the_exact_size(world, source, item):
    source.go(5)
    file = world.store.open(item, waiter(plays=False))
    assert not isinstance(file, PlayedFile)
    assert file.size == 5 * len(PIECE)


def test_where_all_sizes_are_exact_those_of_players_are(make_world):
    world = make_world(exact=True)
    item = world.item()
    file = world.store.open(item, waiter())
    assert not isinstance(file, PlayedFile)
    assert world.size(item) == file.size


def test_a_cached_clip_is_as_any_file_to_a_player(world, source, item):
    source.go(5)
    world.read(item)
    assert not isinstance(world.store.open(item, waiter()), PlayedFile)
