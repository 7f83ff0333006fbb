"""``histfs serve`` as a command: what it refuses, its line of output, and its end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
import requests

from tests.cli.conftest import KEY
from tests.support.mounts import command


@pytest.fixture
def secret(tmp_path):
    file = tmp_path / "secret"
    file.write_text("a token with spaces\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def start(server, tmp_path):
    """Start the command, and return its process and its URL."""
    started = []

    def start(*arguments, **env):
        options = ["--base-url", server.base_url, "--cache-dir", tmp_path / "cache", "--port", "0"]
        process = subprocess.Popen(
            command("serve", *options, *arguments),
            env={**os.environ, "ELEVENLABS_API_KEY": KEY, **env},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        line = process.stdout.readline()
        found = re.fullmatch(r"Serving (http://127\.0\.0\.1:\d+/) \(.*\) until Ctrl-C\.\n", line)
        assert found, line + process.stderr.read()
        return process, found[1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_an_address_that_others_reach_needs_tls_and_credentials(run, secret):
    for more in ([], ["--token-file", secret], ["--tls-cert", secret, "--tls-key", secret]):
        for address in ("0.0.0.0", "[::]:8443", "192.0.2.1:80"):
            done = run("serve", "--bind", address, *more)
            assert (done.status, "--tls-cert" in done.line) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bind", "example.org"], "not an address"),
        (["--bind", "127.0.0.1:x"], "not an address"),
        (["--bind", "127.0.0.1:70000"], "between 0 and 65535"),
        (["--bind", "127.0.0.1:1", "--port", "2"], "exclude each other"),
        (["--user", "ann"], "belong together"),
        (["--user", "a:b"], "colon"),
        (["--tls-key", "key"], "belong together"),
        (["--delete", "--read-only"], "exclude each other"),
        (["--token-file", "/nonexistent"], "No such file"),
        (["--password", "secret"], "No such option"),
    ],
)
def test_what_can_not_be_used_is_one_line(run, arguments, words):
    done = run("serve", *arguments)
    assert (done.status in (2, 78), words in done.line) == (True, True), done.line


def test_a_file_of_a_secret_that_others_can_read_is_refused(run, secret):
    secret.chmod(0o644)
    assert "chmod 600" in run("serve", "--token-file", secret).line
    secret.chmod(0o600)
    secret.write_text("\n")
    assert "is empty" in run("serve", "--token-file", secret).line


def test_without_the_extra_its_name_is_told(run, monkeypatch):
    monkeypatch.delitem(sys.modules, "histfs.serving.server", raising=False)
    monkeypatch.delattr("histfs.serving.server", raising=False)
    monkeypatch.setitem(sys.modules, "cheroot", None)
    done = run("serve")
    assert (done.status, "pip install 'histfs[serve]'" in done.line) == (69, True)


class TestServing:
    """With the extra."""

    @pytest.fixture(autouse=True)
    def extra(self):
        pytest.importorskip("wsgidav")
        pytest.importorskip("cheroot")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_it_tells_its_url_and_ends_at_once_with_0(self, start, number):
        process, url = start()
        session = requests.Session()  # keeps its connection
        assert "by-date" in session.get(url, timeout=10).text
        began = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, "", "")
        assert time.monotonic() - began < 5

    def test_a_port_in_use_is_one_line(self, run, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            done = run("serve", "--bind", f"127.0.0.1:{port}", "--cache-dir", tmp_path / "cache")
        assert (done.status, f"port {port}: Address already in use" in done.line) == (75, True)

    def test_a_certificate_that_is_none_is_one_line(self, run, tmp_path, secret):
        for cert in (secret, tmp_path / "missing"):
            tls = ["--tls-cert", cert, "--tls-key", secret]
            done = run("serve", *tls, "--port", "0", "--cache-dir", tmp_path / "cache")
            assert (done.status, "can't be used" in done.line) == (2, True)

    def test_secrets_come_from_files_and_variables_and_are_not_shown(self, start, secret):
        process, url = start("--token-file", secret)
        token = {"Authorization": "Bearer a token with spaces"}
        assert requests.get(url, timeout=10).status_code == 401
        assert requests.get(url, headers=token, timeout=10).status_code == 200
        process.terminate()
        assert "token with" not in "".join(process.communicate())
        _, url = start("--user", "ann", HISTFS_SERVE_PASSWORD="pass-word-1")
        assert requests.get(url, auth=("ann", "pass-word-1"), timeout=10).status_code == 200
        assert requests.get(url, auth=("ann", ""), timeout=10).status_code == 401
