"""`scripts/setup` on machines that lack something: what it says, and how it ends."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

SETUP = Path(__file__).parents[1] / "scripts" / "setup"
LINE = "apt-get update && apt-get install --no-install-recommends -y fuse3 python3-venv"
NOTICE = "DEPRECATION: building fusepy with setup.py is deprecated"

#: A python3 that has no ensurepip, and makes a virtual environment whose pip runs ./pip.
PYTHON = r"""
case "$*" in
  *version_info*) exit ${OLD:-0} ;;
  *ensurepip*) exit 1 ;;
  --version) echo "Python 3.9.2" ;;
  "-m venv --clear .venv") mkdir -p .venv/bin; cp pip .venv/bin/pip ;;
esac
"""


class Done(NamedTuple):
    status: int
    out: str
    err: str


class Machine:
    """A copy of the script, with programs that are not the real ones."""

    def __init__(self, place):
        self._place = place
        self._bin = place / "bin"
        (place / "scripts").mkdir()
        (place / "histfs").mkdir()
        self._bin.mkdir()
        shutil.copy(SETUP, place / "scripts")
        for name in ("pyproject.toml", "histfs/__init__.py"):
            (place / name).touch()
        for name in ("bash", "sh", "dirname", "grep", "sed", "env", "mkdir", "cp", "touch", "cat"):
            (self._bin / name).symlink_to(shutil.which(name))
        self.has("ldconfig")
        self.has("id", "echo 1000")
        self.has("python3", PYTHON)
        self.pip("true")

    def has(self, name, script="true"):
        self._write(self._bin / name, script)

    def pip(self, script):
        self._write(self._place / "pip", script)

    def set_up(self, **variables):
        line = [str(self._bin / "bash"), "scripts/setup"]
        done = subprocess.run(
            line, cwd=self._place, env={"PATH": str(self._bin), **variables},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def _write(self, path, script):
        path.write_text(f"#!{self._bin}/sh\n{script}\n")
        path.chmod(0o755)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_without_sudo_it_says_what_root_has_to_run(machine):
    machine.has("apt-get")
    done = machine.set_up()
    assert (done.status, done.out) == (1, "")
    assert done.err.splitlines() == [
        "scripts/setup: these packages are missing: fuse3 python3-venv",
        "sudo is not installed. Run this line as root, then run this script again:",
        f"  {LINE}",
    ]


def test_where_sudo_refuses_it_says_so_and_what_root_has_to_run(machine):
    machine.has("apt-get")
    machine.has("sudo", "echo 'ann is not in the sudoers file.' >&2; exit 1")
    done = machine.set_up()
    assert done.status == 1
    assert done.err.count("ann is not in the sudoers file.") == 1  # asked once
    assert done.err.splitlines()[-1] == f"  {LINE}"


def test_without_apt_it_says_what_is_missing(machine):
    done = machine.set_up()
    assert (done.status, done.out) == (1, "")
    assert "fusermount3, libfuse3.so, Python with venv and pip" in done.err
    assert "There is no apt-get here." in done.err
    assert "fuse3 python3-venv" in done.err


def test_a_python_that_is_too_old_is_said_before_anything_is_installed(machine):
    machine.has("apt-get", "echo installed > installed")
    done = machine.set_up(OLD="1")
    assert (done.status, done.out) == (1, "")
    assert done.err == "scripts/setup: Python 3.10 or newer is needed; this is Python 3.9.2\n"


@pytest.mark.parametrize("user", ["root", "sudo"])
def test_what_succeeds_shows_no_notices(machine, user):
    machine.has("apt-get", 'echo "$@" >> calls; echo "debconf: delaying configuration" >&2')
    if user == "root":
        machine.has("id", "echo 0")
    else:
        machine.has("sudo", 'exec "$@"')
    machine.pip(f"echo '{NOTICE}' >&2")
    done = machine.set_up()
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "==> Installing fuse3 python3-venv",
        "==> Making .venv",
        "==> Installing histfs and its Python packages into .venv",
    ]


def test_an_error_of_pip_is_shown_and_tried_again_the_next_time(machine):
    machine.has("id", "echo 0")
    machine.has("apt-get")
    machine.pip("echo 'ERROR: no connection to the index'; exit 1")
    for _ in range(2):
        done = machine.set_up()
        assert done.status == 1
        assert "ERROR: no connection to the index" in done.err
        assert "scripts/setup: pip can't install the Python packages" in done.err
