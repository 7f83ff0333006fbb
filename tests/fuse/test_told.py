"""What the kernel was told of sizes, and when it has to look again."""

from __future__ import annotations

import pytest

from histfs.fuse.told import MEMORY, TIMEOUT, Told

PATH = "/by-date/a/audio.mp3"


def tell(told: Told, size: int) -> int:
    return told.tell(PATH, size, told.turn())


def opens(told: Told, size: int, path: str = PATH) -> bool:
    """Open and close a file; say whether it could be opened."""
    done = told.opened(path, size)
    if done:
        told.closed(path)
    return done


def test_a_file_opens_that_nothing_or_its_own_size_was_told_of():
    told = Told()
    assert opens(told, 5, "/another")
    tell(told, 5)
    assert opens(told, 5)


def test_a_file_does_not_open_until_the_kernel_was_told_its_size():
    told = Told()
    tell(told, 4)
    assert not told.opened(PATH, 5)
    assert not told.opened(PATH, 5), "several may open it at once"
    tell(told, 5)
    assert opens(told, 5)


def test_a_stat_that_began_earlier_and_ends_later_tells_the_same():
    told = Told()
    early = told.turn()
    tell(told, 5)
    assert told.tell(PATH, 4, early) == 5
    assert opens(told, 5)


def test_what_the_kernel_has_forgotten_keeps_no_file_from_opening():
    now = [100.0]
    told = Told(lambda: now[0])
    tell(told, 4)
    now[0] += MEMORY - TIMEOUT / 2
    assert not told.opened(PATH, 5)
    now[0] += TIMEOUT
    assert opens(told, 5)


@pytest.mark.parametrize("closed", [False, True])
def test_a_stat_that_began_before_an_open_and_ends_after_it_tells_the_size_of_the_handle(closed):
    told = Told()
    early = told.turn()
    assert told.opened(PATH, 5)
    if closed:
        told.closed(PATH)
    assert told.tell(PATH, 4, early) == 5


def test_a_file_has_the_size_of_its_handle_for_as_long_as_it_is_open():
    now = [100.0]
    told = Told(lambda: now[0])
    assert told.opened(PATH, 5)
    assert told.opened(PATH, 5)
    for _ in range(2):
        now[0] += 1000
        assert tell(told, 4) == 5
        told.closed(PATH)
    now[0] += 1000
    assert tell(told, 4) == 4


def test_a_file_that_has_changed_opens_beside_an_earlier_handle_once_its_size_was_told():
    told = Told()
    assert told.opened(PATH, 5)
    assert not told.opened(PATH, 6)
    assert tell(told, 5) == 6
    assert told.opened(PATH, 6)
