"""Messages to the service manager, and the units."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from histfs import systemd
from tests.support.mounts import mounted

UNITS = Path(__file__).parent.parent / "share" / "systemd" / "user"


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path, monkeypatch):
    """The socket of a service manager."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(20)
        channel.bind(path if request.param == "path" else f"\0{path}")
        monkeypatch.setenv("NOTIFY_SOCKET", path if request.param == "path" else f"@{path}")
        yield channel


def test_assignments_reach_the_service_manager_in_one_message(manager):
    systemd.notify("READY=1", "STATUS=é")
    assert manager.recv(4096) == "READY=1\nSTATUS=é".encode()


def test_a_state_is_reported_when_it_has_changed_and_the_end_too(manager, monkeypatch):
    monkeypatch.setattr(systemd, "_INTERVAL", 0.01)
    states = iter(["one", "one", "two"])
    with systemd.reporting(lambda: next(states, "two")):
        assert manager.recv(4096) == b"STATUS=one"
        assert manager.recv(4096) == b"STATUS=two"
    assert manager.recv(4096) == b"STOPPING=1"


def test_without_a_service_manager_nothing_is_reported(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify("READY=1")
    with systemd.reporting(lambda: pytest.fail("nobody asked")):
        pass


def test_a_service_manager_that_is_gone_is_a_line_in_the_log(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nothing"))
    systemd.notify("READY=1")
    assert "No such file" in caplog.text


@pytest.mark.fuse
@pytest.mark.parametrize("manager", ["path"], indirect=True)
def test_a_mount_is_ready_when_it_can_be_used_and_tells_what_is_known(
    manager, simulator, tmp_path, binding
):
    variable = {"NOTIFY_SOCKET": os.environ["NOTIFY_SOCKET"]}
    with mounted(simulator, tmp_path, binding, env=variable) as mount:
        assert manager.recv(4096) == b"READY=1"
        assert list(mount.path.iterdir())
        assert manager.recv(4096).startswith(b"STATUS=default: ")
    assert manager.recv(4096).endswith(b"STOPPING=1")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path):
    for unit in UNITS.iterdir():
        # An instance, with the histfs of this interpreter.
        text = unit.read_text().replace("ExecStart=histfs", f"ExecStart={sys.executable}")
        text = text.replace("ExecStopPost=-histfs", f"ExecStopPost=-{sys.executable}")
        (tmp_path / unit.name.replace("@", "@default")).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", *sorted(tmp_path.iterdir())],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
