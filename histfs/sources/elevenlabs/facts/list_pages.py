"""Pages of history items as far as facts need them: which items, in which order."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from histfs.core.errors import BadAnswer
from histfs.sources.elevenlabs.facts.classes import (
    EMPTY,
    SOURCES,
    STATES,
    dialogue,
    media_type,
    model,
    one_of,
    output_format,
    string,
)
from histfs.sources.elevenlabs.history_objects import record_of
from histfs.sources.elevenlabs.json_parsing import dump, leniently, strictly

#: 2022-01-01, before the API was there.
_FIRST_DATE = 1_640_995_200
#: Seconds by which the server's clock may be ahead of this machine's.
_AHEAD = 86_400
#: The fields that the documentation has.
DOCUMENTED = {
    "history_item_id", "request_id", "voice_id", "model_id", "voice_name", "voice_category", "text",
    "date_unix", "character_count_change_from", "character_count_change_to", "content_type",
    "state", "settings", "feedback", "share_link_id", "source", "alignments", "dialogue",
    "output_format",
}  # fmt: skip

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class Seen:
    """What is kept of an item of a list.

    Attributes:
        id: the item's id, for comparisons and requests; not for the page.
        date: ``date_unix``, whatever it holds.
        content_type: a class, as all that follow.
        output_format: the class of the format.
        model: the class of the model's id.
        source: the class of the source.
        state: the class of the state.
        dialogue: how many voices its dialogue has.
        alignments: whether there are any.
        text: whether there is a text.
        voice: whether there is a voice.
        estimate: the guess that histfs makes at the bytes of the audio; None when it makes none.
        undocumented: how many fields it has that the documentation lacks.
        length: bytes of the object.
    """

    id: str
    date: object
    content_type: str
    output_format: str
    model: str
    source: str
    state: str
    dialogue: str
    alignments: bool
    text: bool
    voice: bool
    estimate: int | None
    undocumented: int
    length: int


@dataclass(frozen=True, slots=True)
class ListedPage:
    """A page of a list.

    Attributes:
        items: what is kept of its items.
        has_more: whether the server says that there are more.
        cursor: ``last_history_item_id``; empty when it isn't there.
    """

    items: Sequence[Seen]
    has_more: bool
    cursor: str

    @property
    def following(self) -> str:
        """What the next page is asked for with; empty when it can't be."""
        return self.cursor or (self.items[-1].id if self.items else "")

    @property
    def cursor_is_last(self) -> bool:
        """Whether the cursor is the id of the last item."""
        return bool(self.items) and self.items[-1].id == self.cursor


def read_page(content: bytes) -> ListedPage:
    """Read a page of history items; of each only what the facts need is kept.

    Args:
        content: the answer, in JSON.

    Raises:
        ValueError, RecursionError: it is not such a page.
    """
    fields = strictly(_decode, content)
    raws = None if fields is None else strictly(_decode_list, bytes(fields.get("history", b"")))
    if fields is None or raws is None:
        whole = leniently(content)
        if not isinstance(whole, dict) or not isinstance(whole.get("history"), list):
            raise ValueError("not a page of items")
        raws = [msgspec.Raw(dump(item)) for item in whole["history"]]
        has_more, cursor = whole.get("has_more"), whole.get("last_history_item_id")
    else:
        has_more, cursor = (
            leniently(bytes(fields.get(name, b"null")))
            for name in ("has_more", "last_history_item_id")
        )
    return ListedPage(
        [seen_of(bytes(raw)) for raw in raws],
        has_more is True,
        cursor if isinstance(cursor, str) else "",
    )


