"""What the kernel was told of sizes, and when it has to look again."""

from __future__ import annotations

from histfs.fuse.told import TIMEOUT, Told

PATH = "/by-date/a/audio.mp3"


def tell(told: Told, size: int) -> None:
    told.tell(PATH, size, told.turn())


def test_nothing_told_and_the_same_size_mislead_nobody():
    told = Told()
    assert not told.misled(PATH, 5)
    tell(told, 5)
    assert not told.misled(PATH, 5)
    assert not told.misled("/another", 6)


def test_who_was_told_another_size_is_misled_until_told_the_right_one():
    told = Told()
    tell(told, 4)
    assert told.misled(PATH, 5)
    assert told.misled(PATH, 5), "several may open it at once"
    tell(told, 5)
    assert not told.misled(PATH, 5)


def test_a_stat_that_began_earlier_and_ends_later_tells_nothing():
    told = Told()
    early = told.turn()
    tell(told, 5)
    told.tell(PATH, 4, early)
    assert not told.misled(PATH, 5)


def test_what_the_kernel_has_forgotten_misleads_nobody():
    now = [100.0]
    told = Told(lambda: now[0])
    tell(told, 4)
    now[0] += TIMEOUT
    assert told.misled(PATH, 5)
    now[0] += TIMEOUT
    assert not told.misled(PATH, 5)
