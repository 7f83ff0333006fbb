"""A server that answers some requests byte by byte: other requests do not wait for them."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.faults.conftest import DELETE, audio_of, mounted_system, rm
from tests.support.altered import NAME, World
from tests.support.eventually import eventually
from tests.support.mounts import id_of, mounted

pytestmark = pytest.mark.fuse

#: Seconds that a call may take while others are stuck; if it waited for them, it took minutes.
MAX_SECONDS = 30


@pytest.fixture(scope="module")
def system(tmp_path_factory, binding):
    """A system with the default timeout."""
    with mounted_system(tmp_path_factory.mktemp("system"), binding) as system:
        yield system


def ls(directory):
    """Return the output of ls for a directory, as words."""
    result = subprocess.run(["ls", directory], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def is_waiting(number):
    """Say whether the process of an ls(1) waits in a system call, or has ended."""
    name, _, fields = (
        Path("/proc", str(number), "stat").read_text().partition("(")[2].partition(")")
    )
    return name == "ls" and fields.split()[0] in "SDZ"


@pytest.mark.parametrize("where", [{"at_byte": 0}, {"head": True}], ids=["body", "head"])
def test_listings_that_drip_keep_no_others_from_being_listed(tmp_path, binding, where):
    world = tmp_path / "world.json"
    with (
        Simulator(SimulatorSettings(items=30_000, days=4400, alignments=False)) as simulator,
        mounted(simulator, tmp_path, binding, env=World(world).env, program=NAME) as mount,
    ):
        *unknown, known = sorted((mount.path / "by-date").iterdir())
        shown = ls(known)
        stuck, other = unknown[:9], unknown[9]
        simulator.faults.add(Fault("GET /v1/history$", "drip", count=9, **where))
        with ThreadPoolExecutor(9) as others:
            for year in stuck:
                others.submit(subprocess.run, ["ls", year], capture_output=True)
            # The number of listings that are requested at once.
            eventually(lambda: simulator.faults.happened.get("drip", 0) >= 4)
            began = time.monotonic()
            assert ls(known) == shown
            assert len(ls(other)) == 12
            assert time.monotonic() - began < MAX_SECONDS
        simulator.faults.clear()
        for year in stuck:
            assert eventually(lambda year=year: len(list(year.iterdir()))) >= 11


@pytest.mark.parametrize("where", [{"at_byte": 0}, {"head": True}], ids=["body", "head"])
def test_deletes_that_drip_keep_no_others_from_being_deleted(system, where):
    *stuck, other = (system.item() for _ in range(5))
    ids = {id_of(item) for item in (*stuck, other)}
    for item in (*stuck, other):
        audio_of(item).read_bytes()
    with (
        system.failing(Fault("DELETE", "drip", seconds=5, count=4, **where)),
        ThreadPoolExecutor(4) as others,
    ):
        waiting = [others.submit(rm, item) for item in stuck]
        eventually(lambda: system.simulator.counts[DELETE] == 4)
        began = time.monotonic()
        assert rm(other) == 0
        assert time.monotonic() - began < MAX_SECONDS
        # The server has deleted them, and answers so to the next request.
        assert [each.result() for each in waiting] == [0, 0, 0, 0]
    assert system.simulator.counts[DELETE] == 5
    assert not ids & set(system.simulator.library.ids())


def resources(system):
    """Return the numbers of threads, descriptors and partial clips of the mount."""
    process = f"/proc/{system.mount.process.pid}"
    parts = list(system.directory.glob("cache/*/incoming/*.part"))
    return len(os.listdir(f"{process}/task")), len(os.listdir(f"{process}/fd")), len(parts)


def test_abandoned_audio_that_drips_takes_little_and_gives_it_back(system):
    items = [system.item() for _ in range(60)]
    clips = [audio_of(item) for item in items]
    before = resources(system)
    most = before
    with system.failing(Fault("/audio", "drip", at_byte=200)):
        for start in range(0, len(clips), 12):
            readers = [
                subprocess.Popen(["timeout", "-s", "INT", "0.5", "cat", clip],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                for clip in clips[start : start + 12]
            ]  # fmt: skip
            for reader in readers:
                reader.wait(MAX_SECONDS)
            most = tuple(map(max, most, resources(system)))
        # Two threads for each connection, and those of FUSE for twelve concurrent calls.
        assert most[0] - before[0] <= 16 + 24
        assert most[1] - before[1] <= 3 * 16
        assert most[2] <= 16
        eventually(lambda: resources(system)[2] == 0, 90)
    eventually(lambda: resources(system)[1] - before[1] <= 20, 90)
    assert audio_of(items[0]).read_bytes() == system.served(items[0])
