"""`histfs doctor --facts`: how a server behaves, without anything that is in the account."""

from __future__ import annotations

import json

import pytest

from histfs.simulator import Fault, Simulator, SimulatorSettings
from histfs.simulator.history_store import HistoryStore
from histfs.sources.elevenlabs.facts import fact_requests
from tests.cli.conftest import KEY

MARK = "Zanzibar7"


@pytest.fixture
def facts(run, tmp_path, monkeypatch):
    """Run it, and return the facts of all sections; those that are unknown begin with ``?``."""
    monkeypatch.setattr(fact_requests, "_PAUSE", 0)

    def facts(server, *arguments, **how):
        where = ["--base-url", server.base_url, "--cache-dir", tmp_path / "cache"]
        done = run("doctor", "--facts", "--json", *where, *arguments, **how)
        assert done.status == 0, done.err
        assert len(done.out.splitlines()) == 1
        return {
            section: {
                name: f"? {value['unknown']}" if isinstance(value, dict) and "unknown" in value
                else value
                for name, value in found.items()
            }
            for section, found in json.loads(done.out)["facts"].items()
        }  # fmt: skip

    return facts


@pytest.fixture
def page(run, tmp_path, monkeypatch):
    """Run it, and return the page as text."""
    monkeypatch.setattr(fact_requests, "_PAUSE", 0)

    def page(server, *arguments, **how):
        where = ["--base-url", server.base_url, "--cache-dir", tmp_path / "cache"]
        return run("doctor", "--facts", *where, *arguments, **how)

    return page


def test_the_page_tells_of_lists_items_and_audio(facts):
    with Simulator(SimulatorSettings(items=1200, api_key=KEY, conversations=2)) as server:
        found = facts(server)
        assert found["server"]["requests"] == server.counts.total
    assert found["lists"]["items seen"] == 1200
    assert found["lists"]["items on full pages"] == {"page_size 10": 10, "page_size 1000": 1000}
    assert found["lists"]["order by date"]["in the wrong order"] == 0
    assert found["lists"]["dates"] == {"possible": 1200}
    window = found["lists"]["a window of time"]
    assert window["expected"] > 10
    assert (window["missing"], window["unexpected"]) == (0, 0)
    assert found["items"]["source"]["TTS"] > 500
    assert found["items"]["model_id"]["eleven_multilingual_v2"] > 400
    assert found["items"]["content_type"].keys() == {"audio/mpeg", "audio/wav"}
    assert found["audio"]["answers"] == {"HTTP 200": 20}
    assert 0.9 < found["audio"]["size by estimate, each format"]["mp3_22050_32"] < 1.1
    assert found["conversations"]["the list"] == "offered"


def test_audio_that_is_sent_in_another_way_makes_other_facts(facts):
    plain = SimulatorSettings(items=5, api_key=KEY)
    rich = SimulatorSettings(
        items=5, api_key=KEY, chunked=False, audio_head=True, audio_ranges=True, audio_etags=True
    )
    with Simulator(plain) as server:
        audio = facts(server)["audio"]
        assert audio["Transfer-Encoding"] == {"chunked": 5}
        assert audio["Content-Length"] == audio["ETag"] == audio["Accept-Ranges"] == {"absent": 5}
        assert (audio["HEAD"], audio["Range"]) == ("HTTP 405", "HTTP 200, ignored")
    with Simulator(rich) as server:
        audio = facts(server)["audio"]
        assert audio["Transfer-Encoding"] == {"absent": 5}
        assert audio["Content-Length"] == {"given": 5}
        assert audio["Content-Length against the body"] == {"right": 5}
        assert (audio["ETag"], audio["Accept-Ranges"]) == ({"strong": 5}, {"bytes": 5})
        assert audio["HEAD"] == "HTTP 200 with the right Content-Length"
        assert audio["Range"] == "HTTP 206 with the right bytes"


def test_a_large_history_costs_a_bounded_number_of_requests_that_change_nothing(facts):
    with Simulator(SimulatorSettings(items=5000, api_key=KEY, alignments=False)) as server:
        found = facts(server)
        asked = server.counts.log
    assert found["lists"]["items seen"] == 3000
    assert found["lists"]["the list goes on"] is True
    assert len(asked) == found["server"]["requests"] <= 35
    assert {record.method for record in asked} == {"GET", "HEAD"}


def test_that_it_downloads_is_said_before(page, server):
    done = page(server)
    assert "download of up to 20 clips" in done.err
    assert len(done.err.splitlines()) == 1
    assert len(done.out.splitlines()) < 70
    assert "  HEAD                                   HTTP 405" in done.out.splitlines()


# Nothing of the account


def marked(value):
    """Add the mark to every string in JSON."""
    if isinstance(value, dict):
        return {name: marked(each) for name, each in value.items()}
    if isinstance(value, list):
        return [marked(each) for each in value]
    return f"{value}_{MARK}" if isinstance(value, str) else value


