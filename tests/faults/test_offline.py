"""A server that is gone: what isn't cached fails at once, and works again once the server does."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from histfs.simulator import Fault
from tests.faults.conftest import AUDIO, DELETE, audio_of, code_of, mounted_system, rm
from tests.support.eventually import eventually
from tests.support.failing_link import full_queue
from tests.support.mounts import id_of

pytestmark = pytest.mark.fuse

#: Seconds that all clips may take together, and within which a server that is back is found.
FAILED, FOUND = 20.0, 6.0
CLIPS = 100


@contextlib.contextmanager
def refusing(system) -> Iterator[None]:
    """Refuse all connections within the block."""
    system.simulator.stop()
    yield


@contextlib.contextmanager
def dropping(system) -> Iterator[None]:
    """Drop all packets of new connections within the block, by a full queue of connections."""
    system.simulator.stop()
    with full_queue(int(system.simulator.base_url.rpartition(":")[2])):
        yield


@pytest.mark.parametrize("gone", [refusing, dropping])
def test_without_a_server_clips_fail_at_once_and_a_delete_finds_out_that_it_is_back(
    tmp_path, binding, gone
):
    with mounted_system(tmp_path, binding, "--timeout", "6") as system:
        cached, *clips = [audio_of(system.item()) for _ in range(CLIPS)]
        cached.read_bytes()
        eventually(lambda: id_of(cached.parent) in system.cached())
        with gone(system):
            began = time.monotonic()
            assert {code_of(clip.read_bytes) for clip in clips} <= {"EIO", "ETIMEDOUT"}
            assert time.monotonic() - began < FAILED
            assert code_of(os.listdir, system.unknown_day()) == "EIO"
        with system.restarted():
            began = time.monotonic()
            assert rm(cached.parent) == 0
            assert eventually(clips[0].read_bytes) == system.served(clips[0].parent)
            assert time.monotonic() - began < FOUND


def test_a_silent_server_gets_few_requests_and_is_found_when_it_answers(tmp_path, binding):
    with mounted_system(tmp_path, binding, "--timeout", "6") as system:
        clips = [audio_of(system.item()) for _ in range(CLIPS)]
        with system.failing(Fault("/v1/history", "hang")), ThreadPoolExecutor(8) as users:
            began = time.monotonic()
            errors = set(users.map(lambda clip: code_of(clip.read_bytes), clips))
            assert errors <= {"EIO", "ETIMEDOUT"}
            assert time.monotonic() - began < 2 * FAILED
            assert system.simulator.counts[AUDIO] < CLIPS / 2
            assert system.simulator.counts[DELETE] == 0
        began = time.monotonic()
        assert eventually(clips[0].read_bytes) == system.served(clips[0].parent)
        assert time.monotonic() - began < FOUND
