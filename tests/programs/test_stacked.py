"""Filesystems on top of a mount, cold: what is copied out of them is right."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess

import pytest

from histfs.fuse.mountpoint import mounted_on
from tests.support.eventually import eventually
from tests.support.mounts import TIMEOUT, id_of, mounted

pytestmark = pytest.mark.fuse

STACKS = {
    "bindfs": ("bindfs", "-f", "{below}", "{top}"),
    "fuse-overlayfs": ("fuse-overlayfs", "-f", "-o", "lowerdir={below}", "{top}"),
    "mergerfs": ("mergerfs", "-f", "{below}", "{top}"),
    "unionfs": ("unionfs", "-f", "{below}=RO", "{top}"),
    "sshfs": ("sshfs", "-f", "-o", "ssh_command={server}", "host:{below}", "{top}"),
    "rclone": ("rclone", "mount", "--config", "/dev/null", "--links", ":local:{below}", "{top}"),
}
#: Debian's and Fedora's place of the server of SSHFS.
SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server")
COPY = {
    "cp": "cp -r . {copy}",
    "tar": "tar -cf - . | tar -xf - -C {copy}",
    "cat": 'find . -type d -exec mkdir -p {copy}/{{}} ";" &&'
    ' find . -type f -exec sh -c "cat {{}} > {copy}/{{}}" ";"',
}


@contextlib.contextmanager
def stacked(program, below, top):
    """Mount a filesystem on top of another one."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    if program == "fuse-overlayfs" and os.geteuid() != 0:
        pytest.skip("fuse-overlayfs needs root, or a namespace")
    top.mkdir()
    server = next(filter(os.path.exists, SERVERS), None)
    if program == "sshfs" and server is None:
        pytest.skip("there is no sftp-server")
    script = top.with_name("ssh")
    script.write_text(f"#!/bin/sh\nexec {server}\n")
    script.chmod(0o700)
    line = [each.format(below=below, top=top, server=script) for each in STACKS[program]]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert eventually(lambda: mounted_on(top))
        yield
    finally:
        subprocess.run(["umount", "-l", top], check=False)
        process.wait(TIMEOUT)


@pytest.mark.parametrize("copier", COPY)
@pytest.mark.parametrize("program", STACKS)
def test_each_clip_is_copied_right_through_a_filesystem_on_top(
    simulator, tmp_path, binding, program, copier
):
    top, copy = tmp_path / "top", tmp_path / "copy"
    copy.mkdir()
    with mounted(simulator, tmp_path, binding) as mount, stacked(program, mount.path, top):
        line = ["bash", "-o", "pipefail", "-c", COPY[copier].format(copy=copy)]
        assert subprocess.run(line, cwd=top / "by-date", timeout=100).returncode == 0
    clips = {id_of(each.parent): each.read_bytes() for each in copy.glob("*/*/*/*/audio.[!s]*")}
    assert len(clips) == len(simulator.library)
    wrong = [id for id, clip in clips.items() if clip != bytes(simulator.library.clip(id))]
    assert wrong == []
