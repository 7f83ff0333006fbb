"""The page to listen on that a browser gets at the root."""

from __future__ import annotations

import json
import re

import pytest

from histfs.serving import front_page
from histfs.serving.front_page import FrontPage
from histfs.simulator import Fault


@pytest.fixture
def client(serve, tree):
    return serve(FrontPage(tree))


def clips(answer):
    assert answer.status_code == 200
    return json.loads(re.search(r'id="data">(.*?)</script>', answer.text, re.DOTALL)[1])["clips"]


def item_requests(simulator):
    return {name: n for name, n in simulator.counts.per_endpoint().items() if "{" in name}


def test_it_has_all_items_and_addresses_of_audio_that_is_served(client, simulator):
    answer = client.get()
    shown = clips(answer)
    assert len(shown) == 60 + len(simulator.conversations)
    assert item_requests(simulator) == {}
    assert shown[0][0] == max(clip[0] for clip in shown)
    address = next(clip[2] for clip in shown if clip[2] and clip[4])
    assert len(answer.content) == int(answer.headers["Content-Length"])
    audio = client._session.get(client.url + address)
    assert (audio.status_code, audio.headers["Content-Type"].partition("/")[0]) == (200, "audio")
    assert 'href="./by-date/"' in answer.text
    assert client.get("by-date/").status_code == 200


def test_it_is_made_once_until_there_is_something_new(client, simulator, tree, monkeypatch):
    made = []
    monkeypatch.setattr(front_page, "page", lambda *arguments: made.append(1) or b"page")
    assert (client.get().content, client.get().content) == (b"page", b"page")
    assert client.ask("HEAD").headers["Content-Length"] == "4"
    assert len(made) == 1
    before = [each.catalog.version for each in tree.sources]
    tree.refresh("/")
    client.get()
    assert [each.catalog.version for each in tree.sources] != before
    assert len(made) == 1
    simulator.library.add()
    tree.refresh("/")
    client.get()
    assert len(made) == 2


def test_of_more_clips_it_has_the_newest_and_says_so(client, serve, tree, monkeypatch):
    every = clips(client.get())
    monkeypatch.setattr(front_page, "_MOST", 5)
    answer = serve(FrontPage(tree)).get()
    assert [clip[2:5] for clip in clips(answer)] == [clip[2:5] for clip in every[:5]]
    assert f"the newest 5 of {len(every)} clips" in answer.text


def test_while_the_history_is_not_known_whole_the_names_are_shown(client, monkeypatch):
    monkeypatch.setattr(front_page, "_TIMEOUT", 0.0)
    answer = client.get()
    assert 'href="./by-date/"' in answer.text
    assert 'id="data"' not in answer.text
    monkeypatch.undo()
    assert clips(client.get())


def test_what_keeps_the_root_from_being_listed_is_told(client, simulator):
    simulator.faults.add(Fault("/v1/history", "status", status=500))
    assert client.get().status_code == 502


def test_it_plays(client, browser):
    browser.open(client.url)
    with_words = "[...document.querySelectorAll('article')].find(e => e.querySelector('.word'))"
    browser.click(f"{with_words}.querySelector('.play')")
    browser.until("document.querySelector('.lit')")
    browser.click(f"{with_words}.querySelectorAll('.word')[1]")
    browser.until("document.querySelector('.lit')")
    assert browser.problems == []
    assert all(url.startswith((client.url, "data:")) for url in browser.requests)
