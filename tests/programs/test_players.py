"""Players on clips that were never opened: the first sound before the last byte, and all of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from histfs.simulator import Simulator, SimulatorSettings
from tests.support.mounts import Mount, id_of, mounted

pytestmark = pytest.mark.fuse

#: Bytes of a clip that is thought to be smaller, and of one that is thought to be larger.
SIZES = {"too small": 400_000, "too large": 60_000}
#: Seconds that a clip takes to come.
TRANSFER = 3.0

#: How a player decodes a clip into a WAV file.
DECODE: dict[str, Callable[[Path, Path], list[object]]] = {
    "mpv": lambda clip, wav: [
        "mpv", "--no-config", "--really-quiet", "--ao=pcm", f"--ao-pcm-file={wav}", clip
    ],
    "gst-play-1.0": lambda clip, wav: [
        "gst-play-1.0", "-q", "--no-interactive",
        f"--audiosink=wavenc ! filesink location={wav}", clip,
    ],
}  # fmt: skip


@pytest.fixture(params=DECODE)
def player(request) -> str:
    # Only mpv is among what CI installs.
    required = os.environ.get("HISTFS_REQUIRE_FUSE") == "1" and request.param == "mpv"
    if not required and shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return request.param


@pytest.fixture(params=SIZES)
def size(request) -> int:
    return SIZES[request.param]


@pytest.fixture(params=[True, False], ids=["untold", "told"])
def api(request, size) -> Iterator[Simulator]:
    settings = SimulatorSettings(items=12, clip_bytes=size, chunked=request.param)
    with Simulator(settings) as simulator:
        yield simulator


@pytest.fixture
def slow(api):
    """Return the first MP3 of a mount; its bytes come slowly from now on."""

    def slow(mount: Mount) -> tuple[Path, bytes]:
        clip = next(audio for audio in mount.audio() if audio.suffix == ".mp3")
        content = bytes(api.library.clip(id_of(clip.parent)))
        api.bandwidth = len(content) / TRANSFER
        return clip, content

    return slow


def start(*line: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(list(map(str, line)), stdin=subprocess.DEVNULL)


def decoded(player: str, clip: bytes, directory: Path) -> bytes:
    """Return the samples of a clip, as a player makes them of a local file."""
    (directory / "true.mp3").write_bytes(clip)
    wav = directory / "true.wav"
    assert start(*DECODE[player](directory / "true.mp3", wav)).wait(60) == 0
    return wav.read_bytes()


def test_a_player_plays_what_comes_to_its_end(api, slow, tmp_path, binding, player):
    with mounted(api, tmp_path, binding) as mount:
        clip, content = slow(mount)
        process = start(*DECODE[player](clip, tmp_path / "played.wav"))
        assert process.wait(60) == 0
        assert "audio is given as" in mount.log.read_text()
    assert (tmp_path / "played.wav").read_bytes() == decoded(player, content, tmp_path)


@pytest.mark.parametrize("size", [SIZES["too small"]])
@pytest.mark.parametrize("player", ["mpv"], indirect=True)
def test_the_first_sound_waits_for_no_last_byte(api, slow, tmp_path, binding, player):
    with mounted(api, tmp_path, binding) as mount:
        clip, _ = slow(mount)
        begun = time.monotonic()
        assert start(player, "--no-config", "--ao=null", "--length=0.1", clip).wait(60) == 0
        assert time.monotonic() - begun < TRANSFER


@pytest.mark.parametrize("size", [SIZES["too small"]])
def test_who_copies_what_is_played_gets_all_of_it(api, slow, tmp_path, binding, player):
    with mounted(api, tmp_path, binding) as mount:
        clip, content = slow(mount)
        process = start(*DECODE[player](clip, tmp_path / "played.wav"))
        time.sleep(TRANSFER / 4)
        copies = {"cp": tmp_path / "cp", "rsync": tmp_path / "rsync"}
        copiers = [start(program, clip, copy) for program, copy in copies.items()]
        assert [each.wait(60) for each in (process, *copiers)] == [0, 0, 0]
        assert clip.stat().st_size == len(content)
    for program, copy in copies.items():
        assert copy.read_bytes() == content, program
    assert (tmp_path / "played.wav").read_bytes() == decoded(player, content, tmp_path)


@pytest.mark.parametrize("size", [SIZES["too small"]])
@pytest.mark.parametrize("player", ["mpv"], indirect=True)
def test_a_clip_that_comes_for_longer_than_a_call_may_wait_is_played_and_copied(
    api, slow, tmp_path, binding, player
):
    with mounted(api, tmp_path, binding, "--timeout", TRANSFER / 2) as mount:
        clip, content = slow(mount)
        process = start(*DECODE[player](clip, tmp_path / "played.wav"))
        copier = start("cp", clip, tmp_path / "copy.mp3")
        assert [process.wait(60), copier.wait(60)] == [0, 0]
    assert (tmp_path / "copy.mp3").read_bytes() == content
    assert (tmp_path / "played.wav").read_bytes() == decoded(player, content, tmp_path)
