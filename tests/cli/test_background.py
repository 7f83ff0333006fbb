"""Mounting in the background, and the messages of the command that waits for it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from histfs.fuse.mountpoint import mounted_on
from histfs.simulator import Fault
from tests.cli.conftest import KEY


def processes(word):
    """Return the ids of the processes that have a word in their command line."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(word) in path.read_bytes().split(b"\0"):
                found.add(path.parent.name)
        except OSError:
            continue
    return found


def await_end(path):
    deadline = time.monotonic() + 20
    while going_on := processes(str(path)):
        if time.monotonic() > deadline:
            for process in going_on:
                os.kill(int(process), signal.SIGKILL)
            pytest.fail("the process goes on")
        time.sleep(0.02)


@pytest.fixture
def arguments(simulator, place, tmp_path):
    url, cache = simulator.base_url, tmp_path / "cache"
    yield [place, "--base-url", url, "--cache-dir", cache]
    if mounted_on(place):
        subprocess.run(["umount", "-l", place], check=False)
    await_end(place)


@pytest.mark.fuse
def test_a_mount_returns_when_it_can_be_used_and_umount_ends_it(
    spawn, simulator, arguments, place, binding
):
    env = {"ELEVENLABS_API_KEY": simulator.api_key, "HISTFS_FUSE": binding}
    done = spawn("mount", *arguments, **env)
    assert (done.status, done.out, done.err) == (0, "", "")
    assert sorted(os.listdir(place)) == ["by-date", "by-source", "by-voice", "conversations"]
    assert mounted_on(place) == ("fuse.histfs", "elevenlabs:default")
    assert len(processes(str(place))) == 1

    again = spawn("mount", *arguments, **env)
    assert again.status == 2
    assert "mounted on" in again.line
    assert "already" in again.line

    done = spawn("umount", place)
    assert (done.status, done.out, done.err) == (0, "", "")
    assert mounted_on(place) is None
    await_end(place)


@pytest.mark.fuse
@pytest.mark.parametrize("binding", ["mfusepy"], indirect=True)
def test_a_mount_in_use_is_unmounted_only_with_lazy(spawn, simulator, arguments, place, binding):
    env = {"ELEVENLABS_API_KEY": simulator.api_key, "HISTFS_FUSE": binding}
    assert spawn("mount", *arguments, **env).status == 0
    inside = os.open(place / "by-date", os.O_RDONLY)
    try:
        busy = spawn("umount", place)
        assert busy.status == 75
        assert "--lazy" in busy.line
        assert spawn("umount", "--lazy", place).status == 0
    finally:
        os.close(inside)


@pytest.mark.fuse
@pytest.mark.parametrize("binding", ["fusepy"], indirect=True)
def test_a_demo_needs_no_key_and_leaves_nothing(spawn, place, binding, tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    env = {"ELEVENLABS_API_KEY": "", "HISTFS_FUSE": binding, "TMPDIR": str(temporary)}
    try:
        assert spawn("mount", "--demo", place, **env).status == 0
        assert next(place.glob("by-date/*/*/*/*/text.txt")).read_text()
        assert len(os.listdir(temporary)) == 1
    finally:
        spawn("umount", place)
        await_end(place)
    assert os.listdir(temporary) == []


def test_what_keeps_a_mount_from_coming_up_is_told_as_in_the_foreground(
    spawn, arguments, simulator
):
    refused = spawn("mount", *arguments)
    assert refused.status == 77
    assert "Invalid API key" in refused.line


def test_an_unexpected_answer_is_reported(spawn, arguments, simulator):
    simulator.faults.add(Fault("GET", "status", status=200, body="[" * 100_000))
    done = spawn("mount", *arguments, ELEVENLABS_API_KEY=simulator.api_key)
    assert done.status != 0
    assert done.line.startswith("histfs: ")


def test_the_key_is_not_in_the_command_line_nor_in_the_log(spawn, arguments, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert spawn("mount", *arguments).status == 77
    for path in (tmp_path / "state").rglob("*.log"):
        assert KEY not in path.read_text()
        assert path.stat().st_mode & 0o077 == 0
