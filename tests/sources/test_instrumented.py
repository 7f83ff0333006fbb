"""The counts and the last error of a source's calls; the calls themselves are forwarded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from histfs.core.errors import (
    BadAnswer,
    NoAttachment,
    NoSpace,
    NotOffered,
    ServerFailed,
    Unreachable,
)
from histfs.core.source import Query
from histfs.sources.request_policies import InstrumentedSource, LastError
from tests.support.memory import MemorySource, record

NOW = 1_714_650_306.5


class CutSource(MemorySource):
    """A source whose audio breaks in the middle."""

    def audio(self, item_id):
        stream = super().audio(item_id)

        class Cut:
            length = 5
            throttled = False

            def __enter__(self):
                stream.__enter__()
                return self

            def __exit__(self, *error):
                return stream.__exit__(*error)

            def chunks(self):
                yield b"half"
                raise BadAnswer("cut short")

        return Cut()


@pytest.fixture
def source():
    return MemorySource([record("a", 1), record("b", 2)], tells_length=True)


@pytest.fixture
def instrumented(source):
    return InstrumentedSource(source, clock=lambda: NOW)


def test_answers_are_the_sources(instrumented, source):
    assert instrumented.list(Query()) == source.pages[-1]
    assert instrumented.get("a") == source.records()[1]
    with instrumented.audio("a") as stream:
        assert (stream.length, b"".join(stream.chunks())) == (10, b"audio\0of a")
    raw = source.records()[0].raw
    assert instrumented.describe(raw) == source.describe(raw)
    instrumented.delete("a")
    assert [item.item.id for item in source.records()] == ["b"]


def test_each_call_is_counted_by_its_kind_also_one_that_fails(instrumented, source):
    assert set(instrumented.requests.values()) == {0}
    source.fail("get", ServerFailed("500"))
    for _ in range(2):
        with pytest.raises(ServerFailed):
            instrumented.get("a")
    instrumented.list(Query())
    with instrumented.audio("a"):
        pass
    with pytest.raises(NotOffered):
        instrumented.audio_size("a")
    source.traits = replace(source.traits, attachments=True)
    with pytest.raises(NoAttachment), instrumented.attachment("a", "f1"):
        pass
    instrumented.delete("b")
    assert instrumented.requests == {
        "list": 1,
        "get": 2,
        "audio_size": 1,
        "audio": 1,
        "attachment": 1,
        "delete": 1,
    }
    assert instrumented.last_error.message == "no attachment f1"


@pytest.mark.parametrize(
    ("method", "argument"), [("list", Query()), ("get", "a"), ("audio", "a"), ("delete", "a")]
)
def test_the_last_error_is_remembered_with_its_time(instrumented, source, method, argument):
    assert instrumented.last_error is None
    source.fail(method, Unreachable("no network"))
    with pytest.raises(Unreachable):
        call(instrumented, method, argument)
    assert instrumented.last_error == LastError(NOW, "no network")


def call(instrumented, method, argument):
    if method != "audio":
        return getattr(instrumented, method)(argument)
    with instrumented.audio(argument) as stream:
        return stream


def test_a_body_that_breaks_is_an_error_though_its_reader_asks_again():
    instrumented = InstrumentedSource(CutSource([record("a", 1)]), clock=lambda: NOW)
    with instrumented.audio("a") as stream, pytest.raises(BadAnswer):
        list(stream.chunks())
    assert instrumented.last_error == LastError(NOW, "cut short")


def test_what_goes_wrong_with_the_reader_is_none_of_the_sources_errors(instrumented):
    with pytest.raises(NoSpace), instrumented.audio("a"):
        raise NoSpace("the disk is full")
    assert instrumented.last_error is None
