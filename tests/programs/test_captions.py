"""Captions in a mount: players load them, copies have them, and they cost no request."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from histfs.simulator import Simulator, SimulatorSettings
from tests.support.mounts import mounted

pytestmark = pytest.mark.fuse


def test_mpv_shows_the_captions_of_a_clip_by_itself(simulator, tmp_path):
    if shutil.which("mpv") is None:
        pytest.skip("mpv is not installed")
    with mounted(simulator, tmp_path, "mfusepy") as mount:
        [captions, *_] = sorted(mount.path.glob("by-date/*/*/*/*/audio.srt"))
        [audio] = set(captions.parent.glob("audio.[!s]*")) - {captions}
        line = ["mpv", "--no-config", "--no-video", "--ao=null", "--msg-level=all=info", audio]
        shown = subprocess.run(line, capture_output=True, text=True, timeout=100).stdout
        first = captions.read_text().splitlines()[2]
    assert "audio.srt" in shown
    assert first in shown


@pytest.fixture
def talking():
    """A server with conversations."""
    with Simulator(SimulatorSettings(items=10, conversations=6)) as running:
        yield running


def test_a_second_copy_is_silent_and_captions_cost_no_request(talking, tmp_path):
    simulator = talking
    with mounted(simulator, tmp_path, "mfusepy") as mount:
        found = subprocess.run(
            ["find", mount.path, "-name", "audio.srt", "-ls"], capture_output=True, text=True
        )
        assert ".srt" in found.stdout
        assert simulator.counts["GET /v1/history/{id}/audio"] == 0
        assert simulator.counts["GET /v1/convai/conversations/{id}"] == 0
        line = ["rsync", "-ai", f"{mount.path}/", tmp_path / "copy"]
        assert subprocess.run(line, capture_output=True, timeout=200).returncode == 0
    with mounted(simulator, tmp_path, "mfusepy") as mount:
        line = ["rsync", "-ai", f"{mount.path}/", tmp_path / "copy"]
        again = subprocess.run(line, capture_output=True, text=True, timeout=200)
    assert again.returncode == 0
    # Links by telephone calls, and attachments, are known once the details were read.
    assert [line for line in again.stdout.splitlines() if "audio." in line] == []
    assert list((tmp_path / "copy").glob("conversations/by-date/*/*/*/*/audio.srt"))


def test_the_formats_are_chosen_by_name(simulator, tmp_path):
    with mounted(simulator, tmp_path, "mfusepy", "--files", "lrc+vtt+audio") as mount:
        names = {name.name for name in mount.path.glob("by-date/*/*/*/*/*")}
    assert {"audio.lrc", "audio.vtt"} <= names
    assert "audio.srt" not in names
