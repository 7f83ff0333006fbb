"""A wrapped source offers all that the source offers, and a refused request is retried."""

from __future__ import annotations

import contextlib
from unittest.mock import MagicMock

import pytest

from histfs.core.errors import NotOffered, RateLimited
from histfs.core.limiter import Limiter
from histfs.core.source import AttachmentSource, Query, SizeSource, Traits
from histfs.sources.attempts import Attempts
from histfs.sources.request_policies import (
    ForwardingSource,
    InstrumentedSource,
    RateLimitedSource,
    RetryNotReady,
)
from histfs.sources.time_filter import TimeFilter
from tests.support.clock import Clock
from tests.support.memory import MemorySource

WRAPPERS = [
    ForwardingSource,
    InstrumentedSource,
    lambda source: RateLimitedSource(source, Limiter(8), 10),
    lambda source: RetryNotReady(source, 10),
    TimeFilter,
]
NAMES = ["forwarding", "instrumented", "rate-limited", "retry", "time filter"]
ARGUMENTS = {
    "list": (Query(words="words"),),
    "get": ("a",),
    "delete": ("a",),
    "audio": ("a",),
    "audio_size": ("a",),
    "attachment": ("a", "f1"),
    "describe": (b"{}",),
    "close": (),
}


def members(protocol):
    return {
        name for kind in protocol.__mro__[:-1] for name in vars(kind) if not name.startswith("_")
    }


def test_every_member_of_the_protocol_is_forwarded_by_the_base_class():
    protocol = members(AttachmentSource) | members(SizeSource)
    assert protocol == {*ARGUMENTS, "traits"}
    assert members(ForwardingSource) == protocol


@pytest.mark.parametrize("wrap", WRAPPERS, ids=NAMES)
@pytest.mark.parametrize("method", ARGUMENTS)
def test_a_call_reaches_the_source_once_with_its_arguments(wrap, method):
    source = MagicMock(traits=Traits(attachments=True, audio_sizes=True))
    answer = getattr(wrap(source), method)(*ARGUMENTS[method])
    if method in ("audio", "attachment"):
        with answer:
            pass
    getattr(source, method).assert_called_once_with(*ARGUMENTS[method])
    assert [call[0] for call in source.method_calls] == [method]


@pytest.mark.parametrize("wrap", WRAPPERS, ids=NAMES)
def test_a_source_without_attachments_is_not_asked_for_one(wrap):
    wrapped = wrap(MemorySource())
    assert not wrapped.traits.attachments
    with pytest.raises(NotOffered), contextlib.ExitStack() as stack:
        stack.enter_context(wrapped.attachment("a", "f1"))


def test_a_refused_request_is_sent_again_for_half_of_its_timeout(monkeypatch):
    clock = Clock()
    limiter = Limiter(2, clock)
    paused = []

    def pause(seconds):
        paused.append(seconds)
        clock.now += seconds

    monkeypatch.setattr(limiter, "pause", pause)
    attempts = Attempts(limiter, audio=False, timeout=20, clock=clock)
    with pytest.raises(RateLimited, match="no"):
        while True:
            attempts.pause(RateLimited("no"))
    assert 3 < sum(paused) < 10
    assert len(paused) < 12
    with pytest.raises(RateLimited, match="an hour"):
        Attempts(limiter, audio=False, timeout=20, clock=clock).pause(RateLimited("an hour", 3600))
    # The request does not wait for an hour, so no other request is paused.
    limiter.acquire(audio=True, timeout=0)
