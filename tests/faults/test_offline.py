"""A server that is gone: what isn't cached fails at once, and works again once the server does."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time

import pytest

from histfs.simulator import SimulatorSettings
from tests.faults.conftest import audio_of, code_of, mounted_system, rm
from tests.support.mounts import id_of
from tests.support.patience import eventually

pytestmark = pytest.mark.fuse

#: Seconds within which a server that is back has to be found.
FOUND = 5.0
CLIPS = 100


@pytest.fixture
def system(tmp_path, binding):
    settings = SimulatorSettings(items=400, days=20)
    with mounted_system(tmp_path, binding, "--timeout", "4", settings=settings) as system:
        yield system


def uncached(system):
    """Return files of clips that have never been opened."""
    return [audio_of(system.item()) for _ in range(CLIPS)]


def open_all(clips):
    """Return the errors of reading clips one after another, and the seconds that it took."""
    began = time.monotonic()
    errors = {code_of(clip.read_bytes) for clip in clips}
    return errors, time.monotonic() - began


def test_a_server_that_refuses_connections_fails_a_walk_at_once(system):
    first, *clips = uncached(system)
    cached = audio_of(system.item())
    cached.read_bytes()
    eventually(lambda: id_of(cached.parent) in system.cached())
    system.simulator.stop()
    errors, seconds = open_all([first, *clips])
    assert errors == {"EIO"}
    assert seconds < 10
    with system.restarted():
        began = time.monotonic()
        # The DELETE finds out that the server is back.
        assert rm(cached.parent) == 0
        assert eventually(first.read_bytes) == system.served(first.parent)
        assert time.monotonic() - began < FOUND
