"""`histfs refresh`, `fetch`, `pin` and `unpin`, and SIGHUP: beside a mount of the same cache."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from histfs.simulator import Simulator, SimulatorSettings
from tests.support.eventually import eventually
from tests.support.mounts import id_of, mounted

AUDIO = "GET /v1/history/{id}/audio"
LIST = "GET /v1/history"
SIZE = 40_000


@pytest.fixture
def server():
    settings = SimulatorSettings(items=30, days=3, clip_bytes=SIZE, conversations=2)
    with Simulator(settings) as running:
        yield running


@pytest.fixture
def run(server, tmp_path):
    """Run a command on the cache of the mount."""

    def run(*arguments, status=0):
        done = subprocess.run(
            [sys.executable, "-m", "histfs", *map(str, arguments), "--base-url", server.base_url,
             "--cache-dir", tmp_path / "cache", "--timezone", "UTC"],
            env={**os.environ, "ELEVENLABS_API_KEY": server.api_key},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return done

    return run


def lasting(server, tmp_path, binding):
    return mounted(server, tmp_path, binding, "--listing-ttl", 3600)


@pytest.mark.fuse
@pytest.mark.parametrize("how", ["all", "a path", "SIGHUP"])
def test_what_is_fresh_is_requested_again(server, tmp_path, binding, run, how):
    with lasting(server, tmp_path, binding) as mount:
        known = {id_of(item) for item in mount.items()}
        (new,) = server.library.add()
        gone = id_of(mount.items()[-1])
        server.library.remove(gone)
        assert {id_of(item) for item in mount.items()} == known
        if how == "SIGHUP":
            mount.process.send_signal(signal.SIGHUP)
        else:
            run("refresh", *([] if how == "all" else ["by-date"]))
        eventually(lambda: {id_of(item) for item in mount.items()} == known - {gone} | {new})


@pytest.mark.fuse
def test_what_was_fetched_is_read_without_a_request(server, tmp_path, binding, run):
    with lasting(server, tmp_path, binding) as mount:
        (voice, *_) = (mount.path / "by-voice").iterdir()
        clips = list(voice.glob("*/audio.[!s]*"))
        done = run("fetch", voice)
        assert f"{len(clips):,} clip" in done.stdout
        before = server.counts[AUDIO]
        assert before == len(clips)
        for clip in clips:
            assert clip.read_bytes() == bytes(server.library.clip(id_of(clip.parent)))
        assert server.counts[AUDIO] == before


def test_a_path_without_audio_is_an_error(run):
    assert "there is no such path" in run("fetch", "by-date/1999", status=1).stderr


def paths(run):
    lines = run("ls", "--json", "by-voice/Rachel").stdout.splitlines()
    assert len(lines) > 2
    return [f"by-voice/Rachel/{json.loads(line)['name']}" for line in lines]


def requests(server, action):
    before = server.counts[AUDIO]
    action()
    return server.counts[AUDIO] - before


def test_pinned_clips_stay_while_others_go(server, run):
    pinned, *others = paths(run)
    cap = ("--audio-cache-size", f"{5 * SIZE // 2}B")
    run("pin", pinned, *cap)
    for path in others:
        run("fetch", path, *cap)
    assert requests(server, lambda: run("fetch", pinned, *cap)) == 0
    run("unpin", pinned, *cap)
    for path in others[-2:]:
        run("fetch", path, *cap)
    assert requests(server, lambda: run("fetch", pinned, *cap)) == 1


def test_pinned_clips_do_not_exceed_the_cache(run):
    done = run("pin", *paths(run)[:3], "--audio-cache-size", f"{5 * SIZE // 2}B", status=75)
    assert "raise --audio-cache-size" in done.stderr
