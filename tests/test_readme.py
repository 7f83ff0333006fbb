"""The README: its length, and its commands, which run as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.mounts import mounted_on

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
#: What makes mpv play into nothing, faster than sound.
MPV = "ao=null\nao-null-untimed=yes\n"


def block(section: str) -> str:
    """Return the first block of commands of a section."""
    after = README.split(f"\n{section}\n", 1)[1]
    return re.search(r"^```\n(.*?)^```$", after, re.MULTILINE | re.DOTALL)[1]


def test_it_can_be_read_in_a_few_minutes():
    assert len(README.split()) <= 900


@pytest.fixture
def home(simulator, tmp_path):
    """Return the home of a user who has histfs and a server, and whose mount ends with the test."""
    program = tmp_path / ".local" / "bin" / "histfs"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m histfs "$@"\n')
    program.chmod(0o755)
    (tmp_path / "mpv").mkdir()
    (tmp_path / "mpv" / "mpv.conf").write_text(MPV)
    (tmp_path / "history").mkdir()
    yield tmp_path
    subprocess.run([program, "umount", tmp_path / "history"], capture_output=True, check=False)
    eventually(lambda: mounted_on(tmp_path / "history") is None)


def run(home, simulator, script, stdin=""):
    """Run a script in the home, and return what it printed; any failure is one of the test."""
    kept = {name: os.environ[name] for name in ("HISTFS_REQUIRE_FUSE",) if name in os.environ}
    done = subprocess.run(
        ["bash", "-euc", script],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=home,
        env={
            **kept,
            "HOME": str(home),
            "HISTFS_BASE_URL": simulator.base_url,
            "LANG": "C.UTF-8",
            "MPV_HOME": str(home / "mpv"),
            "PATH": f"{home / '.local' / 'bin'}:{os.environ['PATH']}",
        },
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.fuse
@pytest.mark.skipif(shutil.which("mpv") is None, reason="mpv is not installed")
def test_the_first_five_lines_lead_from_nothing_to_sound(home, simulator):
    lines = block("From nothing to sound, without an account:").splitlines()
    installing, using = lines[:2], lines[2:]
    assert [line.split()[0] for line in installing] == ["sudo", "pipx"]
    assert "Audio" in run(home, simulator, "\n".join(using))


@pytest.mark.fuse
def test_a_history_is_mounted_and_backed_up_once(home, simulator):
    run(home, simulator, block("## Your own history"), stdin=f"{simulator.api_key}\n")
    run(home, simulator, block("## Backup"))
    copies = list((home / "backup").rglob("audio.[!s]*"))
    assert len(copies) > 10
    before = {path: path.stat().st_ctime_ns for path in copies}
    (nightly,) = re.findall(r"^0 3 \* \* \*  (.*)$", README, re.MULTILINE)
    assert run(home, simulator, nightly) == ""
    assert {path: path.stat().st_ctime_ns for path in copies} == before


def test_the_sample_configuration_is_understood(home, simulator):
    (sample,) = re.findall(r"^```toml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    config = home / ".config" / "histfs" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(sample)
    shown = run(home, simulator, "histfs config show --profile work")
    for value in ("Europe/Berlin", "pass …"):
        assert value in shown
