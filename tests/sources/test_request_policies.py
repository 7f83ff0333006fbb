"""A wrapped source offers all that the source offers, whatever the wrapper."""

from __future__ import annotations

import contextlib
from unittest.mock import MagicMock

import pytest

from histfs.core.errors import NotOffered
from histfs.core.limiter import Limiter
from histfs.core.source import AttachmentSource, Query, Traits
from histfs.sources.request_policies import (
    ForwardingSource,
    InstrumentedSource,
    RateLimitedSource,
    RetryNotReady,
)
from histfs.sources.time_filter import TimeFilter
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
    "attachment": ("a", "f1"),
    "describe": (b"{}",),
    "close": (),
}


def members(protocol):
    return {
        name for kind in protocol.__mro__[:-1] for name in vars(kind) if not name.startswith("_")
    }


def test_every_member_of_the_protocol_is_forwarded_by_the_base_class():
    assert members(AttachmentSource) == {*ARGUMENTS, "traits"}
    assert members(ForwardingSource) == members(AttachmentSource)


@pytest.mark.parametrize("wrap", WRAPPERS, ids=NAMES)
@pytest.mark.parametrize("method", ARGUMENTS)
def test_a_call_reaches_the_source_once_with_its_arguments(wrap, method):
    source = MagicMock(traits=Traits(attachments=True))
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
