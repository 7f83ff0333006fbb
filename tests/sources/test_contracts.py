"""Each source and each wrapper of a source passes the contract suite for plugins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from histfs.core.plugin_calls import PluginCalls
from histfs.core.plugin_isolation import isolated
from histfs.core.source import SPAN, Source
from histfs.simulator import Simulator, SimulatorSettings
from histfs.sources.request_policies import InstrumentedSource, RetryNotReady
from histfs.sources.time_filter import TimeFilter
from histfs.testing import SourceContract
from tests.support.memory import MemorySource, record


class Timeless(MemorySource):
    """A source that can't filter by time."""

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.traits = replace(self.traits, filters=frozenset())

    def list(self, query):
        assert query.span == type(query)().span, "the query has a filter that the source lacks"
        return super().list(query)


def records():
    return [record(f"id{n}", 1000 + n // 3, f"Number {n}") for n in range(20)]


class TestMemorySource(SourceContract):
    @pytest.fixture
    def source(self):
        return MemorySource(records(), page_size=7, tells_length=True)


def with_attachments():
    sent = [record("sent", 2000, "Two files", attachments=["f/1", "f2"])]
    return MemorySource([*records(), *sent], attachments=True)


WRAPPERS = {
    "time filter": lambda: TimeFilter(Timeless(records(), page_size=2)),
    "time filter, with attachments": lambda: TimeFilter(with_attachments()),
    "retry while not ready": lambda: RetryNotReady(with_attachments(), 10),
    "instrumented": lambda: InstrumentedSource(with_attachments()),
    "isolated plugin": lambda: isolated(
        with_attachments(), Source, PluginCalls("the source memory", 30)
    ),
    "isolated plugin without attachments": lambda: isolated(
        MemorySource(records()), Source, PluginCalls("the source memory", 30)
    ),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
class TestWrapped(SourceContract):
    @pytest.fixture
    def source(self, wrapper):
        source = WRAPPERS[wrapper]()
        assert SPAN in source.traits.filters
        return source


@pytest.fixture
def server():
    with Simulator(SimulatorSettings(items=25, conversations=15, days=5)) as simulator:
        yield simulator


class TestHistory(SourceContract):
    @pytest.fixture
    def source(self, server, make_history):
        return make_history(server.base_url, server.api_key)


class TestConversations(SourceContract):
    @pytest.fixture
    def source(self, server, make_conversations):
        return make_conversations(server.base_url, server.api_key)
