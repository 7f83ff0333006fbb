"""The search of conversations, as the official client sees it."""

from __future__ import annotations

import httpx
import pytest
from elevenlabs import ElevenLabs
from elevenlabs.core.api_error import ApiError

from histfs.simulator import Simulator, SimulatorSettings


@pytest.fixture
def simulator():
    with Simulator(SimulatorSettings(items=0, conversations=120)) as running:
        yield running


@pytest.fixture
def search(simulator):
    """Request one page with the official client."""
    with httpx.Client() as connections:
        client = ElevenLabs(
            base_url=simulator.base_url, api_key=simulator.api_key, httpx_client=connections
        )
        yield client.conversational_ai.conversations.messages.text_search


def test_every_message_with_all_words_is_found_page_by_page(simulator, search):
    pages, cursor = [], None
    while not pages or cursor:
        pages.append(search(text_query="A t", page_size=20, cursor=cursor))
        cursor = pages[-1].next_cursor
        assert pages[-1].has_more == (cursor is not None)
    hits = [hit for page in pages for hit in page.results]
    found = {(hit.conversation_id, hit.transcript_index) for hit in hits}
    assert len(found) == len(hits) > 60
    assert len({hit.conversation_id for hit in hits}) < len(hits), "several of one conversation"
    for hit in hits:
        assert "a" in hit.chunk_text.casefold()
        assert "t" in hit.chunk_text.casefold()
        detail = simulator.conversations.detail(hit.conversation_id)
        assert hit.chunk_text == detail["transcript"][hit.transcript_index]["message"]
        assert hit.conversation_start_time_unix_secs == detail["metadata"]["start_time_unix_secs"]
    expected = {
        id_
        for id_ in simulator.conversations.ids()
        for turn in simulator.conversations.detail(id_)["transcript"]
        if all(word in (turn["message"] or "").casefold() for word in ("a", "t"))
    }
    assert {id_ for id_, _ in found} == expected


@pytest.mark.parametrize(
    ("arguments", "status"),
    [({"page_size": 51}, 422), ({"page_size": 0}, 422), ({"cursor": "?"}, 400)],
)
def test_what_it_refuses(search, arguments, status):
    with pytest.raises(ApiError) as caught:
        search(text_query="the", **arguments)
    assert caught.value.status_code == status


def test_a_server_may_lack_the_search():
    with Simulator(SimulatorSettings(items=0, conversations=3, text_search=False)) as simulator:
        url = f"{simulator.base_url}/v1/convai/conversations/messages/text-search?text_query=a"
        headers = {"xi-api-key": simulator.api_key}
        assert httpx.get(url, headers=headers).status_code == 404
