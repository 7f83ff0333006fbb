"""`histfs status`: the status of a mount, read from a hidden file."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
from functools import partial

import pytest

from histfs import __version__
from histfs.core.filesystem import STATUS_NAME
from histfs.fuse import mountpoint
from histfs.simulator import Fault
from histfs.status import Status
from tests.support.mounts import mounted
from tests.test_status import NOON, FailureStatus, status


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Put directories into a table of our own, each as if a histfs was mounted on it."""
    path = tmp_path / "mountinfo"
    path.write_text("22 1 0:21 / /proc rw - proc proc rw\n")
    monkeypatch.setattr(mountpoint, "_MOUNTS", path)

    def add(name, content=None):
        place = tmp_path / name
        place.mkdir()
        if content is not None:
            (place / STATUS_NAME).write_bytes(content)
        with path.open("ab") as file:
            where = os.fsencode(place).replace(b"\n", rb"\012")
            file.write(b"36 35 0:42 / " + where + b" rw - fuse.histfs elevenlabs:default rw\n")
        return place

    return add


# A mount


@pytest.mark.fuse
def test_a_mount_says_what_it_knows_keeps_and_does(simulator, tmp_path, binding, run):
    with mounted(simulator, tmp_path, binding, "--audio-cache-size", "1G") as mount:
        first, *_, second = mount.audio()
        size = len(first.read_bytes())
        simulator.faults.add(Fault("/audio", "status", status=400, body={"detail": "no \x1b[2J"}))
        with pytest.raises(OSError):
            second.read_bytes()
        done = run("status", "--json", mount.path)
        text = run("status", mount.path)
    assert (done.status, done.err) == (0, "")
    assert len(done.out.splitlines()) == 1
    found = json.loads(done.out)
    assert abs(found.pop("since") - found["last_error"].pop("at")) < 60
    error = found.pop("last_error")["message"]
    assert error.startswith("the server says: no")
    assert found == {
        "version": __version__,
        "pid": mount.process.pid,
        "mountpoint": str(mount.path),
        "account": {
            "profile": "default",
            "base_url": simulator.base_url,
            "key_from": "the variable ELEVENLABS_API_KEY",
        },
        "items": 60,
        "windows": [{"start": None, "end": None}],
        "scan": {"complete": True, "down_to": None, "state": "idle"},
        "cache": {"bytes": size, "limit": 1 << 30},
        "requests": {
            "list": 1,
            "get": 0,
            "audio_size": 0,
            "audio": 2,
            "attachment": 0,
            "delete": 0,
        },
        "sources": {
            "conversations": {
                "items": 0,
                "windows": [{"start": None, "end": None}],
                "scan": {"complete": True, "down_to": None, "state": "idle"},
                "requests": {
                    "list": 2,
                    "get": 0,
                    "audio_size": 0,
                    "audio": 0,
                    "attachment": 0,
                    "delete": 0,
                },
                "last_error": None,
                "outage": None,
            }
        },
        "outage": None,
        "left_out": [],
        "others": [],
    }
    assert text.out.startswith(f"{mount.path}\n  histfs ")
    assert error in text.out
    assert all(line.isprintable() for line in text.out.splitlines())


@pytest.mark.fuse
def test_its_file_is_not_listed_but_is_a_file_like_any_other(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding) as mount:
        file = mount.path / STATUS_NAME
        assert STATUS_NAME not in os.listdir(mount.path)
        with file.open("rb") as opened:
            there = os.fstat(opened.fileno())
            content = opened.read()
        assert (stat.S_IMODE(there.st_mode), there.st_nlink) == (0o400, 1)
        assert there.st_size == file.stat().st_size == len(content) == 4096
        assert Status.from_json(content).pid == mount.process.pid
        touch = partial(os.utime, file, (1, 1))
        for refused in (file.unlink, lambda: file.rename(mount.path / "x"), touch):
            with pytest.raises(OSError) as caught:
                refused()
            assert caught.value.errno == errno.EPERM
        assert file.read_bytes() == content


@pytest.mark.fuse
@pytest.mark.parametrize("binding", ["mfusepy"], indirect=True)
def test_a_mount_whose_process_has_died_comes_with_what_to_do(simulator, tmp_path, binding, run):
    with mounted(simulator, tmp_path, binding) as mount:
        mount.kill()
        done = run("status", mount.path)
    assert done.status == 69
    assert f"histfs umount {mount.path}" in done.line


@pytest.mark.fuse
@pytest.mark.parametrize("binding", ["mfusepy"], indirect=True)
def test_a_mount_whose_process_stands_still_does_not_hold_up_the_others(
    simulator, tmp_path, binding, run, monkeypatch
):
    monkeypatch.setattr("histfs.cli.status._TIMEOUT", 0.5)
    with mounted(simulator, tmp_path, binding) as mount:
        mount.process.send_signal(signal.SIGSTOP)
        try:
            done = run("status", mount.path)
            every = run("status")
        finally:
            mount.process.send_signal(signal.SIGCONT)
    assert "does not answer within" in done.err
    assert str(mount.path) in every.err


# Several, and none


def test_without_a_path_each_mount_is_told_one_after_the_other(run, table):
    for name in ("b", "a"):
        table(name, status(mountpoint=f"/{name}").to_file())
    done = run("status")
    assert (done.status, done.err) == (0, "")
    assert [line for line in done.out.splitlines() if line[0] == "/"] == ["/b", "/a"]
    done = run("status", "--json")
    assert [json.loads(line)["mountpoint"] for line in done.out.splitlines()] == ["/b", "/a"]


def test_one_that_can_not_be_asked_does_not_hide_the_others(run, table):
    table("old")
    table("new", status().to_file())
    done = run("status")
    assert done.status == 69
    assert len(done.err.splitlines()) == 1
    assert "/home/you/history" in done.out


def test_no_mount_at_all_is_no_error(run, table):
    done = run("status")
    assert (done.status, done.out, done.err) == (0, "No histfs is mounted.\n", "")
    done = run("status", "--json")
    assert (done.status, done.out, done.err) == (0, "", "")


# What is no status


@pytest.mark.parametrize("name", ["missing", "mnt", "mnt/below"])
def test_a_place_without_a_histfs_is_refused(run, place, name):
    done = run("status", place.parent / name)
    assert done.status == 2
    assert done.line.endswith(f"no histfs is mounted on {place.parent / name}")


@pytest.mark.parametrize(
    "content", [None, b"", b"{}", b"not JSON", b"[" * (1 << 21), b'{"pid": "\x1b[2J"}']
)
def test_a_histfs_without_a_status_that_can_be_read_is_of_another_version(run, table, content):
    place = table("place", content)
    done = run("status", place)
    assert done.status == 69
    assert str(place) in done.line
    assert "another version of histfs" in done.line


def test_a_status_that_can_not_be_opened_says_why(run, table):
    place = table("place")
    (place / STATUS_NAME).mkdir()
    done = run("status", place)
    assert done.status == 69
    assert "Is a directory" in done.line


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_strangers_text_can_not_write_to_the_terminal(run, table, arguments):
    odd = "\x1b[2J\x9b1m\n"
    table(f"old{odd}")
    table(f"new{odd}", status(mountpoint=odd, last_error=FailureStatus(NOON, odd)).to_file())
    done = run("status", *arguments)
    assert all(line.isprintable() for line in (done.out + done.err).splitlines())
    assert done.err.count("\n") == 1
