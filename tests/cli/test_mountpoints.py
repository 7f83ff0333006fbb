"""What is mounted on: another user's directory, a link, the cache; and what is said of it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from histfs.cli.doctor import _line, _verdict
from histfs.cli.doctor_checks import Finding
from histfs.fuse import mountpoint
from histfs.fuse.mountpoint import mounted_on
from tests.cli.conftest import TIMEOUT
from tests.support.mounts import command
from tests.support.terminal import read_to_end

USER = 54321


@pytest.fixture
def user(monkeypatch):
    """Make this process look like that of a user who is not root."""
    monkeypatch.setattr(mountpoint.os, "geteuid", lambda: USER)
    monkeypatch.setattr(mountpoint.shutil, "which", lambda name: f"/usr/bin/{name}")
    return USER


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_directory_of_root_is_told_to_a_user_before_anything_is_mounted():
    # After the imports: the user may not find the way to the interpreter's own directory.
    code = (
        "import os; from pathlib import Path; from histfs.fuse import mountpoint\n"
        f"os.setgid({USER}); os.setuid({USER})\n"
        "try: mountpoint.check_mountpoint(Path('/srv'), nonempty=True)\n"
        "except mountpoint.MountpointError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "/srv belongs to root: mount on a directory of your own\n", done.stderr


def test_a_directory_for_all_with_the_sticky_bit_is_not_ones_own(run, user, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    owner = "root" if os.geteuid() == 0 else f"user {os.getuid()}"
    done = run("mount", "-f", "--demo", shared)
    assert (done.status, f"{shared} belongs to" in done.line) == (2, True), owner


def test_allow_other_that_root_has_not_allowed_is_told_alone(
    run, user, place, tmp_path, monkeypatch
):
    monkeypatch.setattr(mountpoint, "FUSE_CONFIG", tmp_path / "fuse.conf")
    (tmp_path / "fuse.conf").write_text("#user_allow_other\n")
    for option in ("allow_other", "allow_root"):
        done = run("mount", "-f", "-o", f"{option},umask=022", "--demo", place)
        assert done.status == 2
        assert done.line == (
            "histfs: allow_other needs the line user_allow_other in"
            f" {tmp_path}/fuse.conf: add it as root"
        )


def test_without_fusermount_a_user_is_told_what_to_install(run, user, place, monkeypatch):
    monkeypatch.setattr(mountpoint.shutil, "which", lambda name: None)
    done = run("mount", "-f", "--demo", place)
    assert (done.status, "apt install fuse3" in done.line) == (69, True)


def test_without_a_device_the_container_is_named(run, place, tmp_path, monkeypatch):
    monkeypatch.setattr(mountpoint, "_DEVICE", tmp_path / "none")
    done = run("mount", "-f", "--demo", place)
    assert (done.status, "--device /dev/fuse" in done.line) == (69, True)


@pytest.mark.parametrize("command_", ["mount", "umount", "status", "doctor"])
def test_an_empty_mountpoint_is_not_the_working_directory(run, command_):
    done = run(command_, "")
    assert (done.status, "it is empty" in done.line) == (2, True)


@pytest.mark.parametrize("option", ["--cache-dir", "--trash"])
def test_what_is_inside_the_mountpoint_is_refused(run, place, tmp_path, option):
    (tmp_path / "link").symlink_to(place)
    for inside in (place / "cache", place, tmp_path / "link" / "cache"):
        done = run("mount", "-f", place, option, inside)
        assert done.status == 2
        assert f"is inside the mountpoint {place}" in done.line
        assert option in done.line


@pytest.mark.fuse
def test_a_link_to_a_mountpoint_is_mounted_on_unmounted_and_recovered(
    spawn, simulator, place, tmp_path, binding
):
    link = tmp_path / "link"
    link.symlink_to(place)
    arguments = [link, "--base-url", simulator.base_url, "--cache-dir", tmp_path / "cache"]
    env = {"ELEVENLABS_API_KEY": simulator.api_key, "HISTFS_FUSE": binding}
    try:
        assert spawn("mount", *arguments, **env).status == 0
        assert os.listdir(link)
        assert spawn("status", link).status == 0
        for process in processes_of(place):
            os.kill(process, signal.SIGKILL)
        again = spawn("mount", *arguments, **env)
        assert (again.status, "had died" in again.err) == (0, True), again
        assert os.listdir(link)
        done = spawn("umount", link)
        assert (done.status, done.err) == (0, "")
    finally:
        if mounted_on(place):
            subprocess.run(["umount", "-l", place], check=False)
    assert mounted_on(place) is None


def processes_of(place):
    """Return the processes that serve a mount, whatever name it was given."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue  # it has ended
        if b"histfs\0mount\0" in line and os.fsencode(place.parent) in line:
            found.append(int(path.parent.name))
    return found


def on_a_terminal(*arguments, env):
    """Run a command on a terminal, and return what it shows there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(*arguments), env={**os.environ, **env}, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = read_to_end(ours)
    assert process.wait(TIMEOUT) == 0
    return shown.decode()


@pytest.mark.fuse
@pytest.mark.parametrize(
    ("more", "said"),
    [([], "(rm deletes from the account, after a copy into the trash)"),
     (["--read-only"], "(read-only)"), (["--no-trash"], "without a copy"), (["-q"], None)],
)  # fmt: skip
def test_on_a_terminal_a_mount_says_where_and_what_in_one_line(
    simulator, place, tmp_path, binding, more, said
):
    arguments = [place, "--base-url", simulator.base_url, "--cache-dir", tmp_path / "cache", *more]
    env = {"ELEVENLABS_API_KEY": simulator.api_key, "HISTFS_FUSE": binding}
    try:
        shown = on_a_terminal("mount", *arguments, env=env)
    finally:
        subprocess.run(["umount", "-l", place], check=False)
    if said is None:
        assert shown == ""
    else:
        (line,) = shown.splitlines()
        assert line.startswith(f"Your history is mounted on {place} (")
        assert said in line
        assert line.endswith(f"histfs umount {place}")
    deadline = time.monotonic() + TIMEOUT
    while processes_of(place):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_lines_of_doctor_have_colours_and_no_escapes_of_strangers():
    line = _line(Finding("key", "fail", "x\x1b[2J"))
    assert "\x1b[31m" in line
    assert "\x1b[2J" not in line
    assert "1 warning" in _verdict([Finding("key", "warn", "x"), Finding("cache", "ok", "x")])
    assert "see key." in _verdict([Finding("key", "fail", "x"), Finding("cache", "ok", "x")])
