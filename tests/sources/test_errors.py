"""Error responses of the server become exceptions."""

from __future__ import annotations

import pytest

from histfs.core.errors import (
    BadAnswer,
    InvalidRequest,
    KeyRefused,
    Missing,
    MissingPermission,
    RateLimited,
    Rejected,
    ServerFailed,
)
from histfs.core.source import Query
from tests.sources.conftest import BASE

ITEM = f"{BASE}/v1/history/a"


def modern(code, message, status=None):
    common = {"type": "some_error", "request_id": "437bca07"}
    return {"detail": {**common, "code": code, "message": message, "status": status or code}}


def legacy(status, message):
    return {"detail": {"status": status, "message": message}}


NO_PERMISSION = "The API key you used is missing the permission speech_history_read to execute this"
NO_ITEM = "A history item with ID 'a' was not found on the server."
INVALID = [
    {"type": "int_parsing", "loc": ["query", "page_size"], "msg": "should be a valid integer"},
    {"loc": ["query", "source"], "msg": "unexpected value"},
]


@pytest.mark.parametrize(
    ("status", "body", "parameters"),
    [
        (422, {"detail": INVALID}, {"page_size", "source"}),
        (422, {"detail": [{"loc": ["query", "sources", 0], "msg": "?"}]}, {"sources"}),
        (422, {"detail": [{"loc": ["query"]}, {"loc": ["query", 7]}, {"loc": 7}, 7]}, set()),
        (400, {"detail": {"code": "bad_request", "param": "source"}}, {"source"}),
        (400, {"detail": {"code": "bad_request", "param": ["source"]}}, set()),
        (400, legacy("bad_request", "source is required"), set()),
        (400, None, set()),
    ],
)
def test_a_refused_request_says_which_parameters_are_to_blame(
    history, answers, status, body, parameters
):
    answers.get(ITEM, status=status, json=body)
    with pytest.raises(InvalidRequest) as caught:
        history.get("a")
    assert caught.value.parameters == parameters


@pytest.mark.parametrize(
    ("status", "body", "error_class", "text"),
    [
        (401, modern("unauthorized", "Invalid API key", "invalid_api_key"), KeyRefused, "Invalid"),
        (401, legacy("needs_authorization", "No key"), KeyRefused, "No key"),
        (401, None, KeyRefused, "401"),
        (403, modern("forbidden", "Not for you"), KeyRefused, "Not for you"),
        (401, modern("missing_permissions", NO_PERMISSION), MissingPermission, "history_read"),
        (401, modern("unauthorized", NO_PERMISSION, "missing_permissions"), MissingPermission,
         "history_read"),
        (403, legacy("missing_permissions", NO_PERMISSION), MissingPermission, "history_read"),
        (403, modern("insufficient_permissions", NO_PERMISSION), MissingPermission, "history_read"),
        (404, modern("history_item_not_found", "gone"), Missing, "gone"),
        (404, {"detail": "Not Found"}, Missing, "Not Found"),
        (404, None, Missing, "404"),
        (400, legacy("invalid_id", NO_ITEM), Missing, "was not found"),
        (400, modern("bad_request", "An invalid ID", "invalid_uid"), InvalidRequest,
         "An invalid ID"),
        (400, {"error": "invalid_output_format", "message": "wav or none"}, InvalidRequest,
         "wav or"),
        (422, {"detail": INVALID}, InvalidRequest, "query.page_size: should be a valid integer"),
        (422, {"detail": INVALID}, InvalidRequest, "query.source: unexpected value"),
        (402, modern("insufficient_credits", "Pay"), Rejected, "Pay"),
        (429, modern("rate_limit_exceeded", "Slow down"), RateLimited, "Slow down"),
        (429, legacy("too_many_concurrent_requests", "maximum of 5"), RateLimited, "maximum of 5"),
        (500, modern("internal_error", "Oh"), ServerFailed, "Oh"),
        (503, "<html>Bad Gateway</html>", ServerFailed, "503"),
        (301, None, BadAnswer, "301"),
        # Unknown shapes.
        (400, [], InvalidRequest, "400"),
        (400, {"detail": None}, InvalidRequest, "400"),
        (400, {"detail": 7}, InvalidRequest, "400"),
        (400, {"detail": [None, "x", {"msg": 3, "loc": 4}]}, InvalidRequest, "3"),
        (400, {"detail": {"code": ["x"], "message": {}}}, InvalidRequest, "400"),
        (418, {"detail": {"code": "teapot"}}, Rejected, "teapot"),
    ],
)  # fmt: skip
def test_an_error_answer_becomes_the_exception_that_it_means(
    history, answers, status, body, error_class, text
):
    if isinstance(body, str):
        answers.get(ITEM, status=status, body=body)
    else:
        answers.get(ITEM, status=status, json=body)
    with pytest.raises(error_class) as caught:
        history.get("a")
    assert type(caught.value) is error_class
    assert text in str(caught.value)


def test_a_message_of_the_servers_is_one_short_line_without_control_characters(history, answers):
    answers.get(ITEM, status=400, json={"detail": "\x1b[31mred\x1b[0m\nline\u2028two\u202e " * 99})
    with pytest.raises(Rejected) as caught:
        history.get("a")
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 400


@pytest.mark.parametrize(
    ("status", "location"),
    [
        (301, "https://elsewhere.example.com/v1"),
        (302, "/login"),
        (303, ""),
        (307, "http://["),
        (308, "https://api.example.com/v1/history/a/"),
    ],
)
def test_a_redirect_is_not_followed(history, answers, status, location):
    answers.get(ITEM, status=status, headers={"Location": location})
    with pytest.raises(BadAnswer):
        history.get("a")
    assert len(answers.calls) == 1


def test_a_redirect_of_the_audio_is_told_with_its_host(history, answers):
    answers.get(f"{ITEM}/audio", status=302, headers={"Location": "https://cdn.example.com/x?t=1"})
    with (
        pytest.raises(BadAnswer, match=r"redirects to cdn\.example\.com: not followed"),
        history.audio("a"),
    ):
        pass


def test_an_id_that_is_a_step_in_a_path_is_never_asked_for(history, answers):
    for item_id in (".", "..", ""):
        for call in (history.get, history.delete):
            with pytest.raises(Rejected, match="can't be requested"):
                call(item_id)
    assert len(answers.calls) == 0


def test_the_list_names_the_permission_that_is_missing(history, answers):
    answers.get(f"{BASE}/v1/history", status=401, json=modern("missing_permissions", NO_PERMISSION))
    with pytest.raises(MissingPermission, match="speech_history_read"):
        history.list(Query())


def test_a_media_type_that_is_an_escape_sequence_reaches_no_terminal(make_history, raw_server):
    odd = b"text/\x1b[31m\x9b31m\xad"
    url = raw_server(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: 2\r\n\r\nhi" % odd)
    with (
        pytest.raises(BadAnswer, match="not audio but text/") as caught,
        make_history(url).audio("a"),
    ):
        pass
    assert str(caught.value).isprintable()
