"""The size of audio by HEAD, or by a range of one byte."""

from __future__ import annotations

import pytest

from histfs.core.errors import BadAnswer, Missing, NotOffered, RateLimited, ServerFailed
from histfs.simulator import Simulator, SimulatorSettings
from tests.sources.conftest import BASE

URL = f"{BASE}/v1/history/a/audio"
AUDIO = {"Content-Type": "audio/mpeg"}


def methods(answers):
    return [call.request.method for call in answers.calls]


def answer_head(answers, status=200, length="5", **headers):
    answers.add(
        "HEAD",
        URL,
        status=status,
        headers={**AUDIO, **({} if length is None else {"Content-Length": length}), **headers},
        auto_calculate_content_length=False,
    )


def note_ranges(answers, history):
    """Let the server send a clip, and say that it has ranges."""
    headers = {"Accept-Ranges": "bytes", "Content-Length": "5"}
    answers.add("GET", URL, body=b"ID3ab", content_type="audio/mpeg", headers=headers)
    with history.audio("a") as stream:
        list(stream.chunks())
    answers.reset()


def test_head_tells_the_size(answers, history):
    answer_head(answers, length="123456")
    assert history.audio_size("a") == 123456
    assert answers.calls[0].request.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 405},
        {"status": 501},
        {"status": 400},
        {"length": None},
        {"length": "0"},
        {"length": "-5"},
        {"length": "5", "Content-Encoding": "gzip"},
    ],
    ids=str,
)
def test_a_server_without_head_is_asked_once_and_never_for_a_clip(answers, history, answer):
    answer_head(answers, **answer)
    for _ in range(2):
        with pytest.raises(NotOffered):
            history.audio_size("a")
    assert methods(answers) == ["HEAD"]


def test_without_head_a_range_tells_the_size_where_the_server_has_them(answers, history):
    note_ranges(answers, history)
    answer_head(answers, status=405)
    headers = {**AUDIO, "Content-Range": "bytes 0-0/123456"}
    answers.add("GET", URL, status=206, body=b"I", headers=headers)
    assert [history.audio_size("a") for _ in range(2)] == [123456, 123456]
    assert methods(answers) == ["HEAD", "GET", "GET"]
    assert answers.calls[1].request.headers["Range"] == "bytes=0-0"


@pytest.mark.parametrize(
    "content_range", [None, "bytes 0-0/*", "bytes 1-1/9", "bytes */9", "bytes 0-0/0", "bytes 0-0/x"]
)
def test_a_range_that_tells_no_size_is_not_asked_for_again(answers, history, content_range):
    note_ranges(answers, history)
    answer_head(answers, status=405)
    headers = AUDIO if content_range is None else {**AUDIO, "Content-Range": content_range}
    answers.add("GET", URL, status=206, body=b"I", headers=headers)
    for _ in range(2):
        with pytest.raises(NotOffered):
            history.audio_size("a")
    assert methods(answers) == ["HEAD", "GET"]


@pytest.mark.parametrize(
    ("status", "error"), [(404, Missing), (429, RateLimited), (503, ServerFailed)]
)
def test_a_failure_is_an_error_and_not_the_lack_of_head(answers, history, status, error):
    answer_head(answers, status=status)
    for _ in range(2):
        with pytest.raises(error):
            history.audio_size("a")
    assert set(methods(answers)) == {"HEAD"}


def test_the_length_of_a_page_is_no_size_of_audio(answers, history):
    answers.add("HEAD", URL, headers={"Content-Type": "text/html", "Content-Length": "5"})
    with pytest.raises(BadAnswer, match="not audio"):
        history.audio_size("a")


@pytest.mark.parametrize("ways", [{"audio_head": True}, {"audio_ranges": True}], ids=str)
def test_sizes_of_a_server_whose_clips_come_in_chunks(make_history, ways):
    with Simulator(SimulatorSettings(items=3, **ways)) as simulator:
        history = make_history(simulator.base_url, simulator.api_key)
        for item_id in simulator.library.ids():
            with history.audio(item_id) as stream:
                assert stream.length is None
                size = sum(map(len, stream.chunks()))
            assert history.audio_size(item_id) == size
