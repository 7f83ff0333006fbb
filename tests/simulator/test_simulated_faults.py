import gzip
import socket
import threading
import time

import pytest
import requests

from histfs.simulator import DEFAULT_KEY, Fault, Simulator, SimulatorSettings

AUDIO = "GET /v1/history/[^/]+/audio"


@pytest.fixture
def audio(simulator):
    """The path of an item's audio, and its bytes."""
    key = next(simulator.library.ids())
    return f"/v1/history/{key}/audio", bytes(simulator.library.clip(key))


def raw(simulator, request):
    """Send a request without an HTTP library and read until the end of the connection."""
    host, port = simulator.base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        head = f"{request} HTTP/1.1\r\nxi-api-key: {simulator.api_key}\r\n\r\n"
        connection.sendall(head.encode())
        received = b""
        while block := connection.recv(65536):
            received += block
        return received


def test_faults_pass_some_requests_and_then_end(simulator, ask):
    simulator.faults.add(Fault("GET /v1/history$", "status", status=503, after=1, count=2))
    statuses = [ask("GET", "/v1/history?page_size=1").status_code for _ in range(5)]
    assert statuses == [200, 503, 503, 200, 200]
    assert simulator.counts["GET /v1/history"] == 5


def test_a_fault_may_be_for_some_queries_alone(simulator, ask):
    simulator.faults.add(Fault("GET /v1/history$", "status", status=400, query=r"\bsearch="))
    queries = ("page_size=1", "search=x", "page_size=1&search=x", "page_size=1")
    statuses = [ask("GET", f"/v1/history?{query}").status_code for query in queries]
    assert statuses == [200, 400, 400, 200]


def test_the_first_of_several_faults_happens_and_clear_ends_them(simulator, ask):
    simulator.faults.add(Fault("history", "status", status=500, count=1))
    simulator.faults.add(Fault("GET", "status", status=429))
    assert [ask("GET", "/v1/history").status_code for _ in range(2)] == [500, 429]
    simulator.faults.clear()
    assert ask("GET", "/v1/history").status_code == 200


@pytest.mark.parametrize(
    ("fault", "body"),
    [
        ({"shape": "legacy", "code": "c"}, {"detail": {"status": "c"}}),
        ({"shape": "flat", "code": "c"}, {"error": "c"}),
        ({"shape": "detail"}, {"detail": {"code": "rate_limit_exceeded"}}),
        ({"body": {"own": [1]}}, {"own": [1]}),
    ],
)
def test_errors_in_each_shape_with_headers(simulator, ask, fault, body):
    headers = {"Retry-After": "7"}
    simulator.faults.add(Fault("GET", "status", status=429, headers=headers, **fault))
    answer = ask("GET", "/v1/history")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "7"
    received = answer.json()
    if "detail" in body:
        assert body["detail"].items() <= received["detail"].items()
    else:
        assert body.items() <= received.items()


def test_errors_that_are_no_json_or_a_list(simulator, ask):
    simulator.faults.add(Fault("GET", "status", status=502, body="Bad gateway", count=1))
    simulator.faults.add(Fault("GET", "status", status=422, shape="validation"))
    assert ask("GET", "/v1/history").text == "Bad gateway"
    assert isinstance(ask("GET", "/v1/history").json()["detail"], list)


@pytest.mark.parametrize(
    ("body", "sent"), [(None, b"null"), ({"a": 1}, b'{"a":1}'), ("<html>", b"<html>")]
)
def test_a_disguise_has_everything_right_but_the_body(simulator, ask, audio, body, sent):
    right = ask("GET", audio[0])
    simulator.faults.add(Fault(AUDIO, "disguise", body=body))
    answer = ask("GET", audio[0])
    assert (answer.status_code, answer.content) == (200, sent)
    assert answer.headers["content-type"] == right.headers["content-type"]


