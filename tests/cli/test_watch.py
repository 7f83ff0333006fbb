"""`histfs watch`: what comes and goes at the server, a line each."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys

import pytest

from histfs.simulator import Fault, Simulator, SimulatorSettings


@pytest.fixture
def server():
    with Simulator(SimulatorSettings(items=30, days=3, conversations=2)) as running:
        yield running


@pytest.fixture
def watching(server, tmp_path):
    """Start the command, and wait until it looks."""
    process = subprocess.Popen(
        [sys.executable, "-m", "histfs", "watch", "--json", "--base-url", server.base_url,
         "--cache-dir", tmp_path / "cache", "--timezone", "UTC", "--listing-ttl", "1"],
        env={**os.environ, "ELEVENLABS_API_KEY": server.api_key},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    lists = "GET /v1/history"
    while server.counts[lists] < 3:
        assert process.poll() is None, process.stderr.read()
        select.select([], [], [], 0.05)
    yield process
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    process.stdout.close()
    process.stderr.close()


def line(stream, seconds=30):
    """Return the next line of a stream."""
    assert select.select([stream], [], [], seconds)[0], "nothing came"
    return stream.readline()


def test_new_and_deleted_items_are_printed_when_they_come(server, watching):
    (new,) = server.library.add()
    event = json.loads(line(watching.stdout))
    assert (event["event"], event["id"]) == ("new", new)
    assert event["path"].startswith("by-date/")
    server.library.remove(new)
    event = json.loads(line(watching.stdout))
    assert (event["event"], event["key"]) == ("deleted", new)
    assert event["name"].endswith(new)


def test_an_outage_is_told_once_and_what_came_meanwhile_is_printed(server, watching):
    server.faults.add(Fault("GET /v1/history", "status", status=500))
    assert "500" in line(watching.stderr)
    (new,) = server.library.add()
    server.faults.clear()
    assert json.loads(line(watching.stdout, 60))["id"] == new