def seen_of(raw: bytes) -> Seen:
    """Read what the facts need of an item.

    Args:
        raw: the API's object, in JSON.
    """
    found = leniently(raw)
    fields: Mapping[str, Any] = found if isinstance(found, dict) else {}
    try:
        estimate = record_of(raw, math.inf).item.estimate
    except (BadAnswer, ValueError, RecursionError):
        estimate = None
    return Seen(
        id=string(fields.get("history_item_id")),
        date=fields.get("date_unix"),
        content_type=media_type(fields.get("content_type")),
        output_format=output_format(fields.get("output_format")),
        model=model(fields.get("model_id")),
        source=one_of(SOURCES, fields.get("source")),
        state=one_of(STATES, fields.get("state")),
        dialogue=dialogue(fields.get("dialogue")),
        alignments=bool(fields.get("alignments")),
        text=bool(fields.get("text")),
        voice=bool(fields.get("voice_id")),
        estimate=estimate,
        undocumented=len(fields.keys() - DOCUMENTED),
        length=len(raw),
    )


def date_class(date: object, now: float) -> str:
    """Return whether a date can be that of an item, or in which way it can't.

    Args:
        date: ``date_unix``, whatever it holds.
        now: this machine's time, in seconds.
    """
    if date is None:
        return "missing"
    # Not math.isnan: it fails for a whole number that no float can hold.
    if isinstance(date, bool) or not isinstance(date, (int, float)) or not date <= math.inf:
        return "not a number"
    if date <= 0:
        return "zero or less"
    if date < _FIRST_DATE:
        return "before 2022"
    if date > now + _AHEAD:
        milliseconds = _FIRST_DATE * 1000 <= date <= (now + _AHEAD) * 1000
        return "in milliseconds" if milliseconds else "in the future"
    return "possible"


def disorder(dates: Iterable[float]) -> dict[str, float]:
    """Count neighbours in a list that should be newest first.

    Args:
        dates: possible ones, in the order of the list.

    Returns:
        How many neighbours are in the wrong order, the largest difference between two of these in
        seconds, and how many have the same date.
    """
    listed = list(dates)
    steps = [later - earlier for earlier, later in itertools.pairwise(listed)]
    wrong = [step for step in steps if step > 0]
    return {
        "neighbours": len(steps),
        "in the wrong order": len(wrong),
        "largest in seconds": round(max(wrong, default=0)),
        "of the same second": sum(step == 0 for step in steps),
    }


def repeated(pages: Iterable[Sequence[Seen]]) -> int:
    """Count the items of pages that a page before had."""
    known: set[str] = set()
    count = 0
    for page in pages:
        ids = {item.id for item in page}
        count += len(ids & known)
        known |= ids
    return count


def window(items: Sequence[Seen], now: float) -> tuple[int, int] | None:
    """Return the bounds of a window of time, from start until before end, inside a list.

    Both bounds are dates of items, and the list goes on beyond both, so what the server answers
    for the window can be compared with the list. None when there is none.

    Args:
        items: of a list, newest first.
        now: this machine's time, in seconds.
    """
    dates = sorted({int(d) for d in possible_dates(items, now)})[-100:]
    if len(dates) < 4:
        return None
    return dates[len(dates) // 4], dates[-1 - len(dates) // 4]


def possible_dates(items: Iterable[Seen], now: float) -> list[float]:
    """Return the dates that can be those of items, in the order of the list."""
    return [
        item.date
        for item in items
        if date_class(item.date, now) == "possible" and isinstance(item.date, (int, float))
    ]


def inside(items: Iterable[Seen], start: int, end: int) -> set[str]:
    """Return the ids of the items from start until before end."""
    return {i.id for i in items if isinstance(i.date, (int, float)) and start <= i.date < end}


def sample(items: Sequence[Seen], most: int, largest: int) -> list[Seen]:
    """Choose items whose audio is fetched: of each kind of audio some, spread over the list.

    Args:
        items: of a list.
        most: how many at most.
        largest: estimated bytes that none of them may exceed.
    """
    fit = [
        item
        for item in items
        if re.fullmatch(r"[A-Za-z0-9_-]+", item.id)
        and item.state in ("created", EMPTY)
        and item.estimate is not None
        and item.estimate <= largest
    ]
    kinds: dict[object, Seen] = {}
    for item in fit:
        kinds.setdefault((item.content_type, item.output_format, item.model, item.source), item)
    step = max(1, len(fit) // most)
    chosen = {item.id: item for item in [*list(kinds.values())[:most], *fit[::step], *fit]}
    return list(chosen.values())[:most]
