import functools
import io
import socket
import wave
import zipfile
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import requests
from elevenlabs import ElevenLabs
from elevenlabs.core.api_error import ApiError

from histfs.core.errors import InvalidRequest
from histfs.simulator import Simulator, SimulatorSettings
from histfs.sources.elevenlabs.error_responses import error_from_response


@pytest.fixture
def connect(simulator):
    """Create an official client with a key; its connections are closed after the test."""
    with httpx.Client() as connections:
        yield functools.partial(ElevenLabs, base_url=simulator.base_url, httpx_client=connections)


@pytest.fixture
def client(simulator, connect):
    return connect(api_key=simulator.api_key)


class TestOfficialClient:
    @pytest.mark.parametrize("page_size", [7, 100, 1000])
    def test_pages_to_the_end(self, simulator, client, page_size):
        seen, after = [], None
        while True:
            page = client.history.list(page_size=page_size, start_after_history_item_id=after)
            seen += [item.history_item_id for item in page.history]
            assert page.last_history_item_id == seen[-1]
            if not page.has_more:
                break
            after = page.last_history_item_id
        assert seen == list(simulator.library.ids())
        assert simulator.counts["GET /v1/history"] == -(-300 // page_size)

    def test_gets_an_item_and_its_audio(self, simulator, client):
        for key in list(simulator.library.ids())[:60]:
            item = client.history.get(key)
            assert item.text == simulator.library.item(key)["text"]
            audio = b"".join(client.history.get_audio(key))
            assert audio == bytes(simulator.library.clip(key))
            assert audio[:4] == (b"RIFF" if item.content_type == "audio/wav" else b"ID3\x04")

    def test_deletes(self, simulator, client):
        key = next(simulator.library.ids())
        assert client.history.delete(key).status == "ok"
        assert key not in simulator.library
        with pytest.raises(ApiError) as caught:
            client.history.delete(key)
        assert caught.value.status_code == 404
        assert caught.value.body["detail"]["code"] == "history_item_not_found"

    def test_downloads_one_as_it_is_and_as_wav(self, simulator, client):
        key = next(simulator.library.ids())
        same = b"".join(client.history.download(history_item_ids=[key]))
        assert same == bytes(simulator.library.clip(key))
        tone = b"".join(client.history.download(history_item_ids=[key], output_format="wav"))
        with wave.open(io.BytesIO(tone)) as sound:
            seconds = sound.getnframes() / sound.getframerate()
        ends = simulator.library.item(key)["alignments"]
        assert ends is None or seconds == pytest.approx(
            ends["alignment"]["character_end_times_seconds"][-1], abs=0.001
        )

    def test_downloads_several_as_a_zip_without_ids_in_it(self, simulator, client):
        ids = simulator.library.add(2, time=2_000_000_000)
        named = {"voice_name": "A/B", "voice_category": "cloned", "model_id": "eleven_v3"}
        named["settings"] = {"stability": 0.3, "similarity_boost": 0.95, "use_speaker_boost": True}
        ids += simulator.library.add(2, time=2_000_000_000, fields=named)
        packed = b"".join(client.history.download(history_item_ids=ids))
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            names = archive.namelist()
            bodies = [archive.read(name) for name in names]
        assert bodies == [bytes(simulator.library.clip(key)) for key in ids]
        stem = "ElevenLabs/ElevenLabs_2033-05-18T03_33_20_A_B_ivc_s30_sb95_b_v3"
        assert names[2].startswith(stem)
        assert len(set(names)) == 4

    def test_a_wrong_key(self, connect):
        client = connect(api_key="something-else")
        with pytest.raises(ApiError) as caught:
            client.history.list()
        assert caught.value.status_code == 401
        assert caught.value.body["detail"]["status"] == "invalid_api_key"

    def test_a_missing_permission(self, simulator, connect, reading_key):
        client = connect(api_key=reading_key)
        key = client.history.list(page_size=1).history[0].history_item_id
        with pytest.raises(ApiError) as caught:
            client.history.delete(key)
        assert caught.value.status_code == 401
        detail = caught.value.body["detail"]
        assert detail["status"] == "missing_permissions"
        assert "is missing the permission speech_history_write" in detail["message"]
        assert key in simulator.library


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("page_size=0", 400, "invalid_page_size"),
        ("page_size=1001", 400, "invalid_page_size"),
        ("start_after_history_item_id=unknown", 400, "invalid_cursor"),
    ],
)
def test_what_the_api_refuses(ask, query, status, code):
    answer = ask("GET", f"/v1/history?{query}")
    assert answer.status_code == status
    assert answer.json()["detail"]["code"] == code


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("parameter", ["search", "model_id"])
def test_a_strict_list_wants_a_source_with_a_parameter(parameter, status):
    settings = SimulatorSettings(needs_source=frozenset({parameter}), needs_source_status=status)
    with Simulator(settings) as strict:
        url, headers = f"{strict.base_url}/v1/history", {"xi-api-key": strict.api_key}

        def answer(query):
            return requests.get(f"{url}?{query}", headers=headers, timeout=5)

        refused = answer(f"{parameter}=x")
        assert refused.status_code == status
        assert isinstance(error_from_response(status, refused.json()), InvalidRequest)
        assert error_from_response(status, refused.json()).parameters == {"source"}
        assert answer(f"{parameter}=x&source=TTS").status_code == 200
        (other,) = {"search", "model_id"} - {parameter}
        assert answer(f"{other}=x").status_code == 200


