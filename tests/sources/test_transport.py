"""Failures of HTTP over a real connection: retries, timeouts, incomplete bodies."""

from __future__ import annotations

import gzip
import socket
import ssl

import pytest
import urllib3

from histfs.core.errors import (
    BadAnswer,
    KeyRefused,
    Missing,
    MissingPermission,
    RateLimited,
    ServerFailed,
    TimedOut,
    Unreachable,
)
from histfs.core.source import Query
from histfs.simulator import Fault, Simulator, SimulatorSettings
from histfs.sources.elevenlabs import http_client

LIST = "GET /v1/history"
ITEM = "GET /v1/history/{id}"
AUDIO = "GET /v1/history/{id}/audio"
DELETE = "DELETE /v1/history/{id}"
DOWNLOAD = "POST /v1/history/download"


@pytest.fixture
def first(simulator):
    """The id of an item with an MP3."""
    library = simulator.library
    return next(i for i in library.ids() if library.item(i)["content_type"] == "audio/mpeg")


@pytest.fixture
def short_timeouts(monkeypatch):
    """Make connecting and reading time out soon."""
    monkeypatch.setattr(http_client, "CONNECT_TIMEOUT", 0.3)
    monkeypatch.setattr(http_client, "READ_TIMEOUT", 0.3)


@pytest.fixture
def slept(monkeypatch):
    """The recorded pauses between retries; they take no time."""
    pauses = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", pauses.append)
    return pauses


def fetch(history, item_id):
    with history.audio(item_id) as body:
        return b"".join(body.chunks())


# Retries


@pytest.mark.parametrize(
    "fault",
    [Fault("GET", "status", status=503, count=2), Fault("GET", "reset", count=2)],
    ids=["503", "reset"],
)
def test_a_server_that_fails_twice_and_then_answers_is_no_error(live, simulator, slept, fault):
    simulator.faults.add(fault)
    assert len(live.list(Query()).records) == len(simulator.library)
    assert simulator.counts[LIST] == 3


def test_a_server_that_goes_on_failing_is_asked_four_times(live, simulator, slept):
    simulator.faults.add(Fault("GET", "status", status=500, body={"detail": "Oh no"}))
    with pytest.raises(ServerFailed, match="Oh no"):
        live.list(Query())
    assert simulator.counts[LIST] == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 501])
def test_what_another_try_would_not_help_is_asked_once(live, simulator, first, status):
    simulator.faults.add(Fault("GET", "status", status=status))
    with pytest.raises((KeyRefused, Missing, http_client.SourceError)):
        live.get(first)
    assert simulator.counts[ITEM] == 1


def test_a_short_retry_after_is_honoured(live, simulator, slept):
    simulator.faults.add(Fault("GET", "status", status=503, headers={"Retry-After": "3"}, count=1))
    assert live.list(Query()).records
    assert slept == [3]


def test_a_429_is_raised_at_once_with_what_the_server_asks_for(live, simulator):
    simulator.faults.add(Fault("GET", "status", status=429, headers={"Retry-After": "3"}))
    with pytest.raises(RateLimited) as caught:
        live.list(Query())
    assert caught.value.retry_after == 3
    assert simulator.counts[LIST] == 1


@pytest.mark.parametrize("pause", ["3600", "Fri, 31 Dec 9999 23:59:59 GMT", "99999999999999999999"])
def test_a_retry_after_beyond_the_timeout_is_not_waited_for(live, simulator, pause):
    simulator.faults.add(Fault("GET", "status", status=503, headers={"Retry-After": pause}))
    with pytest.raises(ServerFailed):
        live.list(Query())
    assert simulator.counts[LIST] == 1


@pytest.mark.parametrize("pause", ["soon", "-1", "1.5", "", "Fri, 99 Foo"])
@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (503, ServerFailed)])
def test_an_odd_retry_after_does_not_hide_what_the_answer_says(
    live, simulator, slept, pause, status, kind
):
    simulator.faults.add(Fault("GET", "status", status=status, headers={"Retry-After": pause}))
    with pytest.raises(kind):
        live.list(Query())


@pytest.mark.parametrize(
    "fault",
    [
        Fault("DELETE|POST", "status", status=503, headers={"Retry-After": "0"}),
        Fault("DELETE|POST", "status", status=429),
        Fault("DELETE|POST", "reset"),
        Fault("DELETE|POST", "hang", seconds=5),
    ],
    ids=["503", "429", "reset", "hang"],
)
def test_a_delete_or_a_post_is_never_sent_twice(live, simulator, first, fault, short_timeouts):
    simulator.faults.add(fault)
    with pytest.raises((ServerFailed, RateLimited, Unreachable)):
        live.delete(first)
    with pytest.raises((ServerFailed, RateLimited, Unreachable)), live.download([first]):
        pass
    assert (simulator.counts[DELETE], simulator.counts[DOWNLOAD]) == (1, 1)


