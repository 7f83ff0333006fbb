"""`histfs cache verify`: the cache is read again, and no server is asked."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pty
import sqlite3
import subprocess
from pathlib import Path

import pytest

from histfs import logs
from histfs.simulator import Fault
from tests.cli.conftest import TIMEOUT
from tests.support.eventually import eventually
from tests.support.mounts import command, mounted

AUDIO = "GET /v1/history/{id}/audio"


@pytest.fixture
def on_cache(run, tmp_path):
    """Run a command on a simulator's cache, in this process."""

    def on_cache(server, *arguments):
        place = ["--base-url", server.base_url, "--cache-dir", tmp_path / "cache"]
        return run(*arguments, *place, key=server.api_key)

    return on_cache


@pytest.fixture
def verify(on_cache, simulator):
    """Run it; the server must not be asked."""

    def verify(*arguments):
        simulator.counts.reset()
        done = on_cache(simulator, "cache", "verify", *arguments)
        assert simulator.counts.total == 0
        return done

    return verify


@pytest.fixture
def clips(on_cache, simulator, tmp_path) -> dict[str, Path]:
    """The files of all clips, by their ids, in the order in which they are verified."""
    # One of them breaks on its way and is asked for again.
    simulator.faults.add(Fault("/audio", "cut", after=7, count=1))
    assert on_cache(simulator, "sync", "--audio").status == 0
    return {path.name: path for path in sorted((tmp_path / "cache").glob("*/audio/*/*"))}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@contextlib.contextmanager
def catalog(tmp_path):
    (path,) = (tmp_path / "cache").glob("*/catalog.sqlite")
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        yield db


def test_the_checksums_kept_are_those_of_the_files_on_the_server(clips, simulator, tmp_path):
    assert simulator.counts[AUDIO] == 61
    with catalog(tmp_path) as db:
        kept = dict(db.execute("SELECT key, sha256 FROM audio"))
    assert kept == {
        name: hashlib.sha256(bytes(simulator.library.clip(name))).digest()
        for name in simulator.library.ids()
    }


def test_a_cache_that_is_well_is_a_line(verify, clips):
    done = verify()
    assert (done.status, done.err) == (0, "")
    assert done.out == "60 clips, 0 damaged, 0 without a checksum.\n"


def test_an_empty_cache_is_well(verify):
    done = verify()
    assert (done.status, done.out) == (0, "0 clips, 0 damaged, 0 without a checksum.\n")


def test_what_is_damaged_is_told_removed_and_fetched_again(verify, clips, on_cache, simulator):
    one, two, *_ = clips
    flip(clips[one])
    os.truncate(clips[two], 5)
    done = verify()
    assert done.status == 65
    first, second, summary = done.out.splitlines()
    assert first == f"{one}: damaged: its bytes are not those that came (SHA-256)"
    assert second.startswith(f"{two}: damaged: it has 5 bytes, not ")
    assert summary == "60 clips, 2 damaged, 0 without a checksum."
    (line,) = done.err.splitlines()
    assert "2 clips" in line
    assert one in logs.log_file().read_text()
    assert verify().out == "58 clips, 0 damaged, 0 without a checksum.\n"
    assert "Fetched 2 clips (" in on_cache(simulator, "sync", "--audio").out
    assert verify().out == "60 clips, 0 damaged, 0 without a checksum.\n"
    assert clips[one].read_bytes() == bytes(simulator.library.clip(one))


def test_no_clip_has_to_go_though_the_cache_is_larger_than_by_default(verify, clips, monkeypatch):
    monkeypatch.setenv("HISTFS_AUDIO_CACHE_SIZE", "1K")
    assert verify().out.startswith("60 clips, 0 damaged")


def test_clips_that_a_new_catalog_does_not_know_are_counted(verify, clips, tmp_path):
    with catalog(tmp_path) as db:
        db.execute("PRAGMA user_version = 1")
    flip(next(iter(clips.values())))
    done = verify()
    assert (done.status, done.err) == (0, "")
    assert done.out == "60 clips, 0 damaged, 60 without a checksum.\n"


def test_programs_get_one_object(verify, clips, tmp_path):
    one, two, three, *_ = clips
    flip(clips[one])
    clips[two].unlink()
    clips[two].mkdir()
    with catalog(tmp_path) as db:
        db.execute("UPDATE audio SET sha256 = NULL WHERE key = ?", (three,))
    odd = clips[one].parent / os.fsdecode(b"\xff\x1b[2J")
    odd.touch()
    done = verify("--json")
    assert done.status == 65
    (line,) = done.out.splitlines()
    found = json.loads(line)
    assert found == {
        "clips": 60,
        "sound": 57,
        "without_checksum": 1,
        "damaged": [{"name": one, "why": "its bytes are not those that came (SHA-256)"}],
        "unreadable": [{"name": two, "why": "it is not a file"}],
        "foreign": [{"name": f"audio/{odd.parent.name}/{odd.name}", "why": "left alone"}],
    }


def test_what_can_not_be_checked_is_an_error_and_a_strangers_name_is_harmless(verify, clips):
    path = next(iter(clips.values()))
    path.unlink()
    path.mkdir()
    (path.parent / "\x1b[2J\n").touch()
    done = verify()
    assert done.status == 78
    assert all(line.isprintable() for line in (done.out + done.err).splitlines())
    assert len(done.out.splitlines()) == 3
    assert done.out.splitlines()[-1].endswith(
        "60 clips, 0 damaged, 0 without a checksum, 1 that can't be checked."
    )


def test_on_a_terminal_damage_stays_above_the_bar(clips, simulator, tmp_path):
    flip(next(iter(clips.values())))
    line = command(
        "cache", "verify", "--base-url", simulator.base_url, "--cache-dir", tmp_path / "cache"
    )
    env = {**os.environ, "ELEVENLABS_API_KEY": simulator.api_key, "TERM": "xterm"}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(line, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal, contextlib.suppress(OSError):
        while piece := terminal.read(4096):
            shown += piece
    assert process.wait(TIMEOUT) == 65
    text = shown.decode()
    assert f"{next(iter(clips))}: damaged: " in text
    assert "60 clips, 1 damaged, 0 without a checksum." in text


@pytest.mark.fuse
def test_a_mount_goes_on_and_reads_what_is_fetched_anew(verify, simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding) as mount:
        audio = mount.audio()[0]
        content = audio.read_bytes()
        (path,) = eventually(lambda: list((tmp_path / "cache").glob("*/audio/*/*")))
        flip(path)
        with audio.open("rb", buffering=0) as opened:
            damaged = opened.read(len(content))
            assert damaged != content
            assert verify().status == 65
            opened.seek(0)
            assert opened.read(len(content)) == damaged
            assert audio.read_bytes() == content
        eventually(lambda: verify().out == "1 clip, 0 damaged, 0 without a checksum.\n")
