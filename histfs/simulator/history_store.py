"""The items of the simulated account.

Nothing is stored per item: its id, time and kind follow from its number, so a million items cost
no more than ten. Number 0 is the oldest. What changes at run time (items added, removed, given
other fields) is stored.

All methods are thread-safe: writers take a lock, readers see an item either before or after a
change, and a page never holds an item twice.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from histfs.simulator.audio_formats import format_of, make_clip
from histfs.simulator.clip_bytes import MP3, ClipBytes
from histfs.simulator.http_messages import dump_json
from histfs.simulator.ids import Ids
from histfs.simulator.item_templates import ItemTemplate, make_kinds
from histfs.simulator.list_pages import ListPage, take_page
from histfs.simulator.simulator_settings import SimulatorSettings
from histfs.simulator.timeline import Timeline

# Shares no factor with the number of kinds, so that neighbours differ and all kinds come in turn.
_KIND_STEP = 101
# Seconds by which the date of one item is shifted further than that of the one before.
_SHIFT_STEP = 7919
# Characters that an account is charged from one item to the next.
_CHARGE = 100


@dataclass(frozen=True)
class ListQuery:
    """Which items are asked for.

    Attributes:
        page_size: At most so many.
        after: The id of the item after which the page starts.
        ascending: Oldest first.
        before_unix: Only items before this unix time (exclusive).
        after_unix: Only items at or after this unix time.
        voice_id: Only items of this voice.
        model_id: Only items of this model.
        source: Only items of this source.
        search: Only items whose text holds this, whatever the case.
    """

    page_size: int = 100
    after: str | None = None
    ascending: bool = False
    before_unix: int | None = None
    after_unix: int | None = None
    voice_id: str | None = None
    model_id: str | None = None
    source: str | None = None
    search: str | None = None


class HistoryStore:
    """All items, newest last in number and newest first in listings.

    Attributes:
        generated: How many items' objects and clips have been made so far.
    """

    def __init__(self, settings: SimulatorSettings) -> None:
        """Lays out the items without making any."""
        seed = settings.seed
        self._timeline = Timeline(
            settings.items, newest=settings.newest, days=settings.days, seed=seed
        )
        self._ids = Ids(f"item {seed}")
        self._request_ids = Ids(f"request {seed}")
        self._kinds = make_kinds(alignments=settings.alignments)
        self._first_kind = seed % len(self._kinds)
        self._clip_bytes = settings.clip_bytes
        self._disorder = settings.disorder
        self._odd_every = settings.items // settings.odd_dates if settings.odd_dates else 0
        self._formats = settings.formats
        self._scan_limit = settings.scan_limit
        self._keep_removed_cursors = settings.keep_removed_cursors
        self._removed: set[int] = set()
        self._changed: dict[int, Mapping[str, object]] = {}
        self._chosen: dict[str, int] = {}
        self._lock = threading.Lock()
        self.generated = 0

    def __len__(self) -> int:
        """The number of items that are there now."""
        return len(self._timeline) - len(self._removed)

    def __contains__(self, item_id: object) -> bool:
        """Whether there is an item with this id now."""
        return isinstance(item_id, str) and self._find(item_id) is not None

    def ids(self) -> Iterator[str]:
        """Yields the ids of all items, newest first."""
        for number in range(len(self._timeline) - 1, -1, -1):
            if number not in self._removed:
                yield self._id(number)

    def item(self, item_id: str) -> dict[str, object]:
        """Gives the API's object of one item.

        Raises:
            KeyError: There is no such item.
        """
        decoded: dict[str, object] = json.loads(self.item_json(item_id))
        return decoded

    def item_json(self, item_id: str) -> bytes:
        """Gives the API's object of one item in JSON.

        Raises:
            KeyError: There is no such item.
        """
        number = self._number(item_id)
        self._count_generated(1)
        return self._render(number)

    def clip(self, item_id: str, *, wav: bool = False) -> ClipBytes:
        """Gives the audio of one item.

        Args:
            item_id: Which item.
            wav: Whether to give WAV, whatever the item is.

        Returns:
            The audio file.

        Raises:
            KeyError: There is no such item.
        """
        number = self._number(item_id)
        self._count_generated(1)
        kind = self._kind(number)
        if wav:
            return kind.wav_clip(self._ids.encode(number), self._clip_bytes)
        if self._formats == "honest":
            clip = kind.clip(self._ids.encode(number), self._clip_bytes)
        else:
            chosen = format_of(number, kind)
            clip = make_clip(chosen, kind, self._ids.encode(number), self._clip_bytes)
        told = self._fields(number).get("content_type", clip.content_type)
        return dataclasses.replace(clip, content_type=str(told))

    def add(
        self,
        count: int = 1,
        *,
        time: int | None = None,
        fields: Mapping[str, object] | None = None,
        ids: Sequence[str] | None = None,
    ) -> list[str]:
        """Adds new items at the top of the list.

        Args:
            count: How many.
            time: Unix time of all of them, not before the newest item's; by default each is one
                second newer than the one before.
            fields: Values that replace or add to what their objects would hold.
            ids: The items' ids, as many as items; by default they follow from the items' places.

        Returns:
            Their ids, oldest first.

        Raises:
            ValueError: The time is before the newest item's, the fields name the id or the time, or
                the ids are not as many as the items, or are taken.
        """
        if fields and {"history_item_id", "date_unix"} & fields.keys():
            raise ValueError("the id and the time of an item can't be chosen by its fields")
        with self._lock:
            if ids is not None and (
                len(set(ids)) != count
                or any(self._find(i, removed_too=True) is not None for i in ids)
            ):
                raise ValueError("each item needs an id that no other has")
            if time is not None and time < self._timeline.newest:
                raise ValueError("a new item can't be older than the newest one")
            numbers = range(len(self._timeline), len(self._timeline) + count)
            for place, number in enumerate(numbers):
                # Before the item can be seen: a reader must not meet it without its fields.
                if fields:
                    self._changed[number] = dict(fields)
                if ids is not None:
                    self._changed[number] = {**(fields or {}), "history_item_id": ids[place]}
                    self._chosen[ids[place]] = number
                self._timeline.append(self._timeline.newest + 1 if time is None else time)
        return [self._id(number) for number in numbers]

    def remove(self, item_id: str) -> None:
        """Removes an item.

        Raises:
            KeyError: There is no such item.
        """
        with self._lock:
            self._removed.add(self._number(item_id))

    def page(self, query: ListQuery) -> ListPage:
        """Finds the items of one page, without making them.

        Raises:
            KeyError: The cursor is unknown.
        """
        matches = self._matcher(query)
        return take_page(
            self._candidates(query),
            lambda n: n not in self._removed and (matches is None or matches(n)),
            size=query.page_size,
            limit=self._scan_limit if matches else None,
        )

    def page_json(self, query: ListQuery) -> bytes:
        """Gives the API's answer for one page in JSON.

        Raises:
            KeyError: The cursor is unknown.
        """
        page = self.page(query)
        self._count_generated(len(page.numbers))
        items = b",".join(map(self._render, page.numbers))
        tail = {
            "has_more": page.has_more,
            "last_history_item_id": None if page.last is None else self._id(page.last),
            "scanned_until": None if page.last is None else self._timeline.time(page.last),
        }
        return b'{"history":[' + items + b"]," + dump_json(tail)[1:]

    def _candidates(self, query: ListQuery) -> range:
        """Gives the numbers that times and cursor leave over, in the order asked for."""
        low, high = 0, len(self._timeline)
        if query.after_unix is not None:
            low = self._timeline.first_at(query.after_unix)
        if query.before_unix is not None:
            high = min(high, self._timeline.first_at(query.before_unix))
        if query.after is not None:
            cursor = self._number(query.after, removed_too=self._keep_removed_cursors)
            if query.ascending:
                low = max(low, cursor + 1)
            else:
                high = min(high, cursor)
        return range(low, high) if query.ascending else range(high - 1, low - 1, -1)

    def _matcher(self, query: ListQuery) -> Callable[[int], bool] | None:
        """Gives the test that the other filters amount to, or None when there are none."""
        wanted = {
            name: value
            for name, value in (
                ("voice_id", query.voice_id),
                ("model_id", query.model_id),
                ("source", query.source),
            )
            if value is not None
        }
        search = (query.search or "").casefold()
        if not wanted and not search:
            return None

        def fits(fields: Mapping[str, object], words: str) -> bool:
            return search in words and all(fields.get(name) == wanted[name] for name in wanted)

        # The kinds are few: asking each of them once makes a scan of the whole library cheap.
        fitting = [fits(kind.fields, kind.search_text) for kind in self._kinds]

        def matches(number: int) -> bool:
            changed = self._changed.get(number)
            if changed is None:
                return fitting[self._kind_index(number)]
            kind = self._kind(number)
            words = str(changed["text"]).casefold() if "text" in changed else kind.search_text
            return fits({**kind.fields, **changed}, words)

        return matches

    def _kind_index(self, number: int) -> int:
        return (number * _KIND_STEP + self._first_kind) % len(self._kinds)

    def _kind(self, number: int) -> ItemTemplate:
        return self._kinds[self._kind_index(number)]

    def _render(self, number: int) -> bytes:
        rendered = self._kind(number).render(
            self._ids.encode(number).encode(),
            self._request_ids.encode(number).encode(),
            self._date(number),
            number * _CHARGE,
        )
        fields = self._fields(number)
        return dump_json({**json.loads(rendered), **fields}) if fields else rendered

    def _fields(self, number: int) -> Mapping[str, object]:
        """Gives what an item has in place of what its kind has."""
        changed = self._changed.get(number, {})
        if self._formats == "honest":
            return changed
        told = format_of(number, self._kind(number)) if self._formats == "told" else None
        return {"content_type": MP3, "output_format": told, **changed}

    def _date(self, number: int) -> int:
        """Gives what the item says of its time; lists and their filters go by the time itself."""
        time = self._timeline.time(number)
        if self._odd_every and number % self._odd_every == self._odd_every // 2:
            odd = (0, -1, time * 1000, 4_102_444_800)
            return odd[number // self._odd_every % len(odd)]
        return time + number * _SHIFT_STEP % (self._disorder + 1) - self._disorder // 2

    def _id(self, number: int) -> str:
        chosen = self._changed.get(number, {}).get("history_item_id")
        return self._ids.encode(number) if chosen is None else str(chosen)

    def _find(self, item_id: str, *, removed_too: bool = False) -> int | None:
        number = self._chosen.get(item_id)
        if number is None:
            number = self._ids.decode(item_id)
            if number is None or number >= len(self._timeline) or self._id(number) != item_id:
                return None
        return None if number in self._removed and not removed_too else number

    def _number(self, item_id: str, *, removed_too: bool = False) -> int:
        number = self._find(item_id, removed_too=removed_too)
        if number is None:
            raise KeyError(item_id)
        return number

    def _count_generated(self, count: int) -> None:
        with self._lock:
            self.generated += count
