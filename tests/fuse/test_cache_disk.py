"""The disk under the cache, as programs see it through mounts: its cap, when it is full, a kill."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.support.eventually import eventually
from tests.support.mounts import id_of, mounted

pytestmark = pytest.mark.fuse

SIZE = 50_000
AUDIO = "GET /v1/history/{id}/audio"


@pytest.fixture
def simulator():
    with Simulator(
        SimulatorSettings(items=60, days=5, clip_bytes=SIZE, alignments=False)
    ) as running:
        yield running


def served(simulator, audio):
    """Return the bytes of a clip, as the server sends them."""
    return bytes(simulator.library.clip(id_of(audio.parent)))


def requests_of(simulator, audio):
    """Return the requests for one clip so far."""
    target = f"/v1/history/{id_of(audio.parent)}/audio"
    return sum(record.target == target for record in simulator.counts.log)


def is_kept(simulator, audio):
    """Read a clip, and say whether that took no request."""
    before = requests_of(simulator, audio)
    cat(audio)
    return requests_of(simulator, audio) == before


def test_two_mounts_of_one_cache_fetch_each_clip_once(simulator, tmp_path, binding):
    cache = tmp_path / "cache"
    with (
        mounted(simulator, tmp_path / "one", binding, "--cache-dir", cache) as one,
        mounted(simulator, tmp_path / "two", binding, "--cache-dir", cache) as two,
        ThreadPoolExecutor() as readers,
    ):
        clips = one.audio(), two.audio()
        simulator.latency = 0.05
        list(readers.map(lambda paths: [cat(path) for path in paths], clips))
        assert {requests_of(simulator, audio) for audio in clips[0]} == {1}


def on_disk(cache):
    """Return the paths of all clips in a cache, complete and partial, by their names."""
    where = ("*/audio/*/*", "*/incoming/*")
    return {path.name: path for pattern in where for path in cache.glob(pattern)}


def taken(cache):
    """Return the bytes of all clips at one moment."""
    with contextlib.ExitStack() as stack:
        for used in cache.glob("*/used"):
            fcntl.flock(stack.enter_context(used.open("rb")), fcntl.LOCK_EX)
        return sum(path.stat().st_size for path in on_disk(cache).values())


def cat(audio):
    result = subprocess.run(["cat", audio], capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def fill_up(disk):
    with contextlib.suppress(OSError), (disk / "rest").open("wb", buffering=0) as rest:
        while rest.write(b"x" * 4096):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
def test_on_a_full_disk_clips_are_read_and_what_is_open_stays(simulator, tmp_path, binding):
    disk = tmp_path / "cache"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)
    try:
        # Files that a failing test leaves open would keep the mount from ending.
        with mounted(simulator, tmp_path, binding) as mount, contextlib.ExitStack() as files:
            clips = mount.audio()
            opened = [files.enter_context(clip.open("rb")) for clip in clips[:2]]
            assert [len(file.read(10)) for file in opened] == [10, 10]
            eventually(lambda: len(on_disk(disk)) >= 2 and not list(disk.glob("*/incoming/*")))
            fill_up(disk)
            with ThreadPoolExecutor(4) as readers:
                for clip, content in zip(clips, readers.map(cat, clips), strict=True):
                    assert content == served(simulator, clip)
            copy = tmp_path / "copy"
            for clip in clips[-3:]:
                copy.write_bytes(served(simulator, clip))
                subprocess.run(["cmp", clip, copy], check=True)
            assert {id_of(clip.parent) for clip in clips[:2]} <= set(on_disk(disk))
            # One that was begun ahead may be on its way.
            eventually(lambda: not list(disk.glob("*/incoming/*")))
            for clip, file in zip(clips, opened, strict=False):
                assert file.read() == served(simulator, clip)[10:]
                file.close()
            (disk / "rest").unlink()
            # The first read may join a download that began in memory.
            eventually(lambda: is_kept(simulator, clips[-1]))
            assert mount.log.read_text().count("without being kept") == 1
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_mounts_of_one_cache_keep_its_cap_together_and_what_either_has_open(
    simulator, tmp_path, binding
):
    # More than can be on its way at once: that is not held back.
    cache, cap = tmp_path / "shared", 40 * SIZE
    options = ("--cache-dir", cache, "--audio-cache-size", f"{cap}B")
    with (
        mounted(simulator, tmp_path / "one", binding, *options) as one,
        mounted(simulator, tmp_path / "two", binding, *options) as two,
        ThreadPoolExecutor(3) as readers,
    ):
        clips = one.audio()
        opened = clips[0].open("rb")
        assert opened.read(10) == served(simulator, clips[0])[:10]
        eventually(lambda: len(list(cache.glob("*/audio/*/*"))) >= 1)
        reading = [
            readers.submit(list, map(cat, paths)) for paths in (clips[1:], two.audio()[:0:-1])
        ]
        most = 0
        while not all(each.done() for each in reading):
            most = max(most, taken(cache))
        for each in reading:
            each.result()
        assert most <= cap
        assert id_of(clips[0].parent) in on_disk(cache)
        before = simulator.counts[AUDIO]
        assert opened.read() == served(simulator, clips[0])[10:]
        assert simulator.counts[AUDIO] == before
        opened.close()


def test_what_a_killed_mount_was_fetching_is_cleaned_away_by_the_next(simulator, tmp_path, binding):
    cache = tmp_path / "cache"
    with mounted(simulator, tmp_path, binding) as mount:
        clip = mount.audio()[0]
        fault = Fault("/audio", "hang", at_byte=SIZE // 2)
        simulator.faults.add(fault)
        with subprocess.Popen(
            ["cat", clip], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as reader:
            eventually(lambda: taken(cache) >= SIZE // 4)
            mount.kill()
            assert reader.wait(10) != 0
    assert list(cache.glob("*/incoming/*"))
    simulator.faults.clear()
    with mounted(simulator, tmp_path, binding) as mount:
        assert taken(cache) == 0
        assert cat(mount.audio()[0]) == served(simulator, clip)
        assert taken(cache) == len(served(simulator, clip))
