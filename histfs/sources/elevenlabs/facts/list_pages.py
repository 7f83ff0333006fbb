"""Pages of history items, reduced to the fields that facts need."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from histfs.core.errors import BadAnswer
from histfs.core.times import CLOCK_TOLERANCE
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
from histfs.sources.elevenlabs.json_parsing import parse_lenient, serialize, try_strict

#: 2022-01-01, before the API existed.
_EARLIEST = 1_640_995_200
#: The documented fields.
DOCUMENTED = {
    "history_item_id", "request_id", "voice_id", "model_id", "voice_name", "voice_category", "text",
    "date_unix", "character_count_change_from", "character_count_change_to", "content_type",
    "state", "settings", "feedback", "share_link_id", "source", "alignments", "dialogue",
    "output_format",
}  # fmt: skip

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class ListedItem:
    """The reduced item of a list.

    Attributes:
        id: the item's id, for comparisons and requests; not reported.
        date: ``date_unix``, of any JSON type.
        content_type: the class of the content type.
        output_format: the class of the format.
        model: the class of the model's id.
        source: the class of the source.
        state: the class of the state.
        dialogue: the class of the dialogue.
        alignments: whether it has alignments.
        text: whether it has a text.
        voice: whether it has a voice.
        estimate: the estimated size of the audio in bytes; None without one.
        undocumented: the number of its undocumented fields.
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
        items: the reduced items.
        has_more: whether the server says that there are more.
        cursor: ``last_history_item_id``; empty when it is missing.
    """

    items: Sequence[ListedItem]
    has_more: bool
    cursor: str

    @property
    def next_cursor(self) -> str:
        """The cursor for the next page, by default the last item's id; empty without items."""
        return self.cursor or (self.items[-1].id if self.items else "")

    @property
    def cursor_is_last(self) -> bool:
        """Whether the cursor is the id of the last item."""
        return bool(self.items) and self.items[-1].id == self.cursor


def parse_page(content: bytes) -> ListedPage:
    """Parse a page of history items.

    Args:
        content: the body of the response.

    Raises:
        ValueError, RecursionError: the content is not a page.
    """
    fields = try_strict(_decode, content)
    raws = None if fields is None else try_strict(_decode_list, bytes(fields.get("history", b"")))
    if fields is None or raws is None:
        page = parse_lenient(content)
        if not isinstance(page, dict) or not isinstance(page.get("history"), list):
            raise ValueError("not a page of items")
        raws = [msgspec.Raw(serialize(item)) for item in page["history"]]
        has_more, cursor = page.get("has_more"), page.get("last_history_item_id")
    else:
        has_more, cursor = (
            parse_lenient(bytes(fields.get(name, b"null")))
            for name in ("has_more", "last_history_item_id")
        )
    return ListedPage(
        [parse_item(bytes(raw)) for raw in raws],
        has_more is True,
        cursor if isinstance(cursor, str) else "",
    )


def parse_item(raw: bytes) -> ListedItem:
    """Parse the fields of an item that facts need.

    Args:
        raw: the API's object, in JSON.
    """
    parsed = parse_lenient(raw)
    fields: Mapping[str, Any] = parsed if isinstance(parsed, dict) else {}
    try:
        estimate = record_of(raw, math.inf).item.estimate
    except (BadAnswer, ValueError, RecursionError):
        estimate = None
    return ListedItem(
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
    """Return the class of a date: possible, or why it isn't.

    Args:
        date: ``date_unix``, of any JSON type.
        now: this machine's time, in seconds.
    """
    if date is None:
        return "missing"
    # Not math.isnan: it fails for a whole number that no float can hold.
    if isinstance(date, bool) or not isinstance(date, (int, float)) or not date <= math.inf:
        return "not a number"
    if date <= 0:
        return "zero or less"
    if date < _EARLIEST:
        return "before 2022"
    if date > now + CLOCK_TOLERANCE:
        milliseconds = _EARLIEST * 1000 <= date <= (now + CLOCK_TOLERANCE) * 1000
        return "in milliseconds" if milliseconds else "in the future"
    return "possible"


def disorder(dates: Iterable[float]) -> dict[str, float]:
    """Count the neighbours that are out of order in a list that should be newest first.

    Args:
        dates: the possible dates, in the order of the list.

    Returns:
        The number of neighbours, how many are in the wrong order, the largest difference of those
        in seconds, and how many have the same date.
    """
    steps = [later - earlier for earlier, later in itertools.pairwise(dates)]
    wrong = [step for step in steps if step > 0]
    return {
        "neighbours": len(steps),
        "in the wrong order": len(wrong),
        "largest in seconds": round(max(wrong, default=0)),
        "of the same second": sum(step == 0 for step in steps),
    }


def repeated(pages: Iterable[Sequence[ListedItem]]) -> int:
    """Count the items that an earlier page had already."""
    known: set[str] = set()
    count = 0
    for page in pages:
        ids = {item.id for item in page}
        count += len(ids & known)
        known |= ids
    return count


def window(items: Sequence[ListedItem], now: float) -> tuple[int, int] | None:
    """Return a window of time inside a list, inclusive start and exclusive end; None if too short.

    Both bounds are dates of items, and the list goes on beyond both, so the server's response for
    the window can be compared with the list.

    Args:
        items: of a list, newest first.
        now: this machine's time, in seconds.
    """
    dates = sorted({int(d) for d in possible_dates(items, now)})[-100:]
    if len(dates) < 4:
        return None
    return dates[len(dates) // 4], dates[-1 - len(dates) // 4]


def possible_dates(items: Iterable[ListedItem], now: float) -> list[float]:
    """Return the possible dates of items, in the order of the list."""
    return [
        item.date
        for item in items
        if date_class(item.date, now) == "possible" and isinstance(item.date, (int, float))
    ]


def inside(items: Iterable[ListedItem], start: int, end: int) -> set[str]:
    """Return the ids of the items of a window; start is inclusive, end exclusive."""
    return {i.id for i in items if isinstance(i.date, (int, float)) and start <= i.date < end}


def sample(items: Sequence[ListedItem], most: int, largest: int) -> list[ListedItem]:
    """Choose the items whose audio is fetched: some of each kind, spread over the list.

    Args:
        items: the items of a list.
        most: the most items to choose.
        largest: the largest estimated size of an item, in bytes.
    """
    candidates = [
        item
        for item in items
        if re.fullmatch(r"[A-Za-z0-9_-]+", item.id)
        and item.state in ("created", EMPTY)
        and item.estimate is not None
        and item.estimate <= largest
    ]
    kinds: dict[object, ListedItem] = {}
    for item in candidates:
        kinds.setdefault((item.content_type, item.output_format, item.model, item.source), item)
    step = max(1, len(candidates) // most)
    chosen = {
        item.id: item for item in [*list(kinds.values())[:most], *candidates[::step], *candidates]
    }
    return list(chosen.values())[:most]