def test_a_reset_before_the_answer(simulator):
    simulator.faults.add(Fault("GET", "reset"))
    with pytest.raises(ConnectionResetError):
        raw(simulator, "GET /v1/history")
    assert [record.status for record in simulator.counts.log] == [None]


def test_a_reset_in_the_body(simulator, audio):
    simulator.faults.add(Fault("GET", "reset", at_byte=100))
    with pytest.raises(ConnectionResetError):
        raw(simulator, f"GET {audio[0]}")


@pytest.mark.parametrize("at_byte", [0, 1000, None, 10**9])
def test_a_cut_of_a_chunked_body_lacks_the_terminator(simulator, ask, audio, at_byte):
    path, body = audio
    simulator.faults.add(Fault(AUDIO, "cut", at_byte=at_byte))
    length = len(body) // 2 if at_byte is None else min(at_byte, len(body))
    head, _, rest = raw(simulator, f"GET {path}").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert rest == (b"%x\r\n%b\r\n" % (length, body[:length]) if length else b"")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        ask("GET", path)


def test_a_cut_of_a_body_of_known_length_is_too_short(simulator, audio):
    path, body = audio
    simulator.chunked = False
    simulator.faults.add(Fault(AUDIO, "cut", at_byte=1000))
    head, _, rest = raw(simulator, f"GET {path}").partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert rest == body[:1000]


@pytest.mark.parametrize("at_byte", [None, 0, 500])
def test_a_hang_ends_after_its_time(simulator, ask, audio, at_byte):
    path, body = audio
    simulator.faults.add(Fault(AUDIO, "hang", seconds=0.3, at_byte=at_byte))
    started = time.monotonic()
    assert ask("GET", path).content == body
    assert time.monotonic() - started >= 0.3


def test_a_hang_without_end_ends_with_the_simulator(simulator, audio):
    simulator.faults.add(Fault(AUDIO, "hang", at_byte=10))
    host, port = simulator.base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(f"GET {audio[0]} HTTP/1.1\r\nxi-api-key: demo-key\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        started = time.monotonic()
        simulator.stop()
        assert time.monotonic() - started < 1
        while connection.recv(65536):
            pass


def test_answers_that_are_something_else(simulator, ask, audio):
    path, body = audio
    location = {"Location": "http://127.0.0.1:9/elsewhere"}
    simulator.faults.add(
        Fault("GET", "html", count=1),
        Fault("GET", "redirect", headers=location, count=1),
        Fault("GET", "garbage", count=1),
        Fault("GET", "empty", count=1),
        Fault("GET", "headers", headers={"Content-Type": "text/odd"}, count=1),
        Fault("GET", "gzip", count=1),
    )
    page = ask("GET", path)
    assert (page.status_code, page.headers["content-type"][:9]) == (200, "text/html")
    moved = ask("GET", path, allow_redirects=False)
    assert (moved.status_code, moved.headers["location"]) == (302, location["Location"])
    garbage = ask("GET", path)
    with pytest.raises(ValueError, match="Unterminated"):
        garbage.json()
    empty = ask("GET", path)
    assert (empty.status_code, empty.content) == (200, b"")
    odd = ask("GET", path)
    assert (odd.headers["content-type"], odd.content) == ("text/odd", body)
    packed = ask("GET", path, headers={"Accept-Encoding": "identity"}, stream=True)
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.raw.read(decode_content=False)) == body


def test_a_deletion_whose_answer_is_lost(simulator, ask):
    lost, kept = list(simulator.library.ids())[:2]
    simulator.faults.add(Fault("DELETE", "reset", perform=True, count=1))
    simulator.faults.add(Fault("DELETE", "reset", count=1))
    for key in (lost, kept):
        with pytest.raises(requests.ConnectionError):
            ask("DELETE", f"/v1/history/{key}")
    assert lost not in simulator.library
    assert kept in simulator.library


