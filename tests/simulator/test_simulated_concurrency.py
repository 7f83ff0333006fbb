"""A simulator that limits the number of requests in flight."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from histfs.simulator import Simulator, SimulatorSettings
from tests.support.eventually import eventually


def get(server, path="/v1/history", **more):
    headers = {"xi-api-key": server.api_key}
    return requests.get(server.base_url + path, headers=headers, timeout=10, **more)


@pytest.mark.parametrize("headers", [True, False])
def test_one_request_more_than_the_limit_is_refused_until_a_body_has_ended(headers):
    settings = SimulatorSettings(
        items=3, clip_bytes=40_000, max_concurrent=1, concurrency_headers=headers
    )
    with Simulator(settings) as server, ThreadPoolExecutor() as threads:
        clip = f"/v1/history/{next(iter(server.library.ids()))}/audio"
        server.bandwidth = 40_000
        slow = threads.submit(get, server, clip)
        eventually(lambda: server.counts.total == 1)
        refused = get(server)
        detail = refused.json()["detail"]
        assert refused.status_code == 429
        assert detail["code"] == "concurrent_limit_exceeded"
        assert detail["status"] == "too_many_concurrent_requests"
        assert "Retry-After" not in refused.headers
        assert slow.result().status_code == 200
        again = get(server)
        assert again.status_code == 200
        assert again.headers.get("maximum-concurrent-requests") == ("1" if headers else None)
        assert again.headers.get("current-concurrent-requests") == ("1" if headers else None)
        assert (server.concurrency.refused, server.counts.max_in_flight) == (1, 2)


def test_a_limit_below_one_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        Simulator(SimulatorSettings(max_concurrent=0))
