"""A mountpoint whose mount has died: a histfs makes way for the next one, and nothing else does."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from histfs.fuse.mountpoint import mounted_on, unmount
from tests.support.mounts import PATIENCE, command, environment, mounted
from tests.support.patience import eventually

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


def mount_on(path, simulator, binding):
    """Run a mount in the background; return its exit status and what it says."""
    line = command(
        "mount", path, "--base-url", simulator.base_url, "--cache-dir", path.with_name("cache")
    )
    env = environment(binding, simulator.api_key)
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == ""
    return done.returncode, done.stderr


def killed(process):
    process.kill()
    process.wait(PATIENCE)


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
