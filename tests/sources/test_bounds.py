"""Every response has a deadline and a size limit, whatever the server does."""

from __future__ import annotations

import gzip
import re
import time
import tracemalloc
import zlib

import pytest

from histfs.core.errors import AnswerTooLarge, BadAnswer, ServerFailed, TimedOut, Unreachable
from histfs.core.source import Query
from histfs.core.supervision import supervised
from histfs.sources.elevenlabs import http_client, http_connections, response_bodies
from tests.support.raw_http import RawServer, answer, head

#: Seconds within which a request ends that would otherwise take minutes.
MAX_SECONDS = 10.0
EMPTY = b'{"history": [], "has_more": false}'


def fetch(history, item_id="a"):
    with history.audio(item_id) as body:
        return b"".join(body.chunks())


class Ended(Exception):
    """Raised by a supervisor."""


# Deadlines


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nX-Padding: " + b"x" * 9000,
        b"HTTP/1.1 100 Continue\r\n\r\n",
        head("Content-Length: 9999") + b" " * 9999,
        head("Transfer-Encoding: chunked") + b"0" * 9000,
        head("Transfer-Encoding: chunked") + b"1\r\n \r\n" * 2000,
        answer(b" " * 9999, status="503 Service Unavailable"),
    ],
    ids=["headers", "interim answers", "a body", "a chunk's size", "chunks", "an error's body"],
)
def test_an_answer_that_comes_byte_by_byte_ends_with_the_time_of_its_request(make_history, sent):
    began = time.monotonic()
    with (
        RawServer(lambda peer, _: peer.drip(sent, 0.01)) as server,
        pytest.raises((Unreachable, ServerFailed)),
    ):
        make_history(server.url, timeout=1.0).list(Query())
    assert time.monotonic() - began < MAX_SECONDS


def test_an_answer_that_brings_next_to_nothing_ends_before_its_time(make_history, monkeypatch):
    monkeypatch.setattr(http_connections, "RATE_WINDOW", 0.5)
    sent = head("Content-Length: 9999") + b" " * 9999
    with RawServer(lambda peer, _: peer.drip(sent, 0.1)) as server, pytest.raises(TimedOut):
        make_history(server.url, timeout=60.0).list(Query())


@pytest.mark.parametrize("framing", ["Content-Length: 99999", "Transfer-Encoding: chunked"])
def test_audio_that_comes_byte_by_byte_is_given_up(make_history, monkeypatch, framing):
    monkeypatch.setattr(http_connections, "RATE_WINDOW", 0.5)

    def drip(peer, request):
        peer.send(head(framing, kind="audio") + (b"ffff\r\n" if "chunked" in framing else b""))
        peer.drip(b"ID3", 0.1)

    with RawServer(drip) as server, pytest.raises(TimedOut):
        fetch(make_history(server.url, timeout=60.0))


def test_audio_may_take_longer_than_other_answers_while_it_makes_progress(
    make_history, monkeypatch
):
    monkeypatch.setattr(http_connections, "RATE_WINDOW", 0.3)
    clip = b"ID3" + bytes(2000)

    def slow(peer, request):
        peer.send(head(f"Content-Length: {len(clip)}", kind="audio"))
        for start in range(0, len(clip), 100):
            time.sleep(0.08)
            peer.send(clip[start : start + 100])

    with RawServer(slow) as server:
        assert fetch(make_history(server.url, timeout=0.6)) == clip


@pytest.mark.parametrize("phase", ["no answer", "headers", "body"])
def test_a_supervisor_ends_a_request_in_whichever_phase(make_history, phase):
    reports = []

    def supervisor(received):
        reports.append(received)
        if len(reports) >= 3:
            raise Ended

    began = time.monotonic()
    with (
        RawServer(lambda peer, _: stall(peer, phase)) as server,
        pytest.raises(Ended),
        supervised(supervisor),
    ):
        fetch(make_history(server.url, timeout=60.0))
    assert time.monotonic() - began < MAX_SECONDS


def stall(peer, phase):
    if phase == "headers":
        peer.drip(b"HTTP/1.1 200 OK\r\nX-Padding: " + b"x" * 9000, 0.1)
    elif phase == "body":
        peer.send(head("Content-Length: 99999", kind="audio") + b"ID3")
    peer.wait()


def test_a_connection_is_used_again_after_an_answer_in_time(make_history):
    def serve(peer, request):
        peer.send(answer(EMPTY) if b"/audio" not in request else answer(b"ID3", kind="audio"))

    with RawServer(serve) as server:
        history = make_history(server.url)
        for _ in range(3):
            history.list(Query())
            assert fetch(history) == b"ID3"
        assert server.accepted == 1


