"""Programs that need exact sizes, and a server that tells sizes without sending clips."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from histfs.simulator import Simulator, SimulatorSettings
from tests.support.eventually import eventually
from tests.support.mounts import id_of, mounted

pytestmark = pytest.mark.fuse

HEAD, GET = "HEAD /v1/history/{id}/audio", "GET /v1/history/{id}/audio"


def trust(mount, archiver, audio):
    """Have an archiver look at a clip, whose size the server tells afterwards, and is right."""
    subprocess.run([archiver, audio], check=True, stdout=subprocess.DEVNULL)
    eventually(lambda: "tells sizes without sending" in mount.log.read_text())


@pytest.fixture
def make_archiver(tmp_path):
    """Return a copy of a program under the name of an archiver."""

    def make(program):
        path = tmp_path / "bsdcpio"
        shutil.copy(shutil.which(program), path)
        return str(path)

    return make


def test_an_archiver_that_only_looks_fetches_nothing(tmp_path, binding, make_archiver):
    stat = make_archiver("stat")
    settings = SimulatorSettings(items=30, audio_head=True)
    with Simulator(settings) as simulator, mounted(simulator, tmp_path, binding) as mount:
        first, *others = mount.audio()
        trust(mount, stat, first)
        fetched = simulator.counts[GET]
        shown = subprocess.check_output([stat, "--format=%s", *others], text=True).split()
        sizes = [len(simulator.library.clip(id_of(audio.parent))) for audio in others]
        assert list(map(int, shown)) == sizes
        assert simulator.counts[GET] == fetched
        assert simulator.counts[HEAD] <= 30


@pytest.mark.parametrize("error", [-100, 100])
def test_a_size_that_is_told_wrong_fails_the_copy_and_the_next_one_is_right(
    tmp_path, binding, make_archiver, error
):
    stat = make_archiver("stat")
    excess = {}
    settings = SimulatorSettings(items=5, audio_head=True, audio_head_excess=excess)
    with Simulator(settings) as simulator, mounted(simulator, tmp_path, binding) as mount:
        first, second, *_ = mount.audio()
        trust(mount, stat, first)
        clip = bytes(simulator.library.clip(id_of(second.parent)))
        excess[id_of(second.parent)] = error
        shown = subprocess.check_output([stat, "--format=%s", second])
        assert int(shown) == len(clip) + error
        cut, whole = tmp_path / "cut", tmp_path / "whole"
        assert subprocess.run(["cp", second, cut], check=False).returncode != 0
        assert subprocess.run(["cp", second, whole], check=False).returncode == 0
        assert whole.read_bytes() == clip
