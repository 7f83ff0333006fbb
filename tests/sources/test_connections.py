"""The connections to the server: no fault leaks one, and the pool keeps no more than allowed."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from histfs.core.errors import SourceError
from histfs.core.source import Query
from histfs.simulator import Fault
from histfs.sources.elevenlabs import http_client

LIST = "GET /v1/history"

FAULTS = [
    *(Fault("GET", "status", status=status) for status in (400, 401, 404, 429, 503)),
    *(Fault("GET", kind) for kind in ("html", "garbage", "empty", "gzip", "cut", "reset")),
    Fault("GET", "status", status=429, headers={"Retry-After": "60"}),
    Fault("GET", "redirect", headers={"Location": "http://127.0.0.2:9/"}),
    Fault("GET", "hang", seconds=0.5, at_byte=10),
    Fault("GET", "cut", at_byte=10),
]


def connections_to(url):
    """Return the sockets of this process to a server, in any TCP state."""
    own = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            own.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    fields = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    port = f":{int(url.rpartition(':')[2]):04X}"
    return [each for each in fields if each[2].endswith(port) and f"socket:[{each[9]}]" in own]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.status or ''}")
def test_no_fault_leaks_a_connection(live, simulator, monkeypatch, fault):
    monkeypatch.setattr(http_client, "READ_TIMEOUT", 0.3)
    monkeypatch.setattr("urllib3.util.retry.time.sleep", lambda seconds: None)
    first = next(iter(simulator.library.ids()))
    errors = []  # a caller may keep an exception, and with it the frames of the request

    def read(most):
        with live.audio(first) as body:
            for _ in itertools.islice(body.chunks(), most):
                pass

    simulator.faults.add(fault)
    gc.disable()
    try:
        # The last call reads a part of the body.
        for call in (lambda: live.list(Query()), lambda: read(None), lambda: read(1)) * 3:
            try:
                call()
            except SourceError as error:
                errors.append(error)
        simulator.faults.clear()
        live.list(Query())
        # One request at a time needs one connection.
        assert len(connections_to(simulator.base_url)) <= 1
    finally:
        gc.enable()


def test_a_burst_leaves_as_many_connections_as_a_source_may_keep(live, simulator):
    simulator.latency = 0.3
    with ThreadPoolExecutor(8) as pool:
        for result in [pool.submit(live.list, Query()) for _ in range(8)]:
            result.result()
    assert simulator.counts[LIST] == 8
    assert len(connections_to(simulator.base_url)) == 2
    live.close()
    assert connections_to(simulator.base_url) == []
