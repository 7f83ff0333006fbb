"""The server from which players get clips: bytes as they come, and who may have them."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import time
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from histfs.clip_address import ClipAddress
from histfs.clip_server import Clip, serve_clips
from histfs.core.secret import Secret
from histfs.loopback_peer import peer_uid
from histfs.mounting import open_tree
from histfs.mounting.tree_clips import TreeClips
from histfs.settings import Settings
from histfs.simulator import Fault, Simulator, SimulatorSettings
from histfs.sources.elevenlabs.service import ELEVENLABS

#: Bytes of a clip, and bytes a second: it takes three seconds.
SIZE, RATE = 300_000, 100_000
AUDIO = "GET /v1/history/{id}/audio"


@pytest.fixture
def simulator():
    """A server with one clip."""
    with Simulator(SimulatorSettings(items=1, clip_bytes=SIZE, conversations=0)) as running:
        yield running


@pytest.fixture
def whole(simulator):
    (item,) = simulator.library.ids()
    return bytes(simulator.library.clip(item))


@pytest.fixture
def told():
    """What the user was told."""
    return []


@pytest.fixture
def tree(simulator, tmp_path, no_pauses):
    key = Secret(simulator.api_key, "the test")
    settings = Settings(
        base_url=simulator.base_url,
        key=key,
        cache_dir=tmp_path / "cache",
        timeout=10.0,
        service=ELEVENLABS,
    )
    with open_tree(settings) as tree:
        yield tree


@pytest.fixture
def clip(tree, simulator):
    """The clip; from here on audio comes slowly."""
    path = "/by-date"
    for _ in range(4):
        path += f"/{next(iter(tree.listdir(path))).name}"
    simulator.bandwidth = RATE
    return Clip(f"{path}/audio.mp3", "hello <b>&.mp3")


@pytest.fixture
def address():
    with contextlib.closing(ClipAddress()) as address:
        yield address


@pytest.fixture
def server(address, tree, clip, told):
    owner = os.geteuid()
    with serve_clips(address, TreeClips(tree), [clip], lambda *line: told.append(line), owner):
        yield SimpleNamespace(urls=address.urls([clip.name]), page=address.page)


class Answer:
    """An answer whose head has come."""

    def __init__(self, url: str, method: str = "GET", **headers: str) -> None:
        place = urlsplit(url)
        self.connection = http.client.HTTPConnection(place.hostname, place.port, timeout=20)
        self.connection.request(method, place.path, headers=headers)
        self.answer = self.connection.getresponse()
        self.status, self.headers = self.answer.status, self.answer.headers

    def read(self, size: int | None = None) -> bytes:
        return self.answer.read(size)

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


@pytest.fixture
def ask():
    """Send a request."""
    with contextlib.ExitStack() as stack:

        def ask(url: str, method: str = "GET", **headers: str) -> Answer:
            return stack.enter_context(contextlib.closing(Answer(url, method, **headers)))

        yield ask


@pytest.mark.parametrize("chunked", [True, False], ids=["unknown length", "known length"])
def test_a_clip_is_sent_as_it_comes_without_a_length_and_then_with_one_and_in_ranges(
    ask, server, simulator, whole, chunked
):
    simulator.chunked = chunked
    (url,) = server.urls
    began = time.monotonic()
    answer = ask(url, Range="bytes=0-")
    first = answer.read(1)
    assert time.monotonic() - began < 1
    assert (answer.status, answer.headers["Content-Length"]) == (200, None)
    assert answer.headers["Content-Type"] == "audio/mpeg"
    assert first + answer.read() == whole
    assert time.monotonic() - began > 2
    again = ask(url)
    assert (again.status, again.headers["Content-Length"]) == (200, str(len(whole)))
    assert again.headers["Accept-Ranges"] == "bytes"
    assert again.read() == whole
    part = ask(url, Range="bytes=1000-1999")
    assert part.status == 206
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(whole)}"
    assert part.read() == whole[1000:2000]
    assert ask(url, Range=f"bytes={len(whole)}-").status == 416
    head = ask(url, "HEAD")
    assert (head.headers["Content-Length"], head.read()) == (str(len(whole)), b"")
    assert simulator.counts[AUDIO] == 1


def test_a_player_that_seeks_gets_its_range_once_the_clip_is_whole(ask, server, simulator, whole):
    simulator.bandwidth = 4 * RATE
    answer = ask(server.urls[0], Range="bytes=-1000")
    assert (
        answer.headers["Content-Range"]
        == f"bytes {len(whole) - 1000}-{len(whole) - 1}/{len(whole)}"
    )
    assert answer.read() == whole[-1000:]


def test_an_old_client_gets_the_clip_until_the_connection_ends(server, simulator, whole):
    simulator.bandwidth = 4 * RATE
    place = urlsplit(server.urls[0])
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        connection.sendall(f"GET {place.path} HTTP/1.0\r\n\r\n".encode())
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body == whole


def test_a_clip_that_breaks_off_does_not_look_whole_and_is_told(ask, server, simulator, clip, told):
    simulator.faults.add(Fault("/audio", "cut", at_byte=50_000))
    answer = ask(server.urls[0])
    with pytest.raises(http.client.HTTPException):
        answer.read()
    assert [path for path, _ in told] == [clip.path]


def test_a_clip_that_can_not_be_had_is_an_error_and_is_told(ask, server, simulator, told):
    simulator.faults.add(Fault("/audio", "status", status=500))
    assert ask(server.urls[0]).status == 502
    assert len(told) == 1


@pytest.mark.parametrize(
    "path",
    ["/", "/0/hello.mp3", "/wrong/0/hello.mp3", "/{token}/1/hello.mp3", "/{token}/-1/x",
     "/{token}/²/x", "/{token}x/0/x", "/é/0/x", "//0/x"],
)  # fmt: skip
def test_without_the_token_and_a_clips_number_there_is_nothing(server, simulator, path):
    token = urlsplit(server.page).path.strip("/")
    assert len(token) > 20
    asked = path.format(token=token).encode("utf-8").decode("latin-1")
    place = urlsplit(server.page)
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        connection.sendall(f"GET {asked} HTTP/1.1\r\nConnection: close\r\n\r\n".encode("latin-1"))
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert simulator.counts[AUDIO] == 0


def test_a_browser_gets_a_page_with_all_clips(ask, server):
    page = ask(server.page)
    text = page.read().decode()
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "hello &lt;b&gt;&amp;.mp3" in text
    assert f"src='{server.urls[0].removeprefix(server.page)}'" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_who_knows_the_address_gets_nothing(server, simulator):
    script = (
        "import sys, urllib.request, urllib.error\n"
        "try: print(urllib.request.urlopen(sys.argv[1]).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)"
    )
    line = ["/usr/bin/env", "python3", "-c", script, server.urls[0]]
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(line, user=65534, env=env, capture_output=True, text=True, timeout=30)
    assert done.stdout == "403\n", done.stderr
    assert simulator.counts[AUDIO] == 0


def test_the_user_at_the_other_end_is_told():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
        with theirs, ours:
            assert peer_uid(ours) == os.geteuid()


def test_at_the_end_nothing_listens_and_who_waits_is_let_go(ask, tree, clip, simulator):
    simulator.faults.add(Fault("/audio", "hang", at_byte=10_000))
    with (
        contextlib.closing(ClipAddress()) as address,
        serve_clips(address, TreeClips(tree), [clip], lambda *_: None, None),
    ):
        (url,) = address.urls([clip.name])
        answer = ask(url)
        assert answer.read(1)
        began = time.monotonic()
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        answer.read()
    assert time.monotonic() - began < 3
    with pytest.raises(ConnectionRefusedError):
        ask(url)


def test_one_that_connects_before_there_is_a_server_is_answered_then(address, tree, clip, whole):
    first, second = address.urls(["not there", clip.name])
    with socket.create_connection(address.socket.getsockname()) as early:
        early.sendall(f"GET {urlsplit(second).path} HTTP/1.0\r\n\r\n".encode())
        with serve_clips(address, TreeClips(tree), [None, clip], lambda *_: None, None):
            answer = b"".join(iter(lambda: early.recv(65536), b""))
            missing = Answer(first)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n" + whole)
    assert missing.status == 404
    missing.close()
