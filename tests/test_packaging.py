"""What a wheel installs, and the completion scripts of the shells in it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from histfs.cli import COMMANDS

ROOT = Path(__file__).parent.parent
COMPLETIONS = ROOT / "share" / "completions"


def run(*line: object, **more: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        list(map(str, line)), cwd=ROOT, capture_output=True, text=True, timeout=60, **more
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture
def path(tmp_path):
    """A search path on which `histfs` is this one."""
    program = tmp_path / "bin" / "histfs"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m histfs "$@"\n')
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


def completed_by_bash(line: str, path: str) -> list[str]:
    words = line.split(" ")
    script = f"""
        . {COMPLETIONS}/histfs.bash
        COMP_WORDS=({shlex.join(words)}) COMP_CWORD={len(words) - 1}
        compopt() {{ :; }}
        _histfs_completion histfs
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return run("bash", "-c", script, env={**os.environ, "PATH": path}).stdout.split()


def completed_by_fish(line: str, path: str) -> list[str]:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    script = f"source {COMPLETIONS}/histfs.fish; complete -C {shlex.quote(line)}"
    home = str(Path(path.partition(":")[0]).parent)
    done = run("fish", "--no-config", "-c", script, env={**os.environ, "PATH": path, "HOME": home})
    return [each.partition("\t")[0] for each in done.stdout.splitlines()]


def test_a_wheel_has_the_package_and_what_is_installed_beside_it(tmp_path):
    # hatchling needs no network; scripts/build makes the wheel as pip would.
    line = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    run(*line, "--directory", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    run(sys.executable, ROOT / "scripts" / "check-dist", wheel)


def test_a_wheel_that_lacks_a_page_is_refused(tmp_path):
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    (tmp_path / "less").mkdir()
    less = tmp_path / "less" / wheel.name
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(less, "w") as part:
        for name in whole.namelist():
            if not name.endswith(("histfs.1", "py.typed")):
                part.writestr(name, whole.read(name))
    line = [sys.executable, ROOT / "scripts" / "check-dist", less]
    done = subprocess.run(list(map(str, line)), capture_output=True, text=True)
    assert done.returncode == 1
    assert "share/man/man1/histfs.1 is missing" in done.stderr
    assert "histfs/py.typed is missing" in done.stderr


def test_the_completion_scripts_are_those_of_this_click(tmp_path):
    run(sys.executable, ROOT / "scripts" / "completions", tmp_path)
    made = {file.name: file.read_text() for file in tmp_path.iterdir()}
    kept = {file.name: file.read_text() for file in COMPLETIONS.iterdir()}
    assert made == kept, "run scripts/completions"


@pytest.mark.parametrize("complete", [completed_by_bash, completed_by_fish])
def test_a_shell_completes_commands_and_options(complete, path):
    assert set(complete("histfs ", path)) == set(COMMANDS)
    assert complete("histfs mo", path) == ["mount"]
    assert complete("histfs sync --aud", path) == ["--audio", "--audio-cache-size"]
    assert complete("histfs mount --region e", path) == ["eu"]
    assert complete("histfs trash ex", path) == ["export"]
