"""Thumbnailers and indexers on real mounts: they fetch nothing, every other program does."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from histfs.fuse.reported_sizes import TIMEOUT
from tests.support.eventually import eventually
from tests.support.mounts import id_of, mounted

pytestmark = pytest.mark.fuse

AUDIO = "GET /v1/history/{id}/audio"

#: Reads a file in a thread that has a name of its own, as the pools of indexers do.
SCRIPT = """#!{python}
import pathlib, sys, threading

def read():
    thread = threading.get_native_id()
    pathlib.Path(f"/proc/self/task/{{thread}}/comm").write_text("pool-3")
    try:
        sys.stdout.buffer.write(pathlib.Path(sys.argv[1]).read_bytes())
    except PermissionError:
        sys.stderr.write("Permission denied")

thread = threading.Thread(target=read)
thread.start()
thread.join()
"""


def read_as(program, file):
    """Return what a program reads of a file; None when that is denied."""
    # argv[0] is cat: some programs have many names.
    done = subprocess.run(["cat", file], executable=program, capture_output=True, timeout=60)
    if b"Permission denied" in done.stderr:
        return None
    assert done.stderr == b""
    return done.stdout


@pytest.fixture(params=["program", "script"])
def make_program(request, tmp_path):
    """Make a program of a name that reads a file."""

    def make(name):
        path = tmp_path / name
        if request.param == "program":
            shutil.copy(shutil.which("cat"), path)
        else:
            path.write_text(SCRIPT.format(python=sys.executable))
            path.chmod(0o755)
        return path

    return make


def test_a_crawler_reads_what_is_here_and_fetches_nothing(
    simulator, tmp_path, binding, make_program
):
    names = ["tumblerd", "baloo_file_extractor", "updatedb.plocate"]
    crawlers = [make_program(name) for name in names]
    with mounted(simulator, tmp_path, binding) as mount:
        audio, *_, other = mount.audio()
        for crawler in crawlers:
            assert read_as(crawler, audio) is None
            assert read_as(crawler, audio.with_name("text.txt"))
            assert read_as(crawler, audio.with_name("meta.json"))
        assert simulator.counts[AUDIO] == 0
        content = read_as(shutil.which("cat"), audio)
        assert content == bytes(simulator.library.clip(id_of(audio.parent)))
        for crawler in crawlers:
            eventually(lambda crawler=crawler: read_as(crawler, audio) == content)
            assert read_as(crawler, other) is None
        assert simulator.counts[AUDIO] == 1
    lines = [line for line in mount.log.read_text().splitlines() if "is a crawler by" in line]
    assert len(lines) == len(names)
    assert all(name[:15] in line for name, line in zip(names, lines, strict=True))


def test_with_exact_sizes_a_crawler_sees_the_estimate(simulator, tmp_path, binding):
    crawler = tmp_path / "tumblerd"
    shutil.copy(shutil.which("stat"), crawler)

    def size(program):
        line = ["stat", "--format=%s", audio]
        return int(subprocess.check_output(line, executable=program))

    with mounted(simulator, tmp_path, binding, "--sizes", "exact") as mount:
        audio = mount.items()[0] / "audio.mp3"
        assert size(crawler) > 0
        assert simulator.counts[AUDIO] == 0
        time.sleep(1.2 * TIMEOUT)  # the kernel caches the estimate
        exact = size(shutil.which("stat"))
        assert simulator.counts[AUDIO] == 1
        assert size(crawler) == exact == len(audio.read_bytes())


def test_who_is_a_crawler_can_be_told(simulator, tmp_path, binding, make_program):
    tumblerd, player = make_program("tumblerd"), make_program("my-player")
    with mounted(simulator, tmp_path, binding, "--crawlers", "x, my-*") as mount:
        audio = mount.audio()[0]
        assert read_as(player, audio) is None
        assert read_as(tumblerd, audio)


@pytest.mark.parametrize("where", ["option", "environment", "file"])
def test_nobody_is_a_crawler_when_the_list_is_empty(simulator, tmp_path, binding, where):
    tumblerd, config = tmp_path / "tumblerd", tmp_path / "config.toml"
    shutil.copy(shutil.which("cat"), tumblerd)
    config.write_text('crawlers = ""\n' if where == "file" else "")
    more = ["--crawlers", ""] if where == "option" else []
    env = {"HISTFS_CRAWLERS": ""} if where == "environment" else {}
    with mounted(simulator, tmp_path, binding, "--config", config, *more, env=env) as mount:
        assert read_as(tumblerd, mount.audio()[0])


def test_a_crawler_does_not_keep_others_from_reading(simulator, tmp_path, binding, make_program):
    """The kernel must cache neither the error nor the size that a crawler received."""
    crawler = make_program("tumblerd")
    with mounted(simulator, tmp_path, binding) as mount:
        clips = mount.audio()
        for audio in [clips[number] for number in (50, 3, 28, 15, 40)]:  # nothing is fetched ahead
            assert read_as(crawler, audio) is None
            content = Path(audio).read_bytes()
            assert content == bytes(simulator.library.clip(id_of(audio.parent)))
