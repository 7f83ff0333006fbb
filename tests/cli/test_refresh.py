"""`histfs refresh`, `fetch`, `pin` and `unpin`, and SIGHUP: beside a mount of the same cache."""

from __future__ import annotations

import json
import signal

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
def do(run, server, tmp_path):
    """Run a command on the cache of the mount, in this process."""
    place = ["--base-url", server.base_url, "--cache-dir", tmp_path / "cache", "--timezone", "UTC"]

    def do(*arguments, status=0):
        done = run(*arguments, *place, key=server.api_key)
        assert done.status == status, done.err
        return done

    return do


def lasting(server, tmp_path, binding):
    return mounted(server, tmp_path, binding, "--listing-ttl", 3600)


@pytest.mark.fuse
@pytest.mark.parametrize("how", ["all", "a path", "SIGHUP"])
def test_what_is_fresh_is_requested_again(server, tmp_path, binding, do, how):
    with lasting(server, tmp_path, binding) as mount:
        known = {id_of(item) for item in mount.items()}
        (new,) = server.library.add()
        gone = id_of(mount.items()[-1])
        server.library.remove(gone)
        assert {id_of(item) for item in mount.items()} == known
        if how == "SIGHUP":
            mount.process.send_signal(signal.SIGHUP)
        else:
            do("refresh", *([] if how == "all" else ["by-date"]))
        eventually(lambda: {id_of(item) for item in mount.items()} == known - {gone} | {new})


@pytest.mark.fuse
def test_what_was_fetched_is_read_without_a_request(server, tmp_path, binding, do):
    with lasting(server, tmp_path, binding) as mount:
        (voice, *_) = (mount.path / "by-voice").iterdir()
        clips = list(voice.glob("*/audio.[!s]*"))
        done = do("fetch", voice)
        assert f"{len(clips):,} clip" in done.out
        before = server.counts[AUDIO]
        assert before == len(clips)
        for clip in clips:
            assert clip.read_bytes() == bytes(server.library.clip(id_of(clip.parent)))
        assert server.counts[AUDIO] == before


def test_a_path_without_audio_is_an_error(do):
    assert "there is no such path" in do("fetch", "by-date/1999", status=1).err


def paths(do):
    lines = do("ls", "--json", "by-voice/Rachel").out.splitlines()
    assert len(lines) > 2
    return [f"by-voice/Rachel/{json.loads(line)['name']}" for line in lines]


def requests(server, action):
    before = server.counts[AUDIO]
    action()
    return server.counts[AUDIO] - before


def test_pinned_clips_stay_while_others_go(server, do):
    pinned, *others = paths(do)
    cap = ("--audio-cache-size", f"{5 * SIZE // 2}B")
    do("pin", pinned, *cap)
    for path in others:
        do("fetch", path, *cap)
    assert requests(server, lambda: do("fetch", pinned, *cap)) == 0
    do("unpin", pinned, *cap)
    for path in others[-2:]:
        do("fetch", path, *cap)
    assert requests(server, lambda: do("fetch", pinned, *cap)) == 1


def test_pinned_clips_do_not_exceed_the_cache(do):
    done = do("pin", *paths(do)[:3], "--audio-cache-size", f"{5 * SIZE // 2}B", status=75)
    assert "raise --audio-cache-size" in done.err
