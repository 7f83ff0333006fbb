"""The adapter of requests for one server: it sends what that of requests would send."""

from __future__ import annotations

import pytest
import requests
from requests.adapters import HTTPAdapter

from histfs.sources.elevenlabs.http_adapter import Adapter

DIRECT, PROXIED = {}, {"http": "http://proxy:3128", "https": "http://proxy:3128"}
TARGETS = ("/v1/history", "/v1/history?page_size=10&a=%2F", "/v1/history/a%2Fb/audio", "/", "/?a=b")


@pytest.fixture
def adapter():
    with_pools = Adapter()
    yield with_pools
    with_pools.close()


@pytest.mark.parametrize("proxies", [DIRECT, PROXIED])
@pytest.mark.parametrize("server", ["http://api:8080", "https://api", "http://api/behind/a/proxy"])
@pytest.mark.parametrize("first", TARGETS)
def test_the_target_is_the_one_of_requests_whatever_was_asked_for_first(
    adapter, server, first, proxies
):
    plain = HTTPAdapter()
    for target in (first, *TARGETS):
        request = requests.Request("GET", server + target).prepare()
        assert adapter.request_url(request, proxies) == plain.request_url(request, proxies)


def test_the_pool_is_found_once_until_it_is_closed(adapter):
    def pool():
        request = requests.Request("GET", "http://api/v1").prepare()
        return adapter.get_connection_with_tls_context(request, verify=True, proxies={}, cert=None)

    found = pool()
    assert pool() is found
    adapter.close()
    assert pool() is not found