def test_a_delete_is_not_sent_twice_when_tls_breaks_after_it(
    live, simulator, first, slept, monkeypatch
):
    real = urllib3.connection.HTTPConnection.getresponse

    def broken(connection):
        real(connection).close()  # the server has done it
        raise ssl.SSLError("bad record mac")

    monkeypatch.setattr(urllib3.connection.HTTPConnection, "getresponse", broken)
    with pytest.raises(Unreachable):
        live.delete(first)
    assert simulator.counts[DELETE] == 1


# Deleting


@pytest.mark.parametrize(
    "fault",
    [
        Fault("DELETE", "reset", perform=True),
        Fault("DELETE", "status", status=504, perform=True),
        Fault("DELETE", "html", status=200, perform=True),
        Fault("DELETE", "status", status=200, body={}, perform=True),
        Fault("DELETE", "status", status=200, body="", perform=True),
    ],
    ids=["reset", "504", "html", "{}", "empty"],
)
def test_a_delete_that_is_not_answered_with_success_is_an_error_though_it_was_done(
    live, simulator, first, fault
):
    simulator.faults.add(fault)
    with pytest.raises((Unreachable, ServerFailed, BadAnswer)):
        live.delete(first)
    assert first not in simulator.library
    assert (simulator.counts[DELETE], simulator.counts.total) == (1, 1)


def test_a_delete_of_what_is_gone_says_so(live, simulator, first):
    live.delete(first)
    with pytest.raises(Missing):
        live.delete(first)


# Bodies


def test_audio_is_asked_for_uncompressed_and_comes_whole(live, simulator, first):
    assert fetch(live, first) == bytes(simulator.library.clip(first))
    assert simulator.counts.log[-1].accept_encoding == "identity"


@pytest.mark.parametrize("chunked", [True, False])
def test_the_length_is_what_the_server_tells(live, simulator, first, chunked):
    simulator.chunked = chunked
    with live.audio(first) as body:
        length = None if chunked else len(simulator.library.clip(first))
        assert body.length == length
        assert body.content_type == "audio/mpeg"


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with Content-Length"])
@pytest.mark.parametrize("at", [0, 1, 5000, 10**9], ids=["start", "1", "5000", "before the end"])
@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_a_body_that_is_cut_is_never_taken_for_the_whole(live, simulator, first, chunked, at, kind):
    simulator.chunked = chunked
    if at > len(simulator.library.clip(first)) and not chunked:
        at = len(simulator.library.clip(first)) - 1
    simulator.faults.add(Fault("/audio", kind, at_byte=at))
    with pytest.raises((BadAnswer, Unreachable)):
        fetch(live, first)


@pytest.mark.parametrize("kind", ["html", "garbage", "status"])
def test_what_is_not_audio_is_not_given_for_audio(live, simulator, first, kind):
    simulator.faults.add(Fault("/audio", kind, status=418 if kind == "status" else None))
    with pytest.raises(http_client.SourceError):
        fetch(live, first)


def test_audio_that_is_compressed_all_the_same_is_unpacked(live, simulator, first):
    simulator.faults.add(Fault("/audio", "gzip"))
    with live.audio(first) as body:
        assert body.length is None
        assert b"".join(body.chunks()) == bytes(simulator.library.clip(first))


def answer(headers, body, status="200 OK"):
    return (
        f"HTTP/1.1 {status}\r\n{headers}Content-Type: audio/mpeg\r\n\r\n".encode("latin-1") + body
    )


def test_a_compressed_body_that_ends_too_soon_is_an_error(make_history, raw_server):
    packed = gzip.compress(bytes(range(256)) * 400)[:-20]
    headers = f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n"
    with pytest.raises(BadAnswer):
        fetch(make_history(raw_server(answer(headers, packed))), "a")


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
def test_a_body_that_ends_where_the_connection_does_is_refused(make_history, raw_server, version):
    raw = answer("Connection: close\r\n", b"ID3 audio").replace(b"HTTP/1.1", version)
    with pytest.raises(BadAnswer, match="may be cut short"):
        fetch(make_history(raw_server(raw)), "a")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ("Transfer-Encoding: Chunked\r\n", b"3\r\nID3\r\n0\r\n\r\n"),
        ("Content-Length: 3\r\n", b"ID3"),
        ("Content-Length: 3\r\nContent-Encoding: Identity\r\n", b"ID3"),
    ],
    ids=["a capital letter", "a length", "no encoding, said aloud"],
)
def test_a_body_with_a_clear_end_is_whole(make_history, raw_server, headers, body):
    assert fetch(make_history(raw_server(answer(headers, body))), "a") == b"ID3"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ("Transfer-Encoding: chunked\r\n", b"zz\r\nID3\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", b"3\r\nID3\r\n"),
        ("Content-Length: 4\r\n", b"ID3"),
        ("Content-Length: four\r\n", b"ID3"),
        ("Content-Length: \u00b2\r\n", b"ID"),
        ("Content-Encoding: gzip\r\nContent-Length: 3\r\n", b"ID3"),
    ],
    ids=["bad chunk", "no last chunk", "short", "no number", "an odd digit", "not gzip"],
)
def test_a_damaged_body_is_a_bad_answer(make_history, raw_server, headers, body):
    with pytest.raises(BadAnswer):
        fetch(make_history(raw_server(answer(headers, body))), "a")


