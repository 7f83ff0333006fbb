"""The API key is sent to the server, and goes nowhere else."""

from __future__ import annotations

import logging
import traceback

import pytest

from histfs import __version__
from histfs.core.errors import HistfsError, MissingPermission
from histfs.core.source import Query
from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.sources.conftest import BASE, KEY

ITEM = f"{BASE}/v1/history/a"
JSON_ESCAPED = "".join(f"\\u{ord(c):04x}" for c in KEY)
URL_ESCAPED = "".join(f"%{ord(c):02X}" for c in KEY)


def logged(error):
    """Return an exception as a log shows it, with its causes."""
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("method", "path", "call"),
    [
        ("GET", "", lambda history: history.list(Query())),
        ("GET", "/a", lambda history: history.get("a")),
        ("DELETE", "/a", lambda history: history.delete("a")),
        ("GET", "/a/audio", lambda history: history.audio("a").__enter__()),
        ("POST", "/download", lambda history: history.download(["a"]).__enter__()),
    ],
    ids=["list", "get", "delete", "audio", "download"],
)
def test_the_key_is_sent_in_its_own_header_and_nowhere_else(history, answers, method, path, call):
    answers.add(method, f"{BASE}/v1/history{path}", status=400)
    with pytest.raises(HistfsError):
        call(history)
    (request,) = [call.request for call in answers.calls]
    assert request.headers.pop("xi-api-key") == KEY
    assert KEY not in f"{request.headers}{request.url}{request.body}"
    assert "Authorization" not in request.headers
    assert request.headers["User-Agent"] == f"histfs/{__version__}"


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 401, "json": {"detail": {"message": f"The key {KEY} is wrong"}}},
        {"status": 400, "json": {"detail": f"bad header xi-api-key: {KEY}"}},
        {"status": 400, "json": {"detail": [{"loc": ["header", KEY], "msg": KEY}]}},
        {"status": 400, "json": {"error": KEY}},
        {"status": 500, "body": KEY},
        {"status": 200, "body": KEY},
        {"status": 200, "body": "", "content_type": f"text/html; echo={KEY}"},
        {"status": 401, "body": f'{{"detail": {{"message": "bad {JSON_ESCAPED}"}}}}'},
        {"status": 401, "body": f'{{"detail": "bad {JSON_ESCAPED}"}}'},
        {"status": 422, "body": f'{{"detail": [{{"loc": ["{JSON_ESCAPED}"], "msg": 1}}]}}'},
        {"status": 400, "body": f'{{"error": "{JSON_ESCAPED}"}}'},
        {"status": 401, "json": {"detail": f"bad {URL_ESCAPED}"}},
        {"status": 200, "body": "", "content_type": f"text/{URL_ESCAPED}"},
        {"status": 302, "headers": {"Location": f"https://{KEY.replace('_', '-')}.example.com/"}},
        {"status": 302, "headers": {"Location": f"https://example.com/?key={KEY}"}},
    ],
    ids=[
        "message",
        "text",
        "validation",
        "code",
        "error body",
        "body",
        "type",
        "escaped message",
        "escaped text",
        "escaped validation",
        "escaped code",
        "URL",
        "escaped type",
        "host",
        "query",
    ],
)
def test_a_server_that_echoes_the_key_gets_it_into_no_exception(
    history, make_history, answers, answer
):
    answers.get(ITEM, **answer)
    # A key without an underscore is valid in a host name.
    for key in (KEY, KEY.replace("_", "-")):
        with pytest.raises(HistfsError) as caught:
            make_history(key=key).get("a")
        text = logged(caught.value)
        assert key not in text
        assert URL_ESCAPED not in text
        assert key not in repr(history)


def test_audio_of_a_type_that_echoes_the_key_gets_it_into_no_exception(history, answers):
    answers.get(f"{ITEM}/audio", body="x", content_type=f"text/{KEY}")
    with pytest.raises(HistfsError) as caught, history.audio("a"):
        pass
    assert KEY not in logged(caught.value)


@pytest.mark.parametrize("before", [255, 270, 290, 310])
def test_a_message_that_is_cut_does_not_end_in_a_piece_of_the_key(history, answers, before):
    answers.get(ITEM, status=401, json={"detail": "x" * before + KEY})
    with pytest.raises(HistfsError) as caught:
        history.get("a")
    assert KEY[:6] not in logged(caught.value)


def test_the_key_is_not_in_the_debug_log(live, simulator, caplog):
    for logger in (None, "urllib3"):
        caplog.set_level(logging.DEBUG, logger=logger)
    live.list(Query())
    assert caplog.records
    assert simulator.api_key not in caplog.text
    assert simulator.counts.log[0].key == "right"


def test_a_netrc_file_is_not_used(make_history, answers, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.example.com login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    answers.get(ITEM, json={"history_item_id": "a"})
    make_history().get("a")
    assert "Authorization" not in answers.calls[0].request.headers


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_proxy_of_the_environment_does_not_get_what_is_for_this_machine(
    make_history, monkeypatch, host
):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    try:
        server = Simulator(SimulatorSettings(items=1, host=host))
    except OSError as error:
        pytest.skip(f"{host}: {error.strerror}")
    with server:
        assert make_history(server.base_url, server.api_key).list(Query(limit=1)).records


@pytest.mark.parametrize("message", ["", "Not for you", "You may not read or write"])
@pytest.mark.parametrize(
    ("method", "call", "permission"),
    [
        ("GET", lambda history: history.get("a"), "speech_history_read"),
        ("DELETE", lambda history: history.delete("a"), "speech_history_write"),
    ],
)
def test_a_permission_is_named_though_the_server_does_not(
    history, answers, method, call, permission, message
):
    detail = {"status": "missing_permissions", "message": message}
    answers.add(method, ITEM, status=403, json={"detail": detail})
    with pytest.raises(MissingPermission, match=f"needs the permission {permission}$"):
        call(history)


def test_a_permission_that_the_server_names_is_taken_from_it(history, answers):
    detail = {"status": "missing_permissions", "message": "missing the permission convai_write"}
    answers.delete(ITEM, status=401, json={"detail": detail})
    with pytest.raises(MissingPermission) as caught:
        history.delete("a")
    assert "speech_history" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_server_that_redirects_brings_no_request_to_another_one(live, simulator, status):
    with Simulator(SimulatorSettings(items=1)) as other:
        location = {"Location": f"{other.base_url}/v1/history"}
        simulator.faults.add(Fault("", "redirect", status=status, headers=location))
        for call in (lambda: live.list(Query()), lambda: live.delete("a")):
            with pytest.raises(HistfsError, match=r"redirects to 127\.0\.0\.1: not followed"):
                call()
        assert other.counts.total == 0
