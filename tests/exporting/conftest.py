"""Fixtures of tables and exports, among them a server of S3."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.cli.conftest import run  # noqa: F401 - a fixture


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """The URL of a server of S3: that of moto, in a process of its own."""
    pytest.importorskip("s3fs")
    program = shutil.which("moto_server", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("moto's server is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path_factory.mktemp("moto") / "log").open("wb")
    server = subprocess.Popen([program, "-p", str(port)], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            urllib.request.urlopen(url, timeout=1).close()
            break
        except OSError:
            time.sleep(0.1)
    yield url
    server.kill()
    server.wait()
    log.close()


@pytest.fixture
def bucket(s3, monkeypatch):
    """An empty bucket, which programs find by the environment; a filesystem of fsspec."""
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": s3,
        "AWS_ACCESS_KEY_ID": "histfs",
        "AWS_SECRET_ACCESS_KEY": "histfs",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    # One that another test has made without credentials would be taken again.
    s3fs.S3FileSystem.clear_instance_cache()
    found = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    name = f"voices{time.monotonic_ns()}"
    found.mkdir(name)
    found.name = name
    return found
