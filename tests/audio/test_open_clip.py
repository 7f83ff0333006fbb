"""Clips that are read as they come, before their size is known."""

from __future__ import annotations

import pytest

from histfs.core.errors import BadAnswer, DeadlineExceeded, Interrupted, NotForCrawlers
from histfs.core.waiting import Waiter
from tests.audio.conftest import TIMEOUT, StepSource


def waiter(**given) -> Waiter:
    return Waiter(TIMEOUT, **given)


def rest_of(clip, offset: int = 0) -> bytes:
    content = b""
    while piece := clip.read(offset + len(content), 1000, waiter()):
        content += piece
    return content


@pytest.mark.parametrize("length", [None, 11])
def test_a_clip_is_read_from_its_first_byte_on(make_world, length):
    source = StepSource([b"\1irst", b"second"], length=length)
    world = make_world(source)
    source.go()
    clip = world.store.stream(world.item(), waiter())
    assert clip.read(0, 1000, waiter()) == b"\1irst"
    assert clip.read(1, 2, waiter()) == b"ir"
    assert clip.whole_size is None
    with pytest.raises(DeadlineExceeded):
        clip.read(5, 1000, Waiter(0.05))
    with pytest.raises(DeadlineExceeded):
        clip.wait_until_whole(Waiter(0.05))
    with pytest.raises(Interrupted):
        clip.wait_until_whole(Waiter(TIMEOUT, lambda: True))
    source.go()
    assert rest_of(clip, 5) == b"second"
    assert clip.read(11, 1000, waiter()) == clip.read(500, 1000, waiter()) == b""
    assert clip.wait_until_whole(waiter()) == clip.whole_size == 11
    world.flush()
    assert world.kept() == {"a"}
    assert world.fetched == 1


def test_what_breaks_is_an_error_and_never_the_end(make_world):
    source = StepSource([b"\1irst", BadAnswer("cut short")])
    world = make_world(source)
    source.go()
    clip = world.store.stream(world.item(), waiter())
    source.go(5)
    with pytest.raises(BadAnswer):
        rest_of(clip)
    clip.close()


def test_a_clip_that_can_not_be_had_is_not_opened(make_world):
    world = make_world(StepSource([BadAnswer("no")]))
    world.source.go(3)
    with pytest.raises(BadAnswer):
        world.store.stream(world.item(), waiter())


def test_a_cached_clip_is_whole_and_fetched_by_nobody(world):
    item = world.item()
    content = world.read(item)
    clip = world.store.stream(item, waiter(may_fetch=lambda: False))
    assert clip.whole_size == clip.wait_until_whole(waiter()) == len(content)
    assert rest_of(clip) == content
    assert world.fetched == 1
    with pytest.raises(NotForCrawlers):
        world.store.stream(world.item("b"), waiter(may_fetch=lambda: False))


def test_a_clip_about_to_be_deleted_is_fetched_for_who_streams_it(make_world):
    source = StepSource([b"\1irst", b"second"])
    world = make_world(source)
    source.go()
    item = world.item()
    clip = world.store.stream(item, waiter())
    source.go()
    world.store.fetch_for_open_files(item, waiter())
    assert clip.whole_size == 11
    clip.close()
    world.flush()
