"""Facts from a few clips: how audio is sent, its format, and its size against the estimate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from histfs.sources.elevenlabs.facts import classes, list_pages
from histfs.sources.elevenlabs.facts.classes import Value
from histfs.sources.elevenlabs.facts.fact_requests import (
    HISTORY,
    Fact,
    FactRequests,
    FactUnavailable,
    Outcome,
    quantiles_of,
    section_facts,
)
from histfs.sources.elevenlabs.facts.list_pages import ListedItem
from histfs.sources.elevenlabs.http_client import HttpResponse

#: The most clips to fetch, and the most bytes of all of them together.
MOST_CLIPS = 20
MOST_BYTES = 64 << 20

_MAX_CLIP_SIZE = 8 << 20
_IDENTITY = {"Accept-Encoding": "identity"}
#: The first and the last byte of the Range request.
_RANGE_FIRST, _RANGE_LAST = 16, 115


@dataclass(frozen=True, slots=True)
class _ProbedClip:
    """A clip that was requested.

    Attributes:
        item: the item.
        response: the response, without the body.
        beginning: the first bytes of the body.
        size: bytes of the body.
    """

    item: ListedItem
    response: HttpResponse
    beginning: bytes
    size: int


class AudioFacts:
    """Fetches some clips.

    Args:
        requests: sends the requests.
        items: the listed items.

    Attributes:
        seconds: time from each request to the headers of its response.
        fetched: bytes of audio that were fetched.
    """

    def __init__(self, requests: FactRequests, items: Outcome[list[ListedItem]]) -> None:
        self._requests = requests
        self.seconds: list[float] = []
        self.fetched = 0
        self._requested = Outcome(lambda: self._fetch(items.get()))
        self._clips = Outcome(lambda: _complete(self._requested.get()))

    def facts(self) -> Iterator[Fact]:
        """Yield the facts of the section "audio"."""
        clips = self._clips

        def each(classify: Callable[[_ProbedClip], str]) -> Callable[[], Value]:
            return lambda: classes.counted(classify(clip) for clip in clips.get())

        def of_header(name: str) -> Callable[[], Value]:
            return each(lambda clip: classes.header(name, clip.response.headers))

        def ratios() -> list[tuple[str, float]]:
            return [
                (clip.item.output_format, clip.size / clip.item.estimate)
                for clip in clips.get()
                if clip.item.estimate
            ]

        def by_format() -> Value:
            grouped: dict[str, list[float]] = {}
            for name, ratio in ratios():
                grouped.setdefault(name, []).append(ratio)
            return {name: classes.quantiles(each)["median"] for name, each in grouped.items()}

        yield from section_facts(
            "audio",
            {
                "answers": lambda: classes.counted(
                    f"HTTP {clip.response.status}" for clip in self._requested.get()
                ),
                **{name: of_header(name) for name in classes.AUDIO_HEADERS},
                "Content-Length against the body": each(_check_content_length),
                "first bytes by output_format": each(
                    lambda clip: f"{clip.item.output_format} {classes.container(clip.beginning)}"
                ),
                "HEAD": lambda: self._head(clips.get()[0]),
                "Range": lambda: self._range(clips.get()[0]),
                "size by estimate": lambda: quantiles_of([ratio for _, ratio in ratios()]),
                "size by estimate, each format": by_format,
            },
        )

    def _fetch(self, items: Sequence[ListedItem]) -> list[_ProbedClip]:
        """Fetch some clips, up to `MOST_BYTES` together.

        Raises:
            FactUnavailable: there are none, or none could be fetched.
        """
        chosen = list_pages.sample(items, MOST_CLIPS, _MAX_CLIP_SIZE)
        if not chosen:
            raise FactUnavailable("there is no clip of a usual size")
        clips, why = [], ""
        for item in chosen:
            max_bytes = min(2 * _MAX_CLIP_SIZE, MOST_BYTES - self.fetched)
            if max_bytes <= 0:
                break
            try:
                response = self._requests.send(
                    _audio_path(item), headers=_IDENTITY, max_bytes=max_bytes
                )
            except FactUnavailable as error:
                why = str(error)
                continue
            self.fetched += len(response.content)
            self.seconds.append(response.seconds)
            beginning, size = response.content[: _RANGE_LAST + 1], len(response.content)
            clips.append(_ProbedClip(item, replace(response, content=b""), beginning, size))
        if not clips:
            raise FactUnavailable(why)
        return clips

    def _head(self, clip: _ProbedClip) -> Value:
        response = self._requests.send(_audio_path(clip.item), method="HEAD", headers=_IDENTITY)
        if response.status != 200:
            return f"HTTP {response.status}"
        length = response.headers.get("Content-Length")
        if length is None:
            return "HTTP 200 without Content-Length"
        matches = length == str(clip.size)
        return f"HTTP 200 with {'the right' if matches else 'another'} Content-Length"

    def _range(self, clip: _ProbedClip) -> Value:
        if clip.size <= _RANGE_LAST:
            raise FactUnavailable("the clip is too short")
        headers = {**_IDENTITY, "Range": f"bytes={_RANGE_FIRST}-{_RANGE_LAST}"}
        response = self._requests.send(_audio_path(clip.item), headers=headers, max_bytes=1 << 16)
        self.fetched += len(response.content)
        if response.status != 206:
            return "HTTP 200, ignored" if response.status == 200 else f"HTTP {response.status}"
        matches = response.content == clip.beginning[_RANGE_FIRST : _RANGE_LAST + 1]
        return f"HTTP 206 with {'the right' if matches else 'other'} bytes"


def _complete(clips: Sequence[_ProbedClip]) -> list[_ProbedClip]:
    """Return the clips with a complete body.

    Raises:
        FactUnavailable: there are none.
    """
    complete = [c for c in clips if c.response.status == 200 and c.response.complete]
    if not complete:
        raise FactUnavailable("no clip came whole")
    return complete


def _audio_path(item: ListedItem) -> str:
    return f"{HISTORY}/{item.id}/audio"


def _check_content_length(clip: _ProbedClip) -> str:
    length = clip.response.headers.get("Content-Length")
    if length is None:
        return classes.ABSENT
    encoding = classes.header("Content-Encoding", clip.response.headers)
    if encoding not in (classes.ABSENT, "identity"):
        return "not comparable"
    return "right" if length == str(clip.size) else "wrong"
