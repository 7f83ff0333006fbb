"""A server that falls silent, or is late with a clip: requests are counted, and not seconds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from histfs.simulator import Simulator, SimulatorSettings
from histfs.sources.elevenlabs.http_client import READ_TIMEOUT
from tests.faults.conftest import AUDIO, code_of
from tests.support.eventually import eventually
from tests.support.failing_link import FailingLink
from tests.support.mounts import Mount, id_of, mounted

pytestmark = pytest.mark.fuse

CLIPS = 60


@contextlib.contextmanager
def mounted_link(tmp_path, binding) -> Iterator[tuple[Simulator, FailingLink, Mount]]:
    settings = SimulatorSettings(items=3 * CLIPS, days=20, alignments=False, clip_bytes=20_000)
    with (
        Simulator(settings) as simulator,
        FailingLink(simulator.base_url) as link,
        mounted(
            None, tmp_path, binding, "--base-url", link.url,
            env={"ELEVENLABS_API_KEY": simulator.api_key},
        ) as mount,
    ):  # fmt: skip
        yield simulator, link, mount


def test_of_many_clips_one_is_asked_for_while_the_server_is_silent(tmp_path, binding):
    with mounted_link(tmp_path, binding) as (simulator, link, mount):
        # Backwards in leaps of no pattern: none is read ahead.
        numbers = sorted(range(2 * CLIPS), key=lambda number: number * 37 % 59)[: CLIPS + 1]
        audio = mount.audio()
        read, *clips = [audio[number] for number in numbers]
        assert read.read_bytes()
        with link.silent():
            assert {code_of(clip.read_bytes) for clip in clips} <= {"EIO", "ETIMEDOUT"}
            assert link.lost.pop("GET audio") == 1
            pings = link.lost.pop("GET history")
            assert 1 <= pings < CLIPS / 6
            assert not link.lost
        served = bytes(simulator.library.clip(id_of(clips[0].parent)))
        assert eventually(clips[0].read_bytes) == served


def test_a_clip_whose_first_byte_is_later_than_any_ping_is_read(tmp_path, binding):
    with mounted_link(tmp_path, binding) as (simulator, link, mount):
        clip, other = mount.audio()[:2]
        lists = simulator.counts["GET /v1/history"]
        link.audio_delay = READ_TIMEOUT + 1
        assert clip.read_bytes() == bytes(simulator.library.clip(id_of(clip.parent)))
        assert simulator.counts[AUDIO] == 1
        assert simulator.counts["GET /v1/history"] <= lists + 3
        link.audio_delay = 0.0
        assert other.read_bytes()
