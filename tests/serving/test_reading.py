"""Files and directories by plain HTTP."""

from __future__ import annotations

import email.utils
import hashlib
import json
import socket
import time
from urllib.parse import urlsplit

import pytest
import requests

from histfs.core.name_forms import is_audio_name
from histfs.simulator import Fault

AUDIO = "GET /v1/history/{id}/audio"


def test_a_page_shows_a_directory_with_its_names_escaped(client, tree):
    page = client.get("/by-voice/")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert '<a href="./Zo%C3%AB%20%26%20Max%20-%20Studio/">Zoë &amp; Max - Studio/</a>' in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    # It needs nothing from anywhere else.
    assert "http" not in page.text and "<script" not in page.text


def test_a_directory_without_its_slash_is_redirected_to_this_server(client):
    moved = client.get("/by-voice")
    assert (moved.status_code, moved.headers["Location"]) == (301, "/by-voice/")
    elsewhere = requests.get(f"{client.url}/evil.example/..%2fby-voice", allow_redirects=False)
    assert elsewhere.headers.get("Location", "").count("//") == 0


def test_audio_has_no_length_before_it_is_known_and_is_whole_all_the_same(
    client, simulator, audio, tree
):
    head = client.ask("HEAD", audio)
    assert (head.status_code, head.headers.get("Content-Length")) == (200, None)
    assert (head.headers.get("ETag"), simulator.counts[AUDIO]) == (None, 0)
    first = client.get(audio)
    with tree.open(audio) as file:
        content = file.read()
    assert (first.status_code, first.content) == (200, content)
    tree.sources[0].audio.flush(tree.waiter())
    second = client.get(audio)
    assert second.headers["Content-Length"] == str(len(content))
    assert second.headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert (second.content, simulator.counts[AUDIO]) == (content, 1)


def test_the_date_is_that_of_the_item_and_the_types_are_those_of_the_files(client, item, audio):
    meta = client.get(f"{item}/meta.json")
    date = email.utils.formatdate(meta.json()["date_unix"], usegmt=True)
    assert meta.headers["Content-Type"] == "application/json"
    assert client.get(f"{item}/text.txt").headers["Content-Type"] == "text/plain; charset=utf-8"
    sound = client.get(audio)
    assert sound.headers["Content-Type"].startswith("audio/")
    assert sound.headers["Last-Modified"] == meta.headers["Last-Modified"] == date


def test_a_range_is_exact_although_the_size_was_not_known(client, simulator, audio, tree):
    part = client.get(audio, Range="bytes=5-9")
    with tree.open(audio) as file:
        content = file.read()
    size = len(content)
    assert (part.status_code, part.content) == (206, content[5:10])
    assert part.headers["Content-Range"] == f"bytes 5-9/{size}"
    assert client.get(audio, Range="bytes=-4").content == content[-4:]
    assert client.get(audio, Range=f"bytes={size - 3}-").content == content[-3:]
    assert client.get(audio, Range="bytes=0-").content == content
    beyond = client.get(audio, Range=f"bytes={size}-")
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")
    assert simulator.counts[AUDIO] == 1


def test_what_has_not_changed_is_not_sent_again(client, audio, tree):
    client.get(audio)
    tree.sources[0].audio.flush(tree.waiter())
    known = client.get(audio)
    tag, date = known.headers["ETag"], known.headers["Last-Modified"]
    assert client.get(audio, **{"If-None-Match": f'"other", W/{tag}'}).status_code == 304
    assert client.get(audio, **{"If-Modified-Since": date}).status_code == 304
    assert client.get(audio, **{"If-Match": '"other"'}).status_code == 412
    for condition, status in ((tag, 206), ('"other"', 200), (date, 206)):
        part = client.get(audio, **{"If-Range": condition, "Range": "bytes=0-3"})
        assert part.status_code == status, condition


def test_a_clip_that_breaks_off_is_never_taken_for_a_whole_one(client, simulator, audio):
    simulator.faults.add(Fault("GET /v1/history/.*/audio", "cut", at_byte=5000))
    try:
        answer = client.get(audio)
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError):
        return
    # It broke off before its first bytes were sent.
    assert answer.status_code == 502


def test_an_error_of_the_account_is_a_status_and_not_an_empty_file(client, simulator, audio, item):
    simulator.faults.add(Fault("GET /v1/history/.*/audio", "status", status=500))
    assert client.get(audio).status_code == 502
    assert client.get(audio, Range="bytes=3-").status_code == 502
    assert client.get(f"{item}/nothing").status_code == 404
    assert client.get("/by-date/1999/").status_code == 404


def test_a_client_of_http_1_0_gets_a_length_because_it_knows_no_chunks(client, audio, tree):
    place = urlsplit(client.url + requests.utils.quote(audio.lstrip("/")))
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(f"GET {place.path} HTTP/1.0\r\n\r\n".encode())
        with connection.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
    with tree.open(audio) as file:
        assert body == file.read()
    assert f"Content-Length: {len(body)}\r\n".encode() in head


@pytest.mark.parametrize("formats", ["untold"])
def test_audio_is_found_by_the_name_that_it_had_before_its_first_bytes_came(
    formats, client, simulator, tree
):
    before = {}
    for folder in tree.ls("/by-voice/Rachel"):
        path = f"/by-voice/Rachel/{folder}"
        before |= {f"{path}/{name}": path for name in tree.ls(path) if is_audio_name(name)}
    contents = {name: client.get(name).content for name in before}
    tree.sources[0].audio.flush(tree.waiter())
    after = {f"{path}/{name}" for path in before.values() for name in tree.ls(path)}
    assert set(before) - after, "the simulator has no clip of an unexpected format"
    for name, content in contents.items():
        assert client.get(name, Range="bytes=0-").content == content != b""


def test_something_else_may_answer_at_the_root(serve, item):
    def front(environ, start_response):
        start_response("200 OK", [("Content-Length", "4")])
        return [b"page"]

    client = serve(front)
    assert client.get().text == "page"
    assert json.loads(client.get(f"{item}/meta.json").text)
    assert client.ask("GET", "", headers={"Host": "evil.example"}).status_code == 421


def test_the_end_does_not_wait_for_a_client_that_reads_nothing(tree, simulator, audio):
    from histfs.serving.server import ServeOptions, serving

    simulator.faults.add(Fault("GET /v1/history/.*/audio", "hang", seconds=30))
    with serving(tree, ServeOptions("127.0.0.1", 0)) as url:
        place = urlsplit(url + requests.utils.quote(audio.lstrip("/")))
        waiting = socket.create_connection((place.hostname, place.port))
        waiting.sendall(f"GET {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
        time.sleep(0.5)
        began = time.monotonic()
    waiting.close()
    assert time.monotonic() - began < 4
