"""mount.histfs, as mount(8) calls it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from histfs.fuse.mountpoint import mounted_on
from histfs.mount_helper import parse

HELPER = Path("/sbin/mount.histfs")


def command(options):
    return list(parse(["work", "/mnt", "-o", options]).command)


def test_a_line_of_fstab_becomes_a_command_of_histfs():
    request = parse(["work", "/home/u/history", "-n", "-o", "rw,user=u,_netdev,nofail,x-a.b=c,ro"])
    assert request.user == "u"
    assert request.command == [
        "mount", "--profile", "work", "-o", "rw", "-o", "_netdev", "-o", "nofail", "-o", "ro",
        "-o", "fsname=work", "--", "/home/u/history",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ("timeout=60", ["--timeout", "60"]),
        ("read_only", ["--read-only"]),
        ("audio-cache-size=1G,umask=022", ["--audio-cache-size", "1G", "-o", "umask=022"]),
        ("api-key-file=/k=1", ["--api-key-file", "/k=1"]),
        ("relatime,sync,comment=x,X-y", ["-o", "relatime"]),
        ("nonsense=1", ["-o", "nonsense=1"]),
        ("timeout", ["-o", "timeout"]),
    ],
)
def test_options_of_histfs_go_by_their_names_and_those_of_mount_change_nothing(options, arguments):
    assert command(options)[3:-4] == arguments


def test_several_profiles_are_mounted_together():
    assert parse(["a,b", "/mnt"]).command[1:3] == ["--profiles", "a,b"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["work", "/mnt", "-o", "remount,ro"], "remount is not supported"),
        (["work", "mnt"], "give an absolute path"),
        (["work", "/mnt", "-N", "/proc/1/ns/mnt"], "-N is not supported"),
        (["work"], "Missing argument"),
    ],
)
def test_what_it_cannot_do_ends_with_32_and_one_line(arguments, line, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 32
    assert line in capsys.readouterr().err


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-c", "from histfs.mount_helper import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        pytest.param(
            "rw",
            "whose history is it?",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="root is asked"),
        ),
        ("user=no-such-user", "there is no such user"),
    ],
)
def test_it_is_told_whose_history_it_is(options, line, tmp_path):
    done = run("default", str(tmp_path), "-o", options)
    assert done.returncode == 32
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_fake_mount_mounts_nothing(tmp_path):
    done = run("default", str(tmp_path), "-fv", "-o", "user=root")
    assert (done.returncode, done.stderr) == (0, "")
    assert "histfs mount --profile default" in done.stdout
    assert mounted_on(tmp_path) is None


@pytest.mark.fuse
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may use /sbin and fstab")
def test_mount_and_umount_by_a_line_of_fstab(simulator, tmp_path):
    if HELPER.exists() or shutil.which("mount") is None:
        pytest.skip("there is another mount.histfs")
    user = pwd.getpwuid(os.geteuid()).pw_name
    place, key, table = tmp_path / "mnt", tmp_path / "key", tmp_path / "fstab"
    place.mkdir()
    key.write_text(simulator.api_key)
    key.chmod(0o600)
    options = {
        "base-url": simulator.base_url,
        "api-key-file": key,
        "cache-dir": tmp_path / "cache",
        "trash": tmp_path / "trash",
    }
    named = ",".join(f"{name}={value}" for name, value in options.items())
    table.write_text(f"default {place} histfs user={user},_netdev,nofail,{named} 0 0\n")
    HELPER.symlink_to(Path(sys.executable).parent / "mount.histfs")
    try:
        for _ in range(2):  # the second finds it mounted
            subprocess.run(["mount", "-a", "-T", table], check=True, env={})
            assert mounted_on(place) == ("fuse.histfs", "default")
        assert list((place / "by-date").iterdir())
    finally:
        HELPER.unlink()
        subprocess.run(["umount", place], check=True)
    mounts = Path("/proc/self/mounts").read_text()
    assert str(place) not in mounts
