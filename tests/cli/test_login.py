"""`histfs login`, `histfs logout`: a key is tried, kept for its user alone, found, and removed."""

from __future__ import annotations

import io
import os
import pty
import stat
import subprocess
import sys
import time
import types
from pathlib import Path

import platformdirs
import pytest

from histfs.simulator import Fault
from tests.cli.conftest import KEY, TIMEOUT
from tests.support.mounts import command


@pytest.fixture
def login(run, server, monkeypatch):
    """Log in with a key that comes from a pipe."""

    def login(key, *arguments, **env):
        monkeypatch.setattr(sys, "stdin", io.StringIO(key))
        return run("login", "--base-url", server.base_url, *arguments, key=None, **env)

    return login


@pytest.fixture
def keys() -> Path:
    """The directory of the keys that are kept."""
    return platformdirs.user_config_path("histfs") / "keys"


class FakeKeyring(types.ModuleType):
    """The package keyring, with what it keeps."""

    def __init__(self, priority=5.0):
        super().__init__("keyring")
        self.kept, self.failing = {}, False
        self.backend = types.SimpleNamespace(priority=priority, name="a wallet")
        self.errors = types.SimpleNamespace(PasswordDeleteError=KeyError)

    def get_keyring(self):
        return self.backend

    def set_password(self, service, name, key):
        if self.failing:
            raise RuntimeError("no session")
        self.kept[service, name] = key

    def get_password(self, service, name):
        if self.failing:
            raise RuntimeError("it is locked")
        return self.kept.get((service, name))

    def delete_password(self, service, name):
        del self.kept[service, name]


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)


@pytest.fixture
def keyring(monkeypatch):
    fake = FakeKeyring()
    monkeypatch.setitem(sys.modules, "keyring", fake)
    return fake


def test_a_key_is_tried_kept_for_its_user_alone_and_found_by_the_other_commands(
    login, run, server, keys, tmp_path
):
    done = login(f"{KEY}\n")
    assert (done.status, done.err) == (0, "")
    assert "+ list history" in done.out
    assert "+ audio of history" in done.out
    assert "delete" in done.out
    assert "not tried" in done.out
    (file,) = keys.iterdir()
    assert file.read_text() == f"{KEY}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert {record.method for record in server.counts.log} == {"GET"}
    place = ["--base-url", server.base_url, "--cache-dir", tmp_path]
    assert run("ls", *place, key=None).status == 0
    assert f"from histfs login ({file})" in run("doctor", *place, key=None).out
    done = run("logout", key=None)
    assert (done.status, done.out) == (0, f"Removed the key from {file}.\n")
    assert run("ls", *place, key=None).status == 77
    assert "No key is kept" in run("logout", key=None).out


def test_a_key_that_the_server_does_not_know_is_not_kept(login, keys):
    done = login("sk_wrong_0123456789")
    assert done.status == 77
    assert "Invalid API key" in done.line
    assert not keys.exists()


def test_a_server_that_can_not_be_asked_keeps_nothing(login, server, keys):
    server.faults.add(Fault("GET", "status", status=400))
    assert login(KEY).status == 69
    assert not keys.exists()


def test_what_a_key_may_not_do_is_told_and_one_that_may_read_nothing_is_not_kept(
    login, server, keys
):
    server.permissions = frozenset({"speech_history_read"})
    done = login(KEY)
    assert done.status == 0
    assert "- list conversations" in done.out
    assert "convai_read" in done.out
    assert "+ audio of history" in done.out
    (file,) = keys.iterdir()
    file.unlink()
    done = login("writer")
    assert done.status == 1
    assert "may read nothing" in done.err
    assert list(keys.iterdir()) == []


@pytest.mark.parametrize(
    "text", [f'"{KEY}"', f"ELEVENLABS_API_KEY={KEY}\n", f"  ELEVENLABS_API_KEY='{KEY}' \n"]
)
def test_a_key_is_understood_as_it_is_copied(login, keys, text):
    assert login(text).status == 0
    assert next(keys.iterdir()).read_text() == f"{KEY}\n"


def test_a_variable_that_is_not_read_is_named(run, monkeypatch):
    monkeypatch.setattr("histfs.keys._unread", set())
    assert "is not read" not in run("ls", key=None).line
    done = run("ls", key=None, HISTFS_API_KEY=KEY, XI_API_KEY=KEY)
    assert "no API key (HISTFS_API_KEY, XI_API_KEY is not read)" in done.line