# Sizes


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "as it is"])
@pytest.mark.parametrize("call", ["list", "get"])
def test_a_listing_or_an_object_is_read_up_to_a_bound(make_history, monkeypatch, call, packed):
    monkeypatch.setattr(http_client, "_MAX_JSON_SIZE", 1 << 20)
    body = b'{"history": [' + b" " * (64 << 20)

    def serve(peer, request):
        if packed:
            peer.send(answer(gzip.compress(body, 1), "Content-Encoding: gzip"))
        else:
            peer.send(head("Transfer-Encoding: chunked") + b"4000000\r\n" + body)

    with RawServer(serve) as server:
        history = make_history(server.url)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            with pytest.raises(AnswerTooLarge):
                history.list(Query()) if call == "list" else history.get("a")
            # Without the memory of the server.
            peak = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
    assert peak < 8 << 20 or not packed


def test_a_page_that_is_too_large_is_asked_for_with_fewer_items(make_history, monkeypatch):
    monkeypatch.setattr(http_client, "_MAX_JSON_SIZE", 10_000)

    def serve(peer, request):
        size = int(re.search(rb"page_size=(\d+)", request)[1])
        objects = b",".join(b'{"history_item_id": "%d"}' % number for number in range(size))
        more = b'"has_more": true, "last_history_item_id": "%d"' % (size - 1)
        peer.send(answer(b'{"history": [%b], %b}' % (objects, more)))

    with RawServer(serve) as server:
        history = make_history(server.url)
        for _ in range(2):
            page = history.list(Query())
            assert (len(page.records), page.cursor) == (125, "124")
        assert len(server.requests) == 3


def test_an_announced_size_beyond_the_bound_is_not_waited_for(make_history):
    sent = head(f"Content-Length: {1 << 60}") + EMPTY
    with (
        RawServer(lambda peer, _: (peer.send(sent), peer.wait())) as server,
        pytest.raises(AnswerTooLarge),
    ):
        make_history(server.url, timeout=60.0).list(Query())


def test_only_what_is_unpacked_within_bounds_is_asked_for(make_history):
    with RawServer(lambda peer, _: peer.send(answer(EMPTY))) as server:
        make_history(server.url).list(Query())
        assert b"\r\naccept-encoding: gzip\r\n" in server.requests[0].lower()


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x" * 1000])
def test_a_packing_that_was_not_asked_for_is_refused(make_history, encoding):
    sent = answer(gzip.compress(EMPTY), f"Content-Encoding: {encoding}")
    with (
        RawServer(lambda peer, _: peer.send(sent)) as server,
        pytest.raises(BadAnswer, match="unknown encoding"),
    ):
        make_history(server.url).list(Query())


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (gzip.compress(EMPTY[:9]) + gzip.compress(EMPTY[9:]), "gzip"),
        (gzip.compress(EMPTY) + bytes(100), "x-gzip"),
        (zlib.compress(EMPTY), "deflate"),
    ],
    ids=["two members", "padding", "deflate"],
)
def test_what_is_packed_in_a_usual_way_comes_whole(make_history, packed, encoding):
    sent = answer(packed, f"Content-Encoding: {encoding}")
    with RawServer(lambda peer, _: peer.send(sent)) as server:
        assert make_history(server.url).list(Query()).records == []


def test_packed_audio_that_unpacks_to_far_more_than_it_can_be_is_refused(make_history, monkeypatch):
    monkeypatch.setattr(response_bodies, "_RATIO_CHECKED_FROM", 1 << 20)
    sent = answer(gzip.compress(b"ID3" + bytes(8 << 20)), "Content-Encoding: gzip", kind="audio")
    with (
        RawServer(lambda peer, _: peer.send(sent)) as server,
        pytest.raises(BadAnswer, match="implausible"),
    ):
        fetch(make_history(server.url))


@pytest.mark.parametrize("status", ["400 Bad Request", "503 Service Unavailable"])
def test_an_error_says_what_it_is_however_long_its_body_is(make_history, monkeypatch, status):
    monkeypatch.setattr(http_connections, "_MAX_UNRETURNED_SIZE", 1 << 20)

    def flood(peer, request):
        peer.send(head("Transfer-Encoding: chunked", status=status))
        peer.flood(b"10000\r\n" + bytes(0x10000) + b"\r\n")

    began = time.monotonic()
    with RawServer(flood) as server, pytest.raises((http_client.SourceError), match=status[:3]):
        make_history(server.url, timeout=30.0).list(Query())
    assert time.monotonic() - began < MAX_SECONDS


@pytest.mark.parametrize("start", [b"", b"0\r\n"], ids=["the size of a chunk", "trailers"])
def test_lines_without_end_are_not_collected(make_history, monkeypatch, start):
    monkeypatch.setattr(http_connections, "_MAX_LINES_SIZE", 1 << 20)

    def flood(peer, request):
        peer.send(head("Transfer-Encoding: chunked", kind="audio") + b"3\r\nID3\r\n" + start)
        peer.flood(b"0" * 60_000 + (b"\r\n" if start else b""))

    began = time.monotonic()
    with RawServer(flood) as server, pytest.raises(BadAnswer):
        fetch(make_history(server.url, timeout=30.0))
    assert time.monotonic() - began < MAX_SECONDS