def test_what_the_schema_refuses_comes_before_the_key(ask):
    query = "page_size=ten&source=Music&sort_direction=up&date_after_unix=1.5"
    answer = ask("GET", f"/v1/history?{query}", headers={"xi-api-key": "wrong"})
    assert answer.status_code == 422
    places = [tuple(entry["loc"]) for entry in answer.json()["detail"]]
    names = ["date_after_unix", "page_size", "sort_direction", "source"]
    assert sorted(places) == [("query", name) for name in names]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"no json", 422),
        (b"[]", 422),
        (b'{"history_item_id": "x"}', 422),
        (b'{"history_item_ids": "x"}', 422),
        (b'{"history_item_ids": [1], "output_format": 2}', 422),
        (b'{"history_item_ids": []}', 400),
        (b'{"history_item_ids": ["unknown"]}', 404),
        (b'{"history_item_ids": ["unknown", "too"]}', 404),
    ],
)
def test_what_a_download_refuses(ask, body, status):
    assert ask("POST", "/v1/history/download", data=body).status_code == status


def test_a_wrong_output_format_has_a_shape_of_its_own(ask):
    body = {"history_item_ids": ["x"], "output_format": "flac"}
    answer = ask("POST", "/v1/history/download", json=body)
    assert answer.status_code == 400
    message = "output_format must be wav or none"
    assert answer.json() == {"error": "invalid_output_format", "message": message}


def test_missing_keys(ask):
    missing = ask("GET", "/v1/history", headers={"xi-api-key": None})
    assert missing.json()["detail"]["status"] == "needs_authorization"
    bearer = {"xi-api-key": None, "Authorization": "Bearer x"}
    other = ask("GET", "/v1/history", headers=bearer)
    assert other.json()["detail"]["status"] == "invalid_authorization_header"
    assert missing.status_code == other.status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("HEAD", "/v1/history/x/audio", 405, "GET"),
        ("PUT", "/v1/history/x", 405, "DELETE, GET"),
        ("PATCH", "/v1/history/download", 405, "POST"),
        ("GET", "/v1/history/", 404, None),
        ("GET", "/v2/anything", 404, None),
    ],
)
def test_unknown_routes(ask, method, path, status, allow):
    answer = ask(method, path)
    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)
    assert method == "HEAD" or answer.json()["detail"] in {"Method Not Allowed", "Not Found"}


def test_fields_come_in_the_order_of_the_documented_example(ask):
    page = ask("GET", "/v1/history?page_size=1").json()
    assert list(page) == ["history", "has_more", "last_history_item_id", "scanned_until"]
    documented = [
        "history_item_id",
        "date_unix",
        "character_count_change_from",
        "character_count_change_to",
        "content_type",
        "state",
        "request_id",
        "voice_id",
        "model_id",
        "voice_name",
        "voice_category",
        "text",
        "settings",
        "source",
    ]
    assert list(page["history"][0])[: len(documented)] == documented


def test_audio_ignores_ranges_and_has_no_length_unless_it_is_configured(simulator, ask):
    key = next(simulator.library.ids())
    path = f"/v1/history/{key}/audio"
    expected = bytes(simulator.library.clip(key))
    answer = ask("GET", path, headers={"Range": "bytes=10-20"})
    assert (answer.status_code, answer.content) == (200, expected)
    assert answer.headers["transfer-encoding"] == "chunked"
    assert {"content-length", "accept-ranges", "etag"}.isdisjoint(answer.headers.keys())
    simulator.chunked = False
    answer = ask("GET", path)
    assert answer.content == expected
    assert answer.headers["content-length"] == str(len(expected))


def test_bodies_that_are_not_read(simulator):
    host, port = simulator.base_url.removeprefix("http://").split(":")
    for header in (
        "Content-Length: 99999999999",
        "Content-Length: x",
        "Transfer-Encoding: chunked",
    ):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(f"POST /v1/history/download HTTP/1.1\r\n{header}\r\n\r\n".encode())
            assert connection.recv(12) in {b"HTTP/1.1 400", b"HTTP/1.1 411", b"HTTP/1.1 413"}