def test_latency_and_bandwidth(simulator, ask, audio):
    path, body = audio
    simulator.latency = 0.1
    simulator.bandwidth = len(body) * 5
    started = time.monotonic()
    assert ask("GET", path).content == body
    assert time.monotonic() - started > 0.25
    simulator.bandwidth = None
    simulator.latency = 0
    assert ask("GET", path).content == body


def test_answers_share_a_link():
    """Two answers of one size take as long as twice that size, each at half the rate."""
    rate, took = 400_000, []
    header = {"xi-api-key": DEFAULT_KEY}
    settings = SimulatorSettings(items=2, clip_bytes=100_000, shared_bandwidth=rate)
    with Simulator(settings) as simulator:

        def fetch(key):
            url = f"{simulator.base_url}/v1/history/{key}/audio"
            begun = time.monotonic()
            size = len(requests.get(url, headers=header, timeout=10).content)
            took.append(size / (time.monotonic() - begun))

        threads = [threading.Thread(target=fetch, args=(key,)) for key in simulator.library.ids()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(took) == 2
    assert all(each < 0.8 * rate for each in took)


def test_affected_requests_are_counted_by_kind(simulator, ask):
    simulator.faults.add(Fault("", "status", count=2), Fault("", "html", after=1))
    for _ in range(4):
        ask("GET", "/v1/history")
    assert simulator.faults.happened == {"status": 2, "html": 1}


def test_a_body_that_drips_is_complete_and_comes_a_byte_at_a_time(simulator, ask, audio):
    path, clip = audio
    simulator.faults.add(Fault(AUDIO, "drip", at_byte=len(clip) - 5, seconds=0.05))
    began = time.monotonic()
    assert ask("GET", path).content == clip
    assert time.monotonic() - began >= 0.2


def test_an_answer_whose_head_drips_is_complete(simulator, ask, audio):
    path, clip = audio
    simulator.faults.add(Fault(AUDIO, "drip", head=True, seconds=0, count=1))
    assert ask("GET", path).content == clip
    simulator.faults.add(Fault(AUDIO, "drip", head=True, seconds=0.3))
    with pytest.raises(requests.exceptions.ReadTimeout):
        # The interval between bytes exceeds the client's read timeout.
        ask("GET", path, timeout=0.2)


def listed(answer):
    """Return the ids on a page, has_more, and the cursor."""
    page = answer.json()
    ids = [item["history_item_id"] for item in page["history"]]
    return ids, page["has_more"], page["last_history_item_id"]


def test_lists_that_lack_items_are_well_formed(simulator, ask):
    page = "/v1/history?page_size=10"
    ids, more, last = listed(ask("GET", page))
    assert (len(ids), more) == (10, True)
    simulator.faults.add(
        Fault("GET /v1/history$", "truncate", at_item=0, count=1),
        Fault("GET /v1/history$", "truncate", count=1),
        Fault("GET /v1/history$", "omit", positions=[0, 7], count=1),
    )
    assert listed(ask("GET", page)) == ([], False, None)
    assert listed(ask("GET", page)) == (ids[:5], False, None)
    assert listed(ask("GET", page)) == ([*ids[1:7], *ids[8:]], True, last)
    assert listed(ask("GET", page)) == (ids, more, last)


def test_truncation_leaves_other_answers_as_they_are(simulator, ask, audio):
    path, clip = audio
    simulator.faults.add(Fault("", "truncate"))
    assert ask("GET", path).content == clip
    assert "detail" in ask("GET", "/v1/history?page_size=0").json()


def test_faults_can_be_removed_one_by_one(simulator, ask):
    first, second = Fault("GET", "status", status=500), Fault("GET", "status", status=500)
    simulator.faults.add(first, second)
    assert ask("GET", "/v1/history").status_code == 500
    assert simulator.faults.remove(first) == 1
    assert ask("GET", "/v1/history").status_code == 500
    assert simulator.faults.remove(second) == 1
    assert ask("GET", "/v1/history").status_code == 200
