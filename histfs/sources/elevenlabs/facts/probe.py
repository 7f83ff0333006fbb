"""Determines all facts about one server, section by section."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from histfs.sources.elevenlabs.facts import classes
from histfs.sources.elevenlabs.facts.audio_facts import AudioFacts
from histfs.sources.elevenlabs.facts.classes import Value
from histfs.sources.elevenlabs.facts.fact_requests import (
    CONVERSATIONS,
    Fact,
    FactRequests,
    FactUnavailable,
    quantiles_of,
    section_facts,
)
from histfs.sources.elevenlabs.facts.list_facts import WORD, ListFacts
from histfs.sources.elevenlabs.http_client import HttpClient


def probe(http: HttpClient) -> Iterator[Fact]:
    """Yield the facts about a server, with requests that change nothing.

    Args:
        http: the server and the key; without retries.

    Raises:
        Unreachable: the server doesn't respond.
        KeyRefused: it refuses the key.
    """
    requests = FactRequests(http)
    requests.check_server()
    lists = ListFacts(requests)
    yield from lists.page_facts()
    yield from lists.item_facts()
    yield from lists.search_facts()
    audio = AudioFacts(requests, lists.items)
    yield from audio.facts()
    yield from _conversations(requests)
    yield from _server(requests, lists, audio)


def _conversations(requests: FactRequests) -> Iterator[Fact]:
    def offered(path: str, **query: str | int) -> Callable[[], Value]:
        return lambda: _offered(requests.send(path, query).status)

    yield from section_facts(
        "conversations",
        {
            "the list": offered(CONVERSATIONS, page_size=1),
            "text-search": offered(
                f"{CONVERSATIONS}/messages/text-search", text_query=WORD, page_size=1
            ),
        },
    )


def _server(requests: FactRequests, lists: ListFacts, audio: AudioFacts) -> Iterator[Fact]:
    def number(name: str) -> Callable[[], Value]:
        values = [headers[name] for headers in requests.headers if name in headers]
        return lambda: classes.small_number(values[-1] if values else None)

    def prefixed(prefix: str) -> Value:
        names = {name.lower() for headers in requests.headers for name in headers}
        given = any(name.startswith(prefix) for name in names)
        return classes.GIVEN if given else classes.ABSENT

    def clock_offset() -> Value:
        seconds = requests.http.clock_offset
        if seconds is None:
            raise FactUnavailable("no usable Date header")
        return round(seconds, 1)

    yield from section_facts(
        "server",
        {
            "seconds until a list begins": lambda: quantiles_of(lists.seconds, 3),
            "seconds until audio begins": lambda: quantiles_of(audio.seconds, 3),
            "seconds it is ahead of this clock": clock_offset,
            "current-concurrent-requests": number("current-concurrent-requests"),
            "maximum-concurrent-requests": number("maximum-concurrent-requests"),
            "x-ratelimit headers": lambda: prefixed("x-ratelimit"),
            "Retry-After": number("Retry-After"),
            "answers": lambda: classes.counted(f"HTTP {status}" for status in requests.statuses),
            "requests": lambda: requests.requests,
            "bytes of audio fetched": lambda: audio.fetched,
        },
    )


def _offered(status: int) -> str:
    if status in (401, 403):
        return f"not with this key (HTTP {status})"
    if status in (404, 405):
        return f"not offered (HTTP {status})"
    if status in (200, 400, 422):
        return "offered" if status == 200 else f"offered, refused so (HTTP {status})"
    raise FactUnavailable(f"HTTP {status}")
