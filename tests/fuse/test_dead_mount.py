"""A mountpoint whose mount has died: a histfs makes way for the next one, and nothing else does."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import threading

import pytest

from histfs.fuse import mount_replacement
from histfs.fuse.mountpoint import mounted_histfs, mounted_on, unmount
from histfs.simulator import Fault
from tests.support.eventually import eventually
from tests.support.mounts import TIMEOUT, command, environment, mounted

pytestmark = pytest.mark.fuse

#: An empty filesystem of another type than ours.
OTHER = """
import importlib, sys
module = importlib.import_module(sys.argv[1])
module.FUSE(module.Operations(), sys.argv[2], foreground=True, subtype="other")
"""
MODULES = {"fusepy": "fuse", "mfusepy": "mfusepy"}


def is_dead(path):
    try:
        os.listdir(path)
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


def mount_on(path, simulator, binding, *arguments, cache="cache"):
    """Run a mount in the background; return its exit status and what it says."""
    line = command(
        "mount", path, "--base-url", simulator.base_url, "--cache-dir", path.with_name(cache),
        *arguments,
    )  # fmt: skip
    env = environment(binding, simulator.api_key)
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.stdout == ""
    return done.returncode, done.stderr


def killed(process):
    process.kill()
    process.wait(TIMEOUT)


@contextlib.contextmanager
def sampled(path):
    """List a directory all the time; yield the set of what came: names, or an errno."""
    seen, stop = set(), threading.Event()

    def sample():
        while not stop.is_set():
            try:
                seen.add(tuple(sorted(os.listdir(path))))
            except OSError as error:
                seen.add(error.errno)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def backed_up(path, backup):
    """Mirror a mount as a backup does; return the exit status of rsync."""
    line = ["rsync", "-a", "--delete", f"{path}/", f"{backup}/"]
    return subprocess.run(line, capture_output=True, check=False).returncode


#: What keeps the next mount from coming up: the server, or an option that is only refused when
#: libfuse mounts.
FAILURES = {
    "refused": (Fault("GET", "reset"), []),
    "hanging": (Fault("GET", "hang"), []),
    "key refused": (Fault("GET", "status", status=401), []),
    "not mounted": (None, ["-o", "max_read=nonsense"]),
}


@pytest.mark.skipif(shutil.which("rsync") is None, reason="there is no rsync")
@pytest.mark.parametrize("failure", FAILURES)
def test_while_the_next_mount_fails_and_after_it_the_dead_one_stays(
    simulator, tmp_path, binding, failure
):
    fault, options = FAILURES[failure]
    if options and os.geteuid() != 0:
        pytest.skip("only root mounts elsewhere first")
    backup = tmp_path / "backup"
    with mounted(simulator, tmp_path, binding) as mount:
        assert backed_up(mount.path, backup) == 0
        kept = sorted(backup.rglob("*"))
        mount.kill()
        assert is_dead(mount.path)
        if fault is not None:
            simulator.faults.add(fault)
        with sampled(mount.path) as seen:
            arguments = ["--timeout", 2, *options]
            status, said = mount_on(mount.path, simulator, binding, *arguments, cache="other")
        assert status not in (0, 70), said
        assert seen == {errno.ENOTCONN}
        assert is_dead(mount.path)
        assert backed_up(mount.path, backup) != 0
        assert sorted(backup.rglob("*")) == kept


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may attach a mount beneath another")
def test_root_replaces_a_dead_mount_without_a_moment_in_which_nothing_is_there(
    simulator, tmp_path, binding, monkeypatch
):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with mounted(simulator, tmp_path, binding) as mount:
        names = tuple(sorted(os.listdir(mount.path)))
        mount.kill()
        assert is_dead(mount.path)
        with sampled(mount.path) as seen:
            assert mount_on(mount.path, simulator, binding)[0] == 0
            eventually(lambda: names in seen)
        assert seen == {errno.ENOTCONN, names}
        assert [each for each in mounted_histfs() if tmp_path in each.parents] == [mount.path]
        subprocess.run(["umount", mount.path], check=True)
        assert mounted_on(mount.path) is None
        eventually(lambda: not os.listdir(temporary))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount by itself")
@pytest.mark.parametrize("binding", ["mfusepy"], indirect=True)
def test_an_older_kernel_detaches_the_dead_mount_only_where_the_next_can_be_attached(
    simulator, tmp_path, binding
):
    with mounted(simulator, tmp_path, binding) as mount:
        mount.kill()
        with mounted(simulator, tmp_path / "private", binding) as new:
            with pytest.raises(mount_replacement.MountpointError):
                mount_replacement._attach_after_detaching(tmp_path / "missing", mount.path)
            assert is_dead(mount.path)
            mount_replacement._attach_after_detaching(new.path, mount.path)
            assert len(mount.items()) == len(simulator.library)
            subprocess.run(["umount", mount.path], check=True)
            assert mounted_on(mount.path) is None


def test_a_signal_ends_a_mount_that_replaced_a_dead_one(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding) as mount:
        mount.kill()
        with mounted(simulator, tmp_path, binding) as replacing_it:
            eventually(lambda: len(replacing_it.items()) == len(simulator.library))
            replacing_it.process.terminate()
            assert replacing_it.process.wait(TIMEOUT) == 0
            assert mounted_on(mount.path) is None
            assert "failed to unmount" not in replacing_it.log.read_text()


def test_a_dead_histfs_is_detached_and_the_next_one_is_mounted(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding) as mount:
        inside = os.open(mount.path / "by-date", os.O_RDONLY)
        try:
            mount.kill()
            assert is_dead(mount.path)
            said = f"histfs: a histfs whose process had died was detached from {mount.path}\n"
            assert mount_on(mount.path, simulator, binding) == (0, said)
            assert len(mount.items()) == len(simulator.library)
            unmount(mount.path, lazy=False)
            assert mounted_on(mount.path) is None
        finally:
            os.close(inside)


def test_a_dead_mount_of_another_filesystem_is_left_alone(simulator, tmp_path, binding):
    place = tmp_path / "mnt"
    place.mkdir()
    env = environment(binding, FUSE_LIBRARY_NAME="fuse3")
    other = subprocess.Popen([sys.executable, "-c", OTHER, MODULES[binding], place], env=env)
    try:
        eventually(lambda: mounted_on(place))
        killed(other)
        assert is_dead(place)
        said = (
            f"histfs: {place} holds a mount (fuse.other) whose process has died: "
            f"run fusermount -u {place}\n"
        )
        assert mount_on(place, simulator, binding) == (2, said)
        assert is_dead(place)
        assert mounted_on(place).kind == "fuse.other"
    finally:
        killed(other)
        subprocess.run(["umount", "-l", place], check=True)


def test_a_histfs_that_lives_is_left_alone(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding) as mount:
        status, said = mount_on(mount.path, simulator, binding)
        assert status == 2
        assert "is mounted on" in said
        assert len(mount.items()) == len(simulator.library)
