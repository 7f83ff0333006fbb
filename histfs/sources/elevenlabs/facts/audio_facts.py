"""What a few clips tell: how audio is sent, what it is, and how large against the estimate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from histfs.sources.elevenlabs.facts import classes, list_pages
from histfs.sources.elevenlabs.facts.classes import Value
from histfs.sources.elevenlabs.facts.fact_requests import (
    HISTORY,
    Asker,
    Attempt,
    Cannot,
    Fact,
    facts_of,
    spread,
)
from histfs.sources.elevenlabs.facts.list_pages import Seen
from histfs.sources.elevenlabs.http_client import HttpResponse

#: Clips that are fetched, and bytes of all of them together, at most.
MOST_CLIPS = 20
MOST_BYTES = 64 << 20

_LARGEST_CLIP = 8 << 20
_PLAIN = {"Accept-Encoding": "identity"}
#: The part of a clip that is asked for with Range.
_FIRST, _LAST = 16, 115


@dataclass(frozen=True, slots=True)
class _ProbedClip:
    """A clip that was asked for.

    Attributes:
        item: the item.
        answer: the answer, without the body.
        beginning: the first bytes of the body.
        size: bytes of the body.
    """

    item: Seen
    answer: HttpResponse
    beginning: bytes
    size: int


class Audio:
    """Fetches some clips.

    Args:
        asker: sends the requests.
        items: the items that there are.

    Attributes:
        seconds: how long it took until each clip began to come.
        fetched: bytes of audio.
    """

    def __init__(self, asker: Asker, items: Attempt[list[Seen]]) -> None:
        self._asker = asker
        self.seconds: list[float] = []
        self.fetched = 0
        self._asked = Attempt(lambda: self._fetch(items.get()))
        self._clips = Attempt(lambda: _whole(self._asked.get()))

    def facts(self) -> Iterator[Fact]:
        """Yield what the clips say."""
        clips = self._clips

        def each(of: Callable[[_ProbedClip], str]) -> Callable[[], Value]:
            return lambda: classes.counted(of(clip) for clip in clips.get())

        def of_header(name: str) -> Callable[[], Value]:
            return each(lambda clip: classes.header(name, clip.answer.headers))

        def ratios() -> list[tuple[str, float]]:
            return [
                (clip.item.output_format, clip.size / clip.item.estimate)
                for clip in clips.get()
                if clip.item.estimate
            ]

        def by_format() -> Value:
            found: dict[str, list[float]] = {}
            for name, ratio in ratios():
                found.setdefault(name, []).append(ratio)
            return {name: classes.quantiles(each)["median"] for name, each in found.items()}

        yield from facts_of(
            "audio",
            {
                "answers": lambda: classes.counted(
                    f"HTTP {clip.answer.status}" for clip in self._asked.get()
                ),
                **{name: of_header(name) for name in classes.AUDIO_HEADERS},
                "Content-Length against the body": each(_length_is_right),
                "first bytes by output_format": each(
                    lambda clip: f"{clip.item.output_format} {classes.container(clip.beginning)}"
                ),
                "HEAD": lambda: self._head(clips.get()[0]),
                "Range": lambda: self._range(clips.get()[0]),
                "size by estimate": lambda: spread([ratio for _, ratio in ratios()]),
                "size by estimate, each format": by_format,
            },
        )

    def _fetch(self, items: Sequence[Seen]) -> list[_ProbedClip]:
        """Fetch some clips, as long as they are few bytes together.

        Raises:
            Cannot: there are none, or none could be fetched.
        """
        chosen = list_pages.sample(items, MOST_CLIPS, _LARGEST_CLIP)
        if not chosen:
            raise Cannot("there is no clip of a usual size")
        found, why = [], ""
        for item in chosen:
            left = min(2 * _LARGEST_CLIP, MOST_BYTES - self.fetched)
            if left <= 0:
                break
            try:
                answer = self._asker.ask(_audio(item), headers=_PLAIN, at_most=left)
            except Cannot as error:
                why = str(error)
                continue
            self.fetched += len(answer.content)
            self.seconds.append(answer.seconds)
            beginning, size = answer.content[: _LAST + 1], len(answer.content)
            found.append(_ProbedClip(item, replace(answer, content=b""), beginning, size))
        if not found:
            raise Cannot(why)
        return found

    def _head(self, clip: _ProbedClip) -> Value:
        answer = self._asker.ask(_audio(clip.item), method="HEAD", headers=_PLAIN)
        if answer.status != 200:
            return f"HTTP {answer.status}"
        length = answer.headers.get("Content-Length")
        if length is None:
            return "HTTP 200 without Content-Length"
        right = length == str(clip.size)
        return f"HTTP 200 with {'the right' if right else 'another'} Content-Length"

    def _range(self, clip: _ProbedClip) -> Value:
        if clip.size <= _LAST:
            raise Cannot("the clip is too short")
        headers = {**_PLAIN, "Range": f"bytes={_FIRST}-{_LAST}"}
        answer = self._asker.ask(_audio(clip.item), headers=headers, at_most=1 << 16)
        self.fetched += len(answer.content)
        if answer.status != 206:
            return "HTTP 200, ignored" if answer.status == 200 else f"HTTP {answer.status}"
        right = answer.content == clip.beginning[_FIRST : _LAST + 1]
        return f"HTTP 206 with {'the right' if right else 'other'} bytes"


def _whole(clips: Sequence[_ProbedClip]) -> list[_ProbedClip]:
    """Return the clips that came whole.

    Raises:
        Cannot: none did.
    """
    found = [clip for clip in clips if clip.answer.status == 200 and clip.answer.whole]
    if not found:
        raise Cannot("no clip came whole")
    return found


def _audio(item: Seen) -> str:
    return f"{HISTORY}/{item.id}/audio"


def _length_is_right(clip: _ProbedClip) -> str:
    length = clip.answer.headers.get("Content-Length")
    if length is None:
        return classes.ABSENT
    if classes.header("Content-Encoding", clip.answer.headers) not in (classes.ABSENT, "identity"):
        return "not comparable"
    return "right" if length == str(clip.size) else "wrong"
