"""What a process is called, and whether that makes it a crawler."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from histfs.fuse import crawlers as callers
from histfs.fuse.crawlers import Crawlers, Process, process_of
from histfs.settings import DEFAULT_CRAWLERS

GONE = 1 << 30


def is_default(program, name):
    return any(map(Process(program, name).matches, DEFAULT_CRAWLERS))


@pytest.mark.parametrize(
    "program",
    [
        "tumblerd",
        "ffmpegthumbnailer",
        "totem-video-thumbnailer",
        "tracker-extract",
        "tracker-extract-3",
        "tracker-miner-fs-3",
        "localsearch-3",
        "localsearch-extractor-3",
        "baloo_file",
        "baloo_file_extractor",
        "updatedb",
        "updatedb.plocate",
    ],
)
def test_crawlers_are_known_by_their_programs_whatever_they_call_themselves(program):
    assert is_default(program, program[:15])
    assert is_default(program, "pool-3")


@pytest.mark.parametrize(
    "program",
    ["mpv", "vlc", "rhythmbox", "totem", "ffprobe", "rsync", "cat", "nautilus", "python3.11",
     "music-player-of", "music-player-of-mine", "", "a"],
)  # fmt: skip
def test_others_are_not(program):
    assert not is_default(program, program[:15])
    assert not is_default("", program[:15])


@pytest.mark.parametrize(
    ("program", "name", "pattern", "expected"),
    [
        # As long as the kernel keeps it, or longer, of an interpreter's script or a hidden program.
        ("python3", "baloo_file_extr", "baloo_file_extractor", True),
        ("", "baloo_file_extr", "baloo_file_extractor", True),
        ("", "updatedb.plocat", "updatedb.plocate", True),
        ("", "updatedb.plocat", "updatedb*", True),
        ("", "tracker-extract", "tracker-extract", True),
        ("", "tracker-extract", "tracker-extract-3", True),
        ("", "tracker-extract", "t*-extractor-of-all", False),
        # Not cut off: it is shorter.
        ("", "tumbler", "tumblerd", False),
        ("", "baloo_file_ext", "baloo_file_extractor", False),
        # Cut off, and the program tells how it goes on.
        ("tracker-extract-3", "tracker-extract", "tracker-extract", False),
        ("tracker-extractor", "tracker-extract", "tracker-extract-3", False),
        ("tracker-extract-3", "tracker-extract", "tracker-*-3", True),
        # Nothing that could follow is taken for there.
        ("", "totem-video-thu", "*thumbnailer", False),
        ("", "abcdefghijklmno", "*p", False),
        # Patterns.
        ("x", "x", "?", True),
        ("Tumblerd", "Tumblerd", "tumblerd", False),
        ("tumblerd", "tumblerd", "*", True),
        ("tumblerd", "pool", "tumbl[ex]rd", True),
        ("tumblerd", "tumblerd", "umblerd", False),
        ("tumblerd", "tumblerd", "", False),
    ],
)
def test_a_pattern_is_of_a_name_or_of_what_is_left_of_it(program, name, pattern, expected):
    assert Process(program, name).matches(pattern) == expected


def test_a_thread_is_its_process():
    found = []

    def look():
        thread = threading.get_native_id()
        Path(f"/proc/self/task/{thread}/comm").write_text("pool-3")
        found.append(process_of(thread))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    name = Path("/proc/self/comm").read_text().strip()
    assert found == [process_of(os.getpid())]
    assert found == [Process(Path("/proc/self/exe").resolve().name, name)]


def test_a_program_that_was_updated_while_it_runs_keeps_its_name(tmp_path):
    program = tmp_path / "a program of a long name"
    shutil.copy(shutil.which("sleep"), program)
    running = subprocess.Popen(["sleep", "60"], executable=program)
    try:
        program.unlink()
        while process_of(running.pid).name == process_of(os.getpid()).name:
            time.sleep(0.01)  # exec(2) closes descriptors before it gives the new name
        assert process_of(running.pid) == Process(program.name, program.name[:15])
    finally:
        running.kill()
        running.wait()


def test_a_program_that_is_hidden_has_its_name(monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied")

    name = process_of(os.getpid()).name
    monkeypatch.setattr(Path, "readlink", denied)
    assert process_of(os.getpid()) == Process("", name)


@pytest.mark.parametrize("pid", [0, -1, GONE], ids=["elsewhere", "none", "gone"])
def test_who_can_not_be_seen_is_no_crawler(pid):
    assert process_of(pid) is None
    assert not Crawlers(["*"]).include(pid)


def test_without_patterns_nobody_is_looked_at(monkeypatch):
    monkeypatch.setattr(callers, "process_of", None)
    assert not Crawlers([]).include(os.getpid())


def test_the_log_tells_of_a_pattern_once(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    processes = {
        1: Process("tumblerd", "tumblerd"),
        2: Process("baloo_file_extractor", "baloo_file_extr"),
        3: Process("mpv", "mpv"),
    }
    monkeypatch.setattr(callers, "process_of", processes.get)
    crawlers = Crawlers(["tumblerd", "baloo_file*"])
    assert [crawlers.include(pid) for pid in (1, 2, 3) * 3] == [True, True, False] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "no audio is fetched for tumblerd (--crawlers tumblerd)",
        "no audio is fetched for baloo_file_extr (--crawlers baloo_file*)",
    ]
