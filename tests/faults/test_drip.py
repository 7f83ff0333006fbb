"""A server whose answers come byte by byte: what it answers otherwise is not kept waiting."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.faults.conftest import DELETE, audio_of, rm, staged
from tests.support.mounts import id_of, mounted
from tests.support.patience import eventually

pytestmark = pytest.mark.fuse

#: Seconds that a call may take while others are stuck; without a way round them it is minutes.
PATIENCE = 30


@pytest.fixture(scope="module")
def stage(tmp_path_factory, binding):
    """A stage with the usual patience."""
    with staged(tmp_path_factory.mktemp("stage"), binding) as stage:
        yield stage


def ls(directory):
    """Return what ls prints of a directory."""
    done = subprocess.run(["ls", directory], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("where", [{"at_byte": 0}, {"head": True}], ids=["body", "head"])
def test_listings_that_drip_keep_no_others_from_being_listed(tmp_path, binding, where):
    with (
        Simulator(SimulatorSettings(items=30_000, days=4400, alignments=False)) as simulator,
        mounted(simulator, tmp_path, binding) as mount,
    ):
        *unknown, known = sorted((mount.path / "by-date").iterdir())
        shown = ls(known)
        stuck, other = unknown[:9], unknown[9]
        simulator.faults.add(Fault("GET /v1/history$", "drip", count=9, **where))
        with ThreadPoolExecutor(9) as others:
            for year in stuck:
                others.submit(subprocess.run, ["ls", year], capture_output=True)
            # As many as may be asked for at once.
            eventually(lambda: simulator.faults.happened.get("drip", 0) >= 4)
            began = time.monotonic()
            assert ls(known) == shown
            assert len(ls(other)) == 12
            assert time.monotonic() - began < PATIENCE
        simulator.faults.clear()
        for year in stuck:
            assert eventually(lambda year=year: len(list(year.iterdir()))) >= 11


@pytest.mark.parametrize("where", [{"at_byte": 0}, {"head": True}], ids=["body", "head"])
def test_deletes_that_drip_keep_no_others_from_being_deleted(stage, where):
    *stuck, other = (stage.item() for _ in range(5))
    ids = {id_of(item) for item in (*stuck, other)}
    for item in (*stuck, other):
        audio_of(item).read_bytes()
    with (
        stage.failing(Fault("DELETE", "drip", seconds=5, count=4, **where)),
        ThreadPoolExecutor(4) as others,
    ):
        waiting = [others.submit(rm, item) for item in stuck]
        eventually(lambda: stage.simulator.counts[DELETE] == 4)
        began = time.monotonic()
        assert rm(other) == 0
        assert time.monotonic() - began < PATIENCE
        # The server has done it, and says so when it is asked.
        assert [each.result() for each in waiting] == [0, 0, 0, 0]
    assert stage.simulator.counts[DELETE] == 5
    assert not ids & set(stage.simulator.library.ids())


def taken(stage):
    """Return how many threads and descriptors the mount has, and how many unfinished clips."""
    process = f"/proc/{stage.mount.process.pid}"
    parts = list(stage.directory.glob("cache/*/incoming/*.part"))
    return len(os.listdir(f"{process}/task")), len(os.listdir(f"{process}/fd")), len(parts)


def test_abandoned_audio_that_drips_takes_little_and_gives_it_back(stage):
    items = [stage.item() for _ in range(60)]
    clips = [audio_of(item) for item in items]
    before = taken(stage)
    most = before
    with stage.failing(Fault("/audio", "drip", at_byte=200)):
        for start in range(0, len(clips), 12):
            readers = [
                subprocess.Popen(["timeout", "-s", "INT", "0.5", "cat", clip],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                for clip in clips[start : start + 12]
            ]  # fmt: skip
            for reader in readers:
                reader.wait(PATIENCE)
            most = tuple(map(max, most, taken(stage)))
        # Two for each connection, and what FUSE has for twelve calls at once.
        assert most[0] - before[0] <= 16 + 24
        assert most[1] - before[1] <= 3 * 16
        assert most[2] <= 16
        eventually(lambda: taken(stage)[2] == 0, 90)
    eventually(lambda: taken(stage)[1] - before[1] <= 20, 90)
    assert audio_of(items[0]).read_bytes() == stage.served(items[0])