@pytest.mark.parametrize("text", ["", "\n", "two words\n"])
def test_what_is_no_key_is_not_sent(login, server, keys, text):
    assert login(text).status in (77, 78)
    assert server.counts.total == 0
    assert not keys.exists()


def test_the_variable_counts_more_than_the_kept_key_but_not_for_a_profile(
    login, run, server, tmp_path
):
    config = tmp_path / "config.toml"
    config.write_text(f"base-url = '{server.base_url}'\n[profiles.work]\n[profiles.home]\n")
    login(KEY)
    login(KEY, "--config", config, "--profile", "work")

    def origin(*arguments, key=None):
        line = run("config", "show", "--config", config, *arguments, key=key).out.splitlines()[1]
        return line.split(maxsplit=2)[2]

    assert origin().startswith("histfs login (")
    assert "work." in origin("--profile", "work")
    # One profile's key is never sent to the server of another one.
    assert origin("--profile", "home").startswith("no API key")
    assert "histfs login --profile home" in origin("--profile", "home")
    assert "work." in origin("--profile", "work", key="from-variable")
    assert origin("--profile", "home", key="from-variable") == "the variable ELEVENLABS_API_KEY"
    assert origin(key="from-variable") == "the variable ELEVENLABS_API_KEY"
    flag = ["--api-key-command", "echo other-key"]
    assert origin("--profile", "work", *flag) == "the command echo"


def test_profiles_side_by_side_may_have_kept_keys(login, run, server, place, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(f"base-url = '{server.base_url}'\n[profiles.work]\n[profiles.home]\n")
    login(KEY, "--config", config, "--profile", "work")
    both = ["mount", place, "--config", config, "--profiles", "work,home"]
    done = run(*both, key=None)
    assert done.status == 2
    assert "which key is that of the profile home?" in done.line


def test_a_kept_key_that_others_can_read_is_refused(login, run, keys):
    login(KEY)
    (file,) = keys.iterdir()
    file.chmod(0o644)
    done = run("ls", key=None)
    assert (done.status, f"chmod 600 {file}" in done.line) == (78, True)


def test_what_other_commands_need_is_told(login, run, server, tmp_path, monkeypatch):
    assert f'base-url = "{server.base_url}"' in login(KEY).out
    config = tmp_path / "config.toml"
    config.write_text(f"base-url = '{server.base_url}'\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO(KEY))
    assert "Other commands" not in run("login", "--config", config, key=None).out


def test_the_keyring_is_used_where_there_is_one(login, run, server, keys, keyring, tmp_path):
    done = login(KEY)
    assert "the system's keyring (a wallet)" in done.out
    assert list(keyring.kept.values()) == [KEY]
    assert [file.read_text() for file in keys.iterdir()] == [""]
    place = ["--base-url", server.base_url, "--cache-dir", tmp_path]
    assert run("ls", *place, key=None).status == 0
    keyring.failing = True
    done = run("ls", *place, key=None)
    assert (done.status, "unlock it (it is locked)" in done.line) == (77, True)
    keyring.failing = False
    assert "the system's keyring" in run("logout", key=None).out
    assert keyring.kept == {}
    assert list(keys.iterdir()) == []


@pytest.mark.parametrize("useless", ["priority", "failing"])
def test_a_keyring_that_keeps_nothing_is_passed_over(login, keys, keyring, useless):
    keyring.backend.priority = 0 if useless == "priority" else 5
    keyring.failing = useless == "failing"
    assert "mode 0600" in login(KEY).out
    assert [file.read_text() for file in keys.iterdir()] == [f"{KEY}\n"]


def test_on_a_terminal_the_key_is_not_shown(server):
    ours, theirs = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name != "ELEVENLABS_API_KEY"}
    process = subprocess.Popen(
        command("login", "--base-url", server.base_url),
        env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown, sent = b"", False
    with os.fdopen(ours, "r+b", buffering=0) as terminal:
        try:
            while piece := terminal.read(4096):
                shown += piece
                if b"not shown):" in shown and not sent:
                    time.sleep(0.2)  # getpass turns the echo off before it prompts
                    terminal.write(f"{KEY}\n".encode())
                    sent = True
        except OSError:
            pass  # EIO is how a terminal ends whose last user has gone
    assert process.wait(TIMEOUT) == 0
    assert b"elevenlabs.io" in shown
    assert b"It is kept in" in shown
    assert KEY.encode() not in shown
