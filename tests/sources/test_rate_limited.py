"""A rate-limited source over real HTTP, with a server that refuses too many requests."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from histfs.core.errors import RateLimited
from histfs.core.limiter import Limiter
from histfs.core.secret import Secret
from histfs.core.source import Query
from histfs.simulator import Fault, Simulator, SimulatorSettings
from histfs.sources.elevenlabs.conversations import ConversationSource
from histfs.sources.elevenlabs.history import HistorySource
from histfs.sources.elevenlabs.http_client import HttpClient
from histfs.sources.request_policies import RateLimitedSource

LIST = "GET /v1/history"
DELETE = "DELETE /v1/history/{id}"


@contextlib.contextmanager
def sources(server, limiter, wait_budget=20.0):
    """Yield both sources of an account, each with connections of its own."""
    with contextlib.ExitStack() as stack:
        opened = []
        for source_class in (HistorySource, ConversationSource):
            key = Secret(server.api_key)
            http = HttpClient(server.base_url, key, 10.0, 8, state_maximum=limiter.state_maximum)
            opened.append(RateLimitedSource(source_class(http), limiter, wait_budget))
            stack.callback(opened[-1].close)
        yield opened


def all_at_once(server, limiter):
    """Request lists, details and clips of both sources with 16 threads; return the clips."""

    def clip(source, item_id):
        with source.audio(item_id) as stream:
            return b"".join(stream.chunks())

    with sources(server, limiter) as (history, conversations), ThreadPoolExecutor(16) as threads:
        items = list(server.library.ids())
        calls = [record.item.id for record in conversations.list(Query()).records]
        clips = [threads.submit(clip, history, item) for item in items]
        details = [threads.submit(conversations.get, call) for call in calls]
        lists = [threads.submit(history.list, Query(limit=10)) for _ in range(20)]
        assert [each.result().item.id for each in details] == calls
        assert all(len(each.result().records) == 10 for each in lists)
        return dict(zip(items, (each.result() for each in clips), strict=True))


@pytest.mark.parametrize("allowed", [1, 2, 3])
def test_everything_comes_from_a_server_that_allows_few_requests_at_once(allowed):
    settings = SimulatorSettings(items=40, conversations=40, max_concurrent=allowed, latency=0.005)
    with Simulator(settings) as server:
        limiter = Limiter(8)
        received = all_at_once(server, limiter)
        assert received == {item: bytes(server.library.clip(item)) for item in server.library.ids()}
        assert limiter.allowed() <= allowed
        # The first burst, and a few more until the limit is found.
        assert server.concurrency.refused < 25


def test_a_server_that_says_how_many_it_allows_never_gets_more():
    # The latency makes requests overlap on a busy machine, too.
    settings = SimulatorSettings(
        items=40, conversations=40, max_concurrent=2, concurrency_headers=True, latency=0.005
    )
    with Simulator(settings) as server:
        all_at_once(server, Limiter(8))
        assert server.counts.max_in_flight == 2
        assert server.concurrency.refused == 0


@pytest.mark.parametrize("stated", ["0", "-1", "many", "", "9" * 5000, "2.5"])
def test_a_limit_that_is_no_number_says_nothing(simulator, stated):
    headers = {"maximum-concurrent-requests": stated}
    simulator.faults.add(Fault("GET", "headers", headers=headers))
    limiter = Limiter(8)
    with sources(simulator, limiter) as (history, _):
        history.list(Query())
    assert limiter.allowed() == 8


def test_without_a_limit_as_many_are_under_way_as_the_user_allows():
    with Simulator(SimulatorSettings(items=40, conversations=40, latency=0.02)) as server:
        all_at_once(server, Limiter(4))
        # A listing may use one slot more.
        assert 4 <= server.counts.max_in_flight <= 5


def test_a_retry_after_is_waited_for(simulator):
    fault = Fault("GET", "status", status=429, headers={"Retry-After": "1"}, count=1)
    simulator.faults.add(fault)
    with sources(simulator, Limiter(8)) as (history, _):
        assert history.list(Query()).records
        assert simulator.counts[LIST] == 2
        simulator.faults.clear()
        simulator.faults.add(Fault("GET", "status", status=429, headers={"Retry-After": "3600"}))
        with pytest.raises(RateLimited):
            history.list(Query())
        assert simulator.counts[LIST] == 3


def test_a_delete_that_is_refused_is_not_sent_again(simulator):
    simulator.faults.add(Fault("DELETE", "status", status=429))
    item = next(iter(simulator.library.ids()))
    limiter = Limiter(8)
    with sources(simulator, limiter) as (history, _), pytest.raises(RateLimited):
        history.delete(item)
    assert simulator.counts[DELETE] == 1
    assert limiter.allowed() < 8