def test_counts_and_the_log_never_hold_a_key(simulator, ask):
    secret = "sk-never-in-a-log"
    ask("GET", f"/v1/history?search={secret}", headers={"xi-api-key": secret})
    ask("GET", f"/v1/history?search={simulator.api_key}")
    ask("GET", "/v1/history/x", headers={"xi-api-key": None})
    counts = simulator.counts
    assert counts.per_endpoint() == {"GET /v1/history": 2, "GET /v1/history/{id}": 1}
    assert counts.total == 3
    assert [record.key for record in counts.log] == ["wrong", "right", "none"]
    assert [record.status for record in counts.log] == [401, 200, 401]
    assert counts.log[0].accept_encoding
    for key in (secret, simulator.api_key):
        assert key not in repr(counts.log)
        assert key not in ask("GET", "/_simulator/counts").text
    assert simulator.api_key not in repr(SimulatorSettings())
    counts.reset()
    assert counts.total == 0
    assert counts.log == []


def test_the_most_requests_in_flight(simulator):
    simulator.latency = 0.4
    header = {"xi-api-key": simulator.api_key}

    def get(path):
        return requests.get(simulator.base_url + path, headers=header, timeout=5).status_code

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(get, ["/v1/history?page_size=1"] * 6)) == {200}
    assert simulator.counts.max_in_flight == 6
    simulator.counts.reset()
    simulator.latency = 0
    for _ in range(5):
        get("/v1/history?page_size=1")
    assert simulator.counts.max_in_flight == 1


def test_other_processes_control_it(simulator, ask):
    added = ask("POST", "/_simulator/items", json={"count": 2, "fields": {"text": "new"}}).json()
    page = ask("GET", "/v1/history?page_size=2").json()
    assert [item["history_item_id"] for item in page["history"]] == added["history_item_ids"][::-1]
    assert page["history"][0]["text"] == "new"
    ask("POST", "/_simulator/faults", json={"pattern": "GET", "kind": "status", "count": 1})
    assert ask("GET", "/v1/history").status_code == 500
    assert ask("GET", "/v1/history").status_code == 200
    assert ask("GET", "/_simulator/counts").json()["counts"] == {"GET /v1/history": 3}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", {"pattern": "(", "kind": "status"}),
        ("faults", {"pattern": "", "kind": "nonsense"}),
        ("faults", {"pattern": "", "kind": "redirect"}),
        ("faults", {"pattern": "", "kind": "cut", "at_byte": -1}),
        ("faults", {"kind": "cut", "after": None}),
        ("faults", {"pattern": "", "kind": "cut", "headers": ["X: y"]}),
        ("faults", {"pattern": "", "kind": "cut", "at": 1}),
        ("items", {"count": "many"}),
        ("items", {"fields": {"date_unix": 1}}),
    ],
)
def test_control_endpoints_refuse_invalid_values(ask, path, body):
    answer = ask("POST", f"/_simulator/{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["detail"]


@pytest.mark.parametrize("limits", [{"latency": -1}, {"bandwidth": 0}])
def test_a_pace_that_is_impossible_is_refused(simulator, limits):
    ((name, value),) = limits.items()
    with pytest.raises(ValueError, match="must be a number"):
        setattr(simulator, name, value)


def test_a_port_that_is_taken_is_reported(simulator):
    port = int(simulator.base_url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        Simulator(SimulatorSettings(port=port))


def test_requests_wait_until_it_starts():
    simulator = Simulator(SimulatorSettings(items=1))
    with ThreadPoolExecutor(1) as pool:
        header = {"xi-api-key": simulator.api_key}
        url = f"{simulator.base_url}/v1/history"
        waiting = pool.submit(requests.get, url, headers=header, timeout=5)
        with simulator:
            assert waiting.result().status_code == 200


def test_audio_has_head_ranges_and_etags_where_they_are_configured():
    settings = SimulatorSettings(items=1, audio_head=True, audio_ranges=True, audio_etags=True)
    with Simulator(settings) as simulator, requests.Session() as session:
        session.headers["xi-api-key"] = simulator.api_key
        (item_id,) = simulator.library.ids()
        url = f"{simulator.base_url}/v1/history/{item_id}/audio"
        complete = session.get(url, timeout=5)
        assert complete.content == bytes(simulator.library.clip(item_id))
        head = session.head(url, timeout=5)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["etag"] == complete.headers["etag"]
        part = session.get(url, headers={"Range": "bytes=5-9"}, timeout=5)
        assert (part.status_code, part.content) == (206, complete.content[5:10])
        assert part.headers["content-range"] == f"bytes 5-9/{len(complete.content)}"
        rest = session.get(url, headers={"Range": "bytes=100-"}, timeout=5)
        assert rest.content == complete.content[100:]
        assert session.get(url, headers={"Range": "bytes=99999999-"}, timeout=5).status_code == 416
