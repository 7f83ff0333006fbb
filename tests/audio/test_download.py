"""A wait for a download ends with its deadline, which bytes that come renew."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from histfs.core.errors import DeadlineExceeded
from histfs.core.waiting import Waiter
from tests.support.memory import MemorySource

#: Seconds: of a call, and between two pieces.
TIMEOUT, PAUSE = 0.4, 0.1


class SlowSource(MemorySource):
    """A source whose audio takes several times as long as a call may.

    Args:
        piece: bytes that come at once.
        tells_length: whether the length is announced.
    """

    throttled = False

    def __init__(self, piece: int, tells_length: bool = False) -> None:
        super().__init__()
        self._pieces = [b"audio\0" + bytes(piece - 6)] + [bytes(piece)] * 15
        self.content = b"".join(self._pieces)
        self.length = len(self.content) if tells_length else None

    @contextlib.contextmanager
    def audio(self, item_id: str) -> Iterator[SlowSource]:
        with super().audio(item_id):
            yield self

    def chunks(self) -> Iterator[bytes]:
        for piece in self._pieces:
            time.sleep(PAUSE)
            yield piece


@pytest.mark.parametrize("tells_length", [True, False])
def test_calls_wait_for_a_transfer_of_many_times_their_timeout_while_it_goes_on(
    make_world, tells_length
):
    source = SlowSource(20_000, tells_length)
    world = make_world(source)
    began = time.monotonic()
    file = world.store.open(world.item(), Waiter(TIMEOUT))
    assert file.read(0, file.size, Waiter(TIMEOUT)) == source.content
    assert time.monotonic() - began > 2 * TIMEOUT
    assert world.store.fetch(world.item(), Waiter(TIMEOUT)) == len(source.content)


@pytest.mark.parametrize("piece", [100, 500])
def test_a_server_that_drips_renews_no_deadline(make_world, piece):
    world = make_world(SlowSource(piece))
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        world.store.open(world.item(), Waiter(TIMEOUT))
    assert time.monotonic() - began < 2 * TIMEOUT
