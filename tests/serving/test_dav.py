"""WebDAV: listings with sizes that are exact, and deletion."""

from __future__ import annotations

import re

import pytest

from histfs.core.name_forms import is_audio_name
from histfs.simulator import Fault
from tests.serving.conftest import DEPTH_0, size_in
from tests.support.eventually import eventually

HEAD, AUDIO = "HEAD /v1/history/{id}/audio", "GET /v1/history/{id}/audio"
DELETE = "DELETE /v1/history/{id}"
SOME = (
    '<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:getcontentlength/><D:getetag/>'
    "<D:resourcetype/><X:color xmlns:X='urn:x'/></D:prop></D:propfind>"
)


def test_links_are_listed_as_directories_and_a_listing_above_items_fetches_nothing(
    client, simulator
):
    voices = client.list("/by-voice")
    assert voices
    for voice in voices:
        for path, entry in client.list(voice).items():
            assert path.endswith("/")
            assert "<D:collection" in entry
            assert re.search("<D:getlastmodified>[A-Z].* GMT<", entry)
            assert size_in(entry) is None
    assert simulator.counts[AUDIO] == 0


def test_the_size_of_audio_in_a_listing_is_that_of_the_download(client):
    for folder in list(client.list("/by-voice/Rachel"))[:6]:
        for path, entry in client.list(folder).items():
            content = client.get(path)
            assert size_in(entry) == len(content.content) == int(content.headers["Content-Length"])


def test_a_listing_and_the_download_after_it_fetch_audio_once(client, simulator, item):
    (name,) = [path for path in client.list(item) if is_audio_name(path.rpartition("/")[2])]
    assert simulator.counts[AUDIO] == 1
    content = client.get(name)
    assert (len(content.content), simulator.counts[AUDIO]) == (size_in(client.list(item)[name]), 1)


@pytest.mark.parametrize("audio_head", [True])
def test_a_listing_fetches_nothing_where_the_server_tells_sizes(client, simulator):
    first, second, *_ = list(client.list("/by-voice/Rachel"))
    client.list(first)
    eventually(lambda: simulator.counts[HEAD] == 1)
    entries = client.list(second)
    (name,) = [path for path in entries if is_audio_name(path.rpartition("/")[2])]
    assert (simulator.counts[AUDIO], simulator.counts[HEAD]) == (1, 2)
    assert size_in(entries[name]) == len(client.get(name).content)


def test_an_entry_has_no_size_where_none_is_fetched_and_audio_has_a_tag_once_it_is(
    serve, simulator, item, audio, tree
):
    client = serve(exact=False)
    entries = client.list(item)
    assert size_in(entries[audio]) is None
    assert "getetag" not in entries[audio]
    assert size_in(entries[f"{item}/text.txt"]) == len(client.get(f"{item}/text.txt").content)
    assert simulator.counts[AUDIO] == 0
    client.get(audio)
    tree.sources[0].audio.flush(tree.waiter())
    (name,) = [path for path in client.list(item) if is_audio_name(path.rpartition("/")[2])]
    tag = client.get(name).headers["ETag"]
    assert f"<D:getetag>{tag}</D:getetag>" in client.list(item)[name]


def test_a_folder_with_the_clips_of_many_items_fetches_none(client, simulator):
    clips = client.list("/listen/by-voice/Rachel")
    assert len([path for path in clips if path.endswith((".mp3", ".wav"))]) > 5
    assert simulator.counts[AUDIO] == 0


def test_the_properties_that_are_asked_for_come_alone_and_unknown_ones_are_said_to_be_missing(
    client, item
):
    answer = client.ask("PROPFIND", f"{item}/text.txt", headers=DEPTH_0, data=SOME)
    found, missing = answer.text.split("404 Not Found")[0].split("200 OK")
    assert size_in(found) == len(client.get(f"{item}/text.txt").content)
    assert "W/&quot;" in found or 'W/"' in found
    assert "color" in missing and "color" not in found
    assert "displayname" not in answer.text


def test_a_clip_that_can_not_be_fetched_has_no_size_and_the_others_files_are_listed(
    client, simulator, item, audio
):
    simulator.faults.add(Fault("GET /v1/history/.*/audio", "status", status=500))
    entries = client.list(item)
    assert size_in(entries[audio]) is None
    assert size_in(entries[f"{item}/text.txt"])


def test_a_listing_that_fails_is_an_error_and_not_a_shorter_listing(client, simulator):
    simulator.faults.add(Fault("GET /v1/history", "status", status=500))
    answer = client.ask("PROPFIND", "/by-date/", headers={"Depth": "1"})
    assert answer.status_code == 502
    assert client.get("/by-date/").status_code == 502


def test_a_whole_tree_is_not_listed_in_one_answer(client):
    for headers in ({}, {"Depth": "infinity"}):
        answer = client.ask("PROPFIND", "/", headers=headers)
        assert answer.status_code == 403
        assert "propfind-finite-depth" in answer.text


def test_wrong_requests_are_the_fault_of_the_client(client):
    for body in ("<nonsense", "<other/>", '<!DOCTYPE x [<!ENTITY e "e">]><x>&e;</x>'):
        assert client.ask("PROPFIND", "/", headers=DEPTH_0, data=body).status_code == 400
    assert client.ask("PROPFIND", "/", headers={"Depth": "2"}).status_code == 400
    assert client.ask("PROPFIND", "/nothing", headers=DEPTH_0).status_code == 404
    assert client.ask("PROPFIND", "/", headers=DEPTH_0, data="x" * 300_000).status_code == 413


def test_the_server_says_what_it_can(serve):
    assert serve().ask("OPTIONS").headers["DAV"] == "1"
    assert "DELETE" not in serve().ask("OPTIONS").headers["Allow"]
    assert "DELETE" in serve(delete=True).ask("OPTIONS").headers["Allow"]


def test_an_item_is_deleted_after_it_was_copied_and_where_that_was_asked_for_alone(
    serve, simulator, item, tmp_path
):
    assert serve().ask("DELETE", item).status_code == 403
    assert simulator.counts[DELETE] == 0
    client = serve(delete=True)
    assert client.ask("DELETE", item).status_code == 204
    assert simulator.counts[DELETE] == 1
    assert client.ask("PROPFIND", item, headers=DEPTH_0).status_code == 404
    kept = [file.name.partition(".")[0] for file in (tmp_path / "trash").rglob("*")]
    assert {"audio", "meta"} <= set(kept)


def test_a_program_that_deletes_file_by_file_deletes_one_item(serve, simulator, item, tree):
    client = serve(delete=True)
    home, _ = tree.resolve(item)
    for path in sorted(client.list(home)):
        assert client.ask("DELETE", path).status_code == 204, path
    assert client.ask("DELETE", home).status_code == 204
    assert client.ask("DELETE", home).status_code == 404
    assert simulator.counts[DELETE] == 1


def test_a_directory_above_items_is_not_deleted(serve, simulator, tree):
    client = serve(delete=True)
    for path in ("/", "/by-date", "/by-voice/Rachel", f"/by-date/{tree.ls('/by-date')[0]}"):
        assert client.ask("DELETE", path).status_code == 403
    assert simulator.counts[DELETE] == 0


def test_an_item_that_can_not_be_copied_is_not_deleted(serve, simulator, item):
    simulator.faults.add(Fault("GET /v1/history/.*/audio", "status", status=500))
    assert serve(delete=True).ask("DELETE", item).status_code == 502
    assert simulator.counts[DELETE] == 0
