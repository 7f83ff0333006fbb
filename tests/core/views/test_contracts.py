"""Each built-in view keeps the contract of views that plugins keep."""

from __future__ import annotations

import pytest

from histfs.core.plugin_calls import PluginCalls
from histfs.core.plugin_isolation import isolated
from histfs.core.views import (
    ByAgent,
    ByCall,
    ByDate,
    ByDay,
    ByModel,
    ByMonth,
    ByOutcome,
    BySource,
    ByVoice,
    Search,
    View,
)
from histfs.testing import ViewContract


class TestByDate(ViewContract):
    @pytest.fixture
    def make(self):
        return ByDate


class TestByDay(ViewContract):
    @pytest.fixture
    def make(self):
        return ByDay


class TestByMonth(ViewContract):
    @pytest.fixture
    def make(self):
        return ByMonth


@pytest.mark.parametrize("kind", [ByVoice, BySource, ByModel, ByAgent, ByOutcome])
class TestByFacet(ViewContract):
    @pytest.fixture
    def make(self, kind):
        return kind


class TestByCall(ViewContract):
    @pytest.fixture
    def make(self):
        return ByCall


class TestSearch(ViewContract):
    @pytest.fixture
    def make(self):
        return Search

    @pytest.fixture
    def unlisted(self):
        return [("hello world",), ("the",), ("nothing has this",)]


class TestFenced(ViewContract):
    @pytest.fixture
    def make(self):
        return lambda zone: isolated(ByDay(zone), View, PluginCalls("the view by-day", 30))
