"""Read-ahead in real mounts: in any view's order of listing, and backwards; one request a clip."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tarfile
import time

import pytest

from histfs.simulator import Simulator, SimulatorSettings
from tests.support.eventually import eventually
from tests.support.mounts import id_of, mounted
from tests.support.packages import add_package

pytestmark = pytest.mark.fuse

AUDIO = "GET /v1/history/{id}/audio"
ITEMS, TIMEOUT = 40, 8

#: Lists all clips in one directory, the longest text first. Its calls fail, or do not return, once
#: there is a file `trouble` that says so.
VIEW = """
import time
from pathlib import Path

from histfs.core.views import ByRule

TROUBLE = Path({trouble!r})

class ByLength(ByRule):
    name = "by-length"

    def directory(self, item, index):
        self.meet_trouble()
        return "all"

    def items(self, at, index):
        self.meet_trouble()
        def length(listed):
            return len(index.details(index.find(listed.key, listed.date)).text or "")
        yield from sorted(super().items(at, index), key=lambda each: (-length(each), each.key))

    def meet_trouble(self):
        while TROUBLE.exists():
            if TROUBLE.read_text() == "raise":
                raise ZeroDivisionError
            time.sleep(0.1)
"""


@pytest.fixture
def server():
    settings = SimulatorSettings(items=ITEMS, days=5, latency=0.05, conversations=0)
    with Simulator(settings) as simulator:
        yield simulator


@pytest.fixture
def plugged(tmp_path):
    """The environment with the view of a package."""
    site = tmp_path / "site"
    points = {"histfs.views": {"by-length": "lengthy:ByLength"}}
    add_package(site, "lengthy", points, VIEW.format(trouble=str(tmp_path / "trouble")))
    return {"PYTHONPATH": str(site)}


def audio_in(item):
    return next(item.glob("audio.[!s]*"))


def listed(mount, directory):
    """Return the clips of a directory in the order of its listing, by their paths at home."""
    with os.scandir(mount.path / directory) as entries:
        return [audio_in(mount.path.joinpath(entry.path).resolve()) for entry in entries]


def read_all(server, clips):
    """Read clips one after another; each must be under way when the one before it was read."""
    for number, clip in enumerate(clips, 1):
        assert clip.read_bytes() == bytes(server.library.clip(id_of(clip.parent)))
        if 3 < number < len(clips):
            eventually(lambda number=number: server.counts[AUDIO] > number)
    assert server.counts[AUDIO] == len(clips)


@pytest.mark.parametrize("placement", ["links", "dir"])
def test_the_clips_of_a_view_of_another_package_are_read_ahead_in_its_order(
    server, tmp_path, binding, plugged, placement
):
    options = ("-o", f"placement={placement}")
    with mounted(server, tmp_path, binding, *options, env=plugged) as mount:
        clips = listed(mount, "by-length/all")
        dates = [clip.parent.name for clip in clips]
        assert dates != sorted(dates)
        read_all(server, clips)


@pytest.mark.parametrize("trouble", ["raise", "hang"])
def test_a_view_that_fails_after_its_listing_delays_no_open(
    server, tmp_path, binding, plugged, trouble
):
    with mounted(server, tmp_path, binding, "--timeout", TIMEOUT, env=plugged) as mount:
        clips = listed(mount, "by-length/all")
        (tmp_path / "trouble").write_text(trouble)
        begun = time.monotonic()
        read_all(server, clips)
        assert time.monotonic() - begun < TIMEOUT
        (tmp_path / "trouble").unlink()


@pytest.mark.parametrize("all_first", [True, False], ids=["listed first", "listed one by one"])
def test_small_directories_are_read_ahead_one_after_another(server, tmp_path, binding, all_first):
    """rsync and find list some directories ahead, and cp each before it reads it."""
    with mounted(server, tmp_path, binding, "-o", "views=by-date+by-text") as mount:
        names = os.listdir(mount.path / "by-text")
        directories = (listed(mount, f"by-text/{name}") for name in names)
        read, first = [], None
        for clips in list(directories) if all_first else directories:
            first = first or len(clips)
            for clip in clips:
                assert clip.read_bytes()
                read.append(clip)
            if all_first and first + 3 < len(read) < ITEMS // 2:
                eventually(lambda: server.counts[AUDIO] > len(read) + 1)
    assert len(names) > 5
    assert server.counts[AUDIO] == len(read)


def test_bsdtar_reads_backwards_and_is_followed(server, tmp_path, binding):
    if shutil.which("bsdtar") is None:
        pytest.skip("bsdtar is not installed")
    packed = tmp_path / "x.tar"
    with mounted(server, tmp_path, binding) as mount:
        subprocess.run(["bsdtar", "-cf", packed, "-C", mount.path, "by-date"], check=True)
    assert server.counts[AUDIO] == ITEMS
    assert server.counts.max_in_flight > 1
    with tarfile.open(packed) as archive:
        names = [name for name in archive.getnames() if "/audio." in name and "srt" not in name]
    assert len(names) == ITEMS
    assert names == sorted(names, reverse=True), "read forwards, it tests nothing"


def test_clips_that_are_read_at_random_are_requested_once_each(server, tmp_path, binding):
    with mounted(server, tmp_path, binding) as mount:
        clips = mount.audio()
        random.Random(1).shuffle(clips)
        for clip in clips[: ITEMS // 2]:
            assert clip.read_bytes()
        assert ITEMS // 2 <= server.counts[AUDIO] <= ITEMS // 2 + 4, "it fetches what it opens"
        for clip in clips[ITEMS // 2 :]:
            assert clip.read_bytes()
        assert server.counts[AUDIO] == ITEMS
