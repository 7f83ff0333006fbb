"""A status: written by a mount, read by another process, shown to a person."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histfs.core.times import ALWAYS, Span, Zone
from histfs.status import (
    AccountStatus,
    CacheStatus,
    FailureStatus,
    ScanStatus,
    SourceStatus,
    Status,
    WindowStatus,
    shown,
    windows_of,
)

NOON = 1_714_651_200
CALLS = SourceStatus(
    items=12,
    windows=windows_of([ALWAYS]),
    scan=ScanStatus(False, None, "reading"),
    requests={"list": 1, "get": 3},
    last_error=FailureStatus(NOON, "no permission"),
)


def status(**changed):
    values = {
        "version": "0.1.0",
        "pid": 42,
        "mountpoint": "/home/you/history",
        "since": NOON,
        "account": AccountStatus("default", "https://api.elevenlabs.io", "the command pass"),
        "items": 12_345,
        "windows": windows_of([ALWAYS]),
        "scan": ScanStatus(True, None, "idle"),
        "cache": CacheStatus(3 << 20, 2 << 30),
        "requests": {"list": 1_500, "get": 0, "audio": 7, "delete": 0},
        "last_error": None,
    }
    return Status(**{**values, **changed})


def lines(**changed):
    return status(**changed).lines(Zone("UTC"))


# The file


def test_a_file_is_json_and_its_size_a_multiple_of_a_block():
    content = status().to_file()
    assert len(content) == 4096
    assert content.endswith(b" \n")
    assert json.loads(content) == json.loads(status().to_json())


@given(st.integers(0, 300), st.text())
def test_whatever_it_says_it_is_read_again(windows, text):
    made = status(
        mountpoint=text,
        windows=windows_of(Span(2 * n, 2 * n + 1) for n in range(windows)),
        last_error=FailureStatus(NOON, text),
    )
    content = made.to_file()
    assert len(content) % 4096 == 0
    assert content.endswith(b"\n")
    assert content.isascii()
    assert Status.from_json(content) == made


def test_other_sources_and_other_accounts_are_read_again():
    other = status(account=AccountStatus("home", "https://api.elevenlabs.io"), items=7)
    made = status(sources={"conversations": CALLS}, others=[other])
    assert Status.from_json(made.to_file()) == made


@pytest.mark.parametrize("odd", ["bytes\udcff", "\ud800"])
def test_a_path_that_is_not_utf_8_is_read_again(odd):
    assert Status.from_json(status(mountpoint=odd).to_file()) == status(mountpoint=odd)


def test_what_has_no_beginning_or_no_end_has_none():
    spans = [Span(ALWAYS.start, 5), Span(7, 9), Span(11, ALWAYS.end)]
    assert windows_of(spans) == [WindowStatus(None, 5), WindowStatus(7, 9), WindowStatus(11, None)]
    windows = json.loads(status(windows=windows_of([ALWAYS])).to_json())["windows"]
    assert windows == [{"start": None, "end": None}]


def test_a_later_version_may_say_more():
    more = {**json.loads(status().to_json()), "weather": "fine"}
    assert Status.from_json(json.dumps(more).encode()) == status()


def test_an_earlier_version_may_not_say_where_the_key_comes_from():
    less = json.loads(status().to_json())
    del less["account"]["key_from"]
    told = Status.from_json(json.dumps(less).encode()).lines(Zone("UTC"))
    assert "  key from     unknown" in told


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b"{}", b'{"version": 1}', b"[" * 100_000,
     status().to_json().encode()[:-1], status(pid="42").to_json().encode(),
     status(since=float("nan")).to_json().encode()],
    ids=lambda content: ascii(content[:20]),
)  # fmt: skip
def test_anything_else_is_refused(content):
    with pytest.raises(ValueError):
        Status.from_json(content)


# For a person


def test_it_is_told_in_aligned_lines():
    assert lines() == [
        "/home/you/history",
        "  histfs       0.1.0, process 42, mounted 2024-05-02 12:00:00",
        "  account      default, https://api.elevenlabs.io",
        "  key from     the command pass",
        "  audio cache  3.0 MB of 2.0 GB",
        "  items        12,345; the whole history is known",
        "  requests     1,500 list, 0 get, 7 audio, 0 delete",
        "  last error   none",
    ]


def test_other_sources_are_told_below_the_first_and_then_other_accounts():
    home = AccountStatus("home", "https://eu.example", "the file /k")
    told = lines(sources={"conversations": CALLS}, others=[status(account=home, items=7)])
    assert told[5:] == [
        "  items          12,345; the whole history is known",
        "  requests       1,500 list, 0 get, 7 audio, 0 delete",
        "  last error     none",
        "  conversations",
        "    items        12; the history is known in parts; reading it",
        "    requests     1 list, 3 get",
        "    last error   2024-05-02 12:00:00 no permission",
        "  account        home, https://eu.example",
        "  key from       the file /k",
        "  audio cache    3.0 MB of 2.0 GB",
        "  items          7; the whole history is known",
        "  requests       1,500 list, 0 get, 7 audio, 0 delete",
        "  last error     none",
    ]


@pytest.mark.parametrize(
    ("scan", "said"),
    [
        (ScanStatus(True, None, "reading"), "the whole history is known; reading it"),
        (ScanStatus(False, NOON, "idle"), "the history is known down to 2024-05-02 12:00:00"),
        (ScanStatus(False, NOON, "waiting"), "12:00:00; waiting to try again"),
        (ScanStatus(False, None, "reading"), "the history is known in parts; reading it"),
        (ScanStatus(False, None, "of a later version"), "the history is known in parts"),
    ],
)
def test_it_tells_how_far_the_history_is_known(scan, said):
    assert lines(scan=scan)[5].endswith(said)


def test_the_last_error_is_told_with_its_time():
    error = FailureStatus(NOON, "the server can't be reached")
    assert lines(last_error=error)[-1].endswith("2024-05-02 12:00:00 the server can't be reached")


@pytest.mark.parametrize("odd", ["\x1b[2J", "a\nb", "\r", "\x9b1m", "\u202e", "\udcff", "\x7f"])
def test_nothing_reaches_the_terminal_as_an_escape(odd):
    told = lines(
        version=odd,
        mountpoint=odd,
        account=AccountStatus(odd, odd, odd),
        last_error=FailureStatus(NOON, odd),
        requests={odd: 1},
        scan=ScanStatus(False, None, odd),
        sources={odd: CALLS},
        others=[status(account=AccountStatus(odd, odd, odd))],
    )
    assert all(line.isprintable() for line in told)
    assert status(mountpoint=odd).to_json().isprintable()


@given(st.integers())
def test_any_moment_is_told(moment):
    assert lines(since=moment)


def test_text_that_can_be_shown_is_shown_as_it_is():
    assert shown("Grüße, 音 \x1b") == "Grüße, 音 \\x1b"


def test_plugins_that_are_not_used_any_more_are_told_with_the_account():
    why = "the view by-mood of foreign 1.5 is left out: items has not returned within 16 seconds"
    told = lines(left_out=[why])
    assert sum(line.split(maxsplit=1) == ["plugin", why] for line in told) == 1
    assert status(left_out=[why]) == Status.from_json(status(left_out=[why]).to_file())
    assert not any(line.split()[0] == "plugin" for line in lines())
