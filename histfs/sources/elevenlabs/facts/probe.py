"""All facts about one server, section by section."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from histfs.sources.elevenlabs.facts import classes
from histfs.sources.elevenlabs.facts.audio_facts import Audio
from histfs.sources.elevenlabs.facts.classes import Value
from histfs.sources.elevenlabs.facts.fact_requests import (
    CONVERSATIONS,
    Asker,
    Cannot,
    Fact,
    facts_of,
    spread,
)
from histfs.sources.elevenlabs.facts.list_facts import WORD, Lists
from histfs.sources.elevenlabs.http_client import HttpClient


def probe(http: HttpClient) -> Iterator[Fact]:
    """Find out facts about a server, with requests that change nothing.

    Args:
        http: the server and the key; one that sends each request once.

    Raises:
        Unreachable: the server doesn't answer at all.
        KeyRefused: it doesn't know the key.
    """
    asker = Asker(http)
    asker.greet()
    lists = Lists(asker)
    yield from lists.of_pages()
    yield from lists.of_items()
    yield from lists.of_search()
    audio = Audio(asker, lists.items)
    yield from audio.facts()
    yield from _conversations(asker)
    yield from _server(asker, lists, audio)


def _conversations(asker: Asker) -> Iterator[Fact]:
    def offered(path: str, **query: str | int) -> Callable[[], Value]:
        return lambda: _offered(asker.ask(path, query).status)

    yield from facts_of(
        "conversations",
        {
            "the list": offered(CONVERSATIONS, page_size=1),
            "text-search": offered(
                f"{CONVERSATIONS}/messages/text-search", text_query=WORD, page_size=1
            ),
        },
    )


def _server(asker: Asker, lists: Lists, audio: Audio) -> Iterator[Fact]:
    def number(name: str) -> Callable[[], Value]:
        found = [headers.get(name) for headers in asker.headers]
        given = [value for value in found if value is not None]
        return lambda: classes.small_number(given[-1] if given else None)

    def prefixed(prefix: str) -> Value:
        names = {name.lower() for headers in asker.headers for name in headers}
        given = any(name.startswith(prefix) for name in names)
        return classes.GIVEN if given else classes.ABSENT

    def ahead() -> Value:
        seconds = asker.http.ahead
        if seconds is None:
            raise Cannot("no usable Date header")
        return round(seconds, 1)

    yield from facts_of(
        "server",
        {
            "seconds until a list begins": lambda: spread(lists.seconds, 3),
            "seconds until audio begins": lambda: spread(audio.seconds, 3),
            "seconds it is ahead of this clock": ahead,
            "current-concurrent-requests": number("current-concurrent-requests"),
            "maximum-concurrent-requests": number("maximum-concurrent-requests"),
            "x-ratelimit headers": lambda: prefixed("x-ratelimit"),
            "Retry-After": number("Retry-After"),
            "answers": lambda: classes.counted(f"HTTP {status}" for status in asker.statuses),
            "requests": lambda: asker.requests,
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
    raise Cannot(f"HTTP {status}")
