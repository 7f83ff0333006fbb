"""A share of a mount by Samba: two clients at once copy each clip right, cold and warm."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess

import pytest

from tests.support.eventually import eventually
from tests.support.mounts import TIMEOUT, count_clips, id_of, mounted

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(
        not all(map(shutil.which, ("smbd", "smbclient"))), reason="samba is not installed"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="smbd runs as root"),
]

CONFIGURATION = """
[global]
server role = standalone
map to guest = bad user
guest account = root
interfaces = 127.0.0.1
bind interfaces only = yes
smb ports = {port}
load printers = no
disable spoolss = yes
log file = {directory}/log
pid directory = {directory}
lock directory = {directory}
state directory = {directory}
cache directory = {directory}
private dir = {directory}
ncalrpc dir = {directory}
[share]
path = {path}
guest ok = yes
"""


@contextlib.contextmanager
def shared(path, directory):
    """Share a directory; yield the command line of a client."""
    directory.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    configuration = directory / "smb.conf"
    configuration.write_text(CONFIGURATION.format(port=port, directory=directory, path=path))
    line = ["smbd", "--foreground", "--no-process-group", "--configfile", configuration]
    with (directory / "out").open("w") as out:
        # At its end it signals its whole group.
        server = subprocess.Popen(line, stdout=out, stderr=out, start_new_session=True)
    try:
        assert eventually(lambda: answers(port)), (directory / "out").read_text()
        yield ["smbclient", "-N", "-s", configuration, "-p", str(port), "//127.0.0.1/share", "-c"]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(TIMEOUT)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def wrong_clips(simulator, copy):
    found = {id_of(each.parent): each.read_bytes() for each in copy.glob("*/*/*/*/audio.[!s]*")}
    clips = {id_of(each): b"" for each in copy.glob("*/*/*/*")}
    assert len(clips) == len(simulator.library)
    return [id for id in clips if found.get(id) != bytes(simulator.library.clip(id))]


@pytest.mark.parametrize("looked_at", [False, True], ids=["unseen", "shown to another program"])
def test_two_clients_at_once_copy_each_clip(simulator, tmp_path, binding, looked_at):
    with mounted(simulator, tmp_path, binding) as mount, shared(mount.path, tmp_path / "smb") as to:
        for round_ in ("cold", "warm"):
            if looked_at:
                subprocess.run(["ls", "-lR", mount.path / "by-date"], stdout=subprocess.DEVNULL)
            copies = [tmp_path / f"{round_}-{number}" for number in range(2)]
            clients = []
            for copy in copies:
                copy.mkdir()
                line = [*to, "recurse on; prompt off; cd by-date; mget *"]
                output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
                clients.append(subprocess.Popen(line, cwd=copy, **output))
            for client, copy in zip(clients, copies, strict=True):
                said, _ = client.communicate(timeout=100)
                assert client.returncode == 0, said
                assert "NT_STATUS" not in said
                assert wrong_clips(simulator, copy) == []


def test_a_listing_fetches_no_audio(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding) as mount, shared(mount.path, tmp_path / "smb") as to:
        line = [*to, "recurse on; cd by-date; ls"]
        listed = subprocess.run(line, capture_output=True, text=True, timeout=100)
        assert listed.returncode == 0
        assert count_clips(listed.stdout) == len(simulator.library)
        assert simulator.counts["GET /v1/history/{id}/audio"] == 0