@pytest.fixture
def hostile():
    """A server that has the mark in each string of each answer, and in each header."""
    patterns = HistoryStore(SimulatorSettings(items=40))
    with Simulator(SimulatorSettings(items=0, api_key=KEY)) as server:
        for place, known in enumerate(patterns.ids()):
            fields = marked(patterns.item(known))
            del fields["history_item_id"], fields["date_unix"]
            fields |= {MARK: MARK, "settings": {MARK: MARK}}
            if place % 2:
                # Such clips are fetched.
                fields |= {"state": "created", "content_type": f"audio/mpeg; name={MARK}"}
            if place % 3 == 0:
                fields |= {"model_id": MARK.lower(), "output_format": MARK, "source": MARK}
            server.library.add(fields=fields, ids=[f"{MARK}-{place}"])
        server.conversations.add(3, fields={"agent_name": MARK, "agent_id": MARK})
        names = (
            "Server", "Via", "ETag", "Accept-Ranges", "Last-Modified", "Retry-After",
            "maximum-concurrent-requests", "current-concurrent-requests", "Content-Disposition",
            f"X-{MARK}", f"x-ratelimit-{MARK}", "x-trace-id",
        )  # fmt: skip
        headers = dict.fromkeys(names, f"{MARK}/1")
        server.faults.add(Fault("GET", "headers", headers=headers))
        yield server


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_nothing_that_the_server_says_is_on_the_page(page, hostile, form):
    done = page(hostile, *form)
    assert done.status == 0
    ids = [*hostile.library.ids(), *hostile.conversations.ids()]
    assert [i for i in ids if i in done.out + done.err] == []
    assert MARK.lower() not in (done.out + done.err).lower()
    assert hostile.base_url not in done.out
    # The server sent all of it.
    for found in ("(other)", "audio/mpeg", "HTTP 200", "eleven_multilingual_v2_?"):
        assert found in done.out


@pytest.mark.parametrize("status", [400, 404, 418, 422, 429, 500, 503])
def test_what_fails_is_unknown_without_the_servers_words(page, server, status):
    body = {"detail": {"message": MARK, "status": MARK, "code": MARK}}
    server.faults.add(Fault("GET", "status", status=status, body=body))
    done = page(server)
    assert done.status == 0
    assert MARK not in done.out + done.err
    assert f"unknown (HTTP {status})" in done.out


@pytest.mark.parametrize("kind", ["html", "garbage", "gzip", "empty", "redirect", "cut"])
def test_any_answer_makes_a_page(page, server, kind):
    server.faults.add(Fault("GET", kind, headers={"Location": f"https://{MARK}/"}))
    done = page(server)
    assert done.status == 0
    assert "audio fetched" in done.out
    assert MARK.lower() not in (done.out + done.err).lower()


def test_the_key_does_not_follow_a_redirect(page, server):
    with Simulator(SimulatorSettings(items=1, api_key=KEY)) as other:
        server.faults.add(Fault("GET", "redirect", headers={"Location": other.base_url}))
        assert "unknown (HTTP 302)" in page(server).out
        assert other.counts.total == 0


# What fails makes its own facts unknown


def test_audio_that_fails_leaves_the_other_facts(facts, server):
    server.faults.add(Fault("GET /v1/history/.*/audio", "status", status=404))
    found = facts(server)
    assert found["audio"]["answers"] == {"HTTP 404": 3}
    assert found["audio"]["ETag"] == "? no clip came whole"
    assert found["lists"]["items seen"] == 3


def test_clips_that_are_cut_short_are_not_measured(facts, server):
    server.faults.add(Fault("GET /v1/history/.*/audio", "cut"))
    found = facts(server)
    assert found["audio"]["answers"] == "? the answer was cut short or is damaged"
    assert found["audio"]["size by estimate"] == "? the answer was cut short or is damaged"


def test_an_empty_history_has_facts_of_the_server(facts):
    with Simulator(SimulatorSettings(items=0, api_key=KEY, conversations=1)) as server:
        found = facts(server)
    assert found["lists"]["order by date"] == "? the history is empty"
    assert found["search"]["it needs a source"] == "no"
    assert found["conversations"]["the list"] == "offered"


def test_a_server_that_asks_for_patience_is_asked_once_more(facts, server):
    server.faults.add(Fault("GET /v1/history$", "status", status=429, after=1, count=1))
    found = facts(server)
    assert found["lists"]["items seen"] == 3
    assert found["server"]["answers"]["HTTP 429"] == 1


def test_no_more_requests_are_sent_than_is_said(facts, server, monkeypatch):
    monkeypatch.setattr(fact_requests, "MOST_REQUESTS", 4)
    found = facts(server)
    assert server.counts.total == found["server"]["requests"] == 4
    assert found["lists"]["items seen"] == 3
    assert found["audio"]["HEAD"] == "? more than 4 requests would be needed"


def test_a_server_that_takes_its_time_is_not_asked_for_ever(facts, server, monkeypatch):
    monkeypatch.setattr(fact_requests, "_MOST_SECONDS", 0.0)
    assert facts(server)["lists"]["items seen"] == "? more than 0 seconds would be needed"
    assert server.counts.total == 1


def test_a_key_that_may_not_list_still_makes_a_page(facts, server):
    found = facts(server, key="writer")
    assert found["lists"]["items seen"] == "? HTTP 401"
    assert found["conversations"]["the list"] == "not with this key (HTTP 401)"


def test_a_key_that_is_refused_and_a_server_that_is_not_there_make_none(page, server, run):
    done = page(server, key="wrong")
    assert (done.status, done.out) == (77, "")
    assert "--region" in done.err
    done = run("doctor", "--facts", "--base-url", "http://127.0.0.1:1")
    assert (done.status, done.out) == (69, "")


def test_a_mountpoint_is_not_looked_at(page, server, tmp_path):
    done = page(server, tmp_path)
    assert (done.status, server.counts.total) == (2, 0)
