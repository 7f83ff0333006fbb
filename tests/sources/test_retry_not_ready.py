"""Audio that is not ready is retried, for a share of a call's timeout."""

from __future__ import annotations

import pytest

from histfs.core.errors import Missing, NotReady, Unreachable
from histfs.sources.request_policies import RetryNotReady
from tests.support.memory import MemorySource, record


class NotReadySource(MemorySource):
    """A source that raises `NotReady` for the first requests of audio."""

    def __init__(self, times):
        super().__init__([record("a", 1)])
        self.remaining = times

    def audio(self, item_id):
        self.remaining -= 1
        if self.remaining >= 0:
            self._called("audio", item_id)
            raise NotReady("still being made")
        return super().audio(item_id)


@pytest.fixture
def pauses():
    return []


def content(source, item_id="a"):
    with source.audio(item_id) as stream:
        return b"".join(stream.chunks())


def test_audio_that_is_there_is_not_waited_for(pauses):
    assert content(RetryNotReady(NotReadySource(0), 30, pauses.append)) == b"audio\0of a"
    assert pauses == []


def test_audio_that_is_being_made_is_asked_for_again_less_and_less_often(pauses):
    assert content(RetryNotReady(NotReadySource(3), 30, pauses.append)) == b"audio\0of a"
    assert pauses == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(("timeout", "slept"), [(30, 7.5), (6, 1.5), (0.9, 0)])
def test_half_of_a_calls_time_is_for_waiting(pauses, timeout, slept):
    source = NotReadySource(100)
    with pytest.raises(NotReady):
        content(RetryNotReady(source, timeout, pauses.append))
    assert sum(pauses) == slept
    assert source.count("audio") == len(pauses) + 1


@pytest.mark.parametrize("error", [Missing("gone"), Unreachable("no network")])
def test_another_failure_is_told_at_once(pauses, error):
    source = NotReadySource(0)
    source.fail("audio", error)
    with pytest.raises(type(error)):
        content(RetryNotReady(source, 30, pauses.append))
    assert pauses == []


def test_what_the_reader_raises_is_not_taken_for_the_sources(pauses):
    with pytest.raises(NotReady), RetryNotReady(NotReadySource(0), 30, pauses.append).audio("a"):
        raise NotReady("of the reader")
    assert pauses == []