def test_what_is_not_http_is_an_error(make_history, raw_server):
    history = make_history(raw_server(b"SSH-2.0-OpenSSH_9.2\r\n"), timeout=1)
    with pytest.raises((BadAnswer, Unreachable)):
        history.list(Query())


# Waiting


def test_a_server_that_does_not_answer_is_given_up(simulator, make_history, short_timeouts):
    simulator.faults.add(Fault("GET", "hang"))
    history = make_history(simulator.base_url, simulator.api_key, timeout=0.5)
    with pytest.raises(TimedOut, match="in time"):
        history.list(Query())


def test_a_body_that_stands_still_is_given_up(live, simulator, first, short_timeouts):
    simulator.faults.add(Fault("/audio", "hang", at_byte=100))
    with pytest.raises(TimedOut):
        fetch(live, first)


def test_a_list_that_stands_still_is_given_up(live, simulator, short_timeouts):
    simulator.faults.add(Fault("GET /v1/history$", "hang", at_byte=100))
    with pytest.raises(TimedOut):
        live.list(Query())


def test_a_clip_whose_first_byte_is_late_is_waited_for(live, simulator, first, short_timeouts):
    simulator.faults.add(Fault("/audio", "hang", seconds=1))
    assert fetch(live, first) == bytes(simulator.library.clip(first))
    assert simulator.counts["GET /v1/history/{id}/audio"] == 1


# No server


def test_a_connection_that_can_not_be_made_in_time_is_not_tried_again(
    make_history, short_timeouts, monkeypatch
):
    tries = []
    real = urllib3.connection.HTTPConnection._new_conn
    monkeypatch.setattr(
        urllib3.connection.HTTPConnection,
        "_new_conn",
        lambda connection: tries.append(connection) or real(connection),
    )
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with socket.create_connection(address):
            history = make_history(f"http://127.0.0.1:{address[1]}")
            with pytest.raises(Unreachable, match="in time"):
                history.list(Query())
    assert len(tries) == 1


def test_a_server_that_takes_no_connection_has_not_been_slow_to_answer(make_history):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with socket.create_connection(address):
            history = make_history(f"http://127.0.0.1:{address[1]}", timeout=0.3)
            with pytest.raises(Unreachable, match="in time") as caught:
                history.list(Query())
    assert not isinstance(caught.value, TimedOut)


def test_a_refused_connection_says_so(make_history):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(Unreachable, match="Connection refused") as caught:
        make_history(url, timeout=1).list(Query())
    assert not isinstance(caught.value, TimedOut)


def test_a_host_that_has_no_address_says_so(make_history):
    with pytest.raises(Unreachable) as caught:
        make_history("http://api.histfs.invalid", timeout=0.1).list(Query())
    assert "histfs.invalid" in str(caught.value) or "known" in str(caught.value)


def test_a_server_without_tls_is_no_safe_connection(make_history, simulator):
    url = simulator.base_url.replace("http:", "https:")
    with pytest.raises(Unreachable):
        make_history(url, timeout=0.1).list(Query())


# Keys


def test_a_key_without_the_permission_may_still_do_the_rest(make_history):
    limited = {"reader": frozenset({"speech_history_read"})}
    with Simulator(SimulatorSettings(items=3, limited_keys=limited)) as simulator:
        history = make_history(simulator.base_url, "reader")
        (record, *_) = history.list(Query()).records
        with pytest.raises(MissingPermission, match="speech_history_write"):
            history.delete(record.item.id)
        assert len(simulator.library) == 3


def test_several_items_come_as_a_zip_and_one_as_itself(live, simulator, first):
    _, other, *_ = simulator.library.ids()
    with live.download([first]) as body:
        assert body.content_type == "audio/mpeg"
        assert b"".join(body.chunks()) == bytes(simulator.library.clip(first))
    with live.download([first, other], "wav") as body:
        assert body.content_type == "application/zip"
        assert next(body.chunks()).startswith(b"PK")
