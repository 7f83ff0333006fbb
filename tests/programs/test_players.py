"""Players on clips that were never opened: the first sound before the last byte, and all of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from histfs.simulator import Simulator, SimulatorSettings
from tests.support.mounts import Mount, id_of, mounted

pytestmark = pytest.mark.fuse

#: Bytes of a clip that is thought to be smaller, and of one that is thought to be larger.
SIZES = {"too small": 400_000, "too large": 60_000}
#: Seconds that a clip takes to come.
TRANSFER = 3.0


def pcm(target: object, clip: object) -> tuple[str, ...]:
    """Return the command line by which a player decodes a clip into a file."""
    return (
        "mpv",
        *f"--no-config --no-video --really-quiet --ao=pcm --ao-pcm-file={target}".split(),
        str(clip),
    )


@pytest.fixture(params=SIZES)
def size(request) -> int:
    return SIZES[request.param]


@pytest.fixture(params=[True, False], ids=["untold", "told"])
def api(request, size) -> Iterator[Simulator]:
    settings = SimulatorSettings(items=12, clip_bytes=size, chunked=request.param)
    with Simulator(settings) as simulator:
        yield simulator


@pytest.fixture
def slow(api, size):
    """Return the first MP3 of a mount; its bytes come slowly from now on."""

    def slow(mount: Mount) -> tuple[Path, bytes]:
        clip = next(audio for audio in mount.audio() if audio.suffix == ".mp3")
        content = bytes(api.library.clip(id_of(clip.parent)))
        api.bandwidth = len(content) / TRANSFER
        return clip, content

    return slow


def start(*line: object) -> subprocess.Popen[bytes]:
    if shutil.which(str(line[0])) is None and os.environ.get("HISTFS_REQUIRE_FUSE") != "1":
        pytest.skip(f"{line[0]} is not installed")
    return subprocess.Popen(list(map(str, line)))


def decoded(clip: bytes, directory: Path) -> bytes:
    """Return the samples of a clip, as mpv writes them of a local file."""
    (directory / "true.mp3").write_bytes(clip)
    assert start(*pcm(directory / "true.wav", directory / "true.mp3")).wait(60) == 0
    return (directory / "true.wav").read_bytes()


@pytest.mark.parametrize("size", [SIZES["too small"]])
def test_a_player_sounds_before_the_clip_has_come_and_to_its_end(api, slow, tmp_path, binding):
    with mounted(api, tmp_path, binding) as mount:
        clip, content = slow(mount)
        begun = time.monotonic()
        assert start("mpv", "--no-config", "--ao=null", "--length=0.1", clip).wait(60) == 0
        assert time.monotonic() - begun < TRANSFER
        assert start(*pcm(tmp_path / "played.wav", clip)).wait(60) == 0
    assert (tmp_path / "played.wav").read_bytes() == decoded(content, tmp_path)


def test_who_copies_what_is_played_gets_all_of_it(api, slow, tmp_path, binding):
    with mounted(api, tmp_path, binding) as mount:
        clip, content = slow(mount)
        player = start(*pcm(tmp_path / "played.wav", clip))
        time.sleep(TRANSFER / 4)
        copies = {"cp": tmp_path / "cp", "rsync": tmp_path / "rsync"}
        copiers = [start(program, clip, copy) for program, copy in copies.items()]
        assert [each.wait(60) for each in (player, *copiers)] == [0, 0, 0]
        assert clip.stat().st_size == len(content)
    for program, copy in copies.items():
        assert copy.read_bytes() == content, program
    assert (tmp_path / "played.wav").read_bytes() == decoded(content, tmp_path)


def test_a_clip_that_comes_for_longer_than_a_call_may_wait_is_played_and_copied(
    api, slow, tmp_path, binding
):
    with mounted(api, tmp_path, binding, "--timeout", TRANSFER / 2) as mount:
        clip, content = slow(mount)
        player = start(*pcm(tmp_path / "played.wav", clip))
        copier = start("cp", clip, tmp_path / "copy.mp3")
        assert [player.wait(60), copier.wait(60)] == [0, 0]
    assert (tmp_path / "copy.mp3").read_bytes() == content
    assert (tmp_path / "played.wav").read_bytes() == decoded(content, tmp_path)
