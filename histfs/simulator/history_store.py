"""The items of the simulated account.

Nothing is stored per item: its id, time and template are functions of its number, so a million
items cost no more than ten. Number 0 is the oldest. Only changes at run time (items added, removed,
or with other fields) are stored.

Threads: writers hold `HistoryStore._lock`, readers take no lock. A reader sees an item either
before or after a change, and a page has no item twice. No other lock is taken under this one.
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
from histfs.simulator.item_templates import ItemTemplate, item_templates
from histfs.simulator.list_pages import ListPage, take_page
from histfs.simulator.simulator_settings import SimulatorSettings
from histfs.simulator.timeline import Timeline

# Coprime to the number of templates: neighbours differ, and all templates occur in turn.
_TEMPLATE_STEP = 101
# Seconds by which the dates of two neighbours are shifted apart, modulo the disorder.
_SHIFT_STEP = 7919
# Characters charged to the account between two items.
_CHARGE = 100


@dataclass(frozen=True)
class ListQuery:
    """One page of a listing; None does not filter.

    Attributes:
        page_size: The maximum number of items.
        after: The id of the last item of the previous page.
        ascending: Oldest first.
        before_unix: Only items before this Unix time (exclusive).
        after_unix: Only items at or after this Unix time.
        voice_id: Only items of this voice.
        model_id: Only items of this model.
        source: Only items of this source.
        search: Only items with this in their text; case is ignored.
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
    """All items; the newest has the highest number and is first in listings."""

    def __init__(self, settings: SimulatorSettings) -> None:
        """Place the items in time without creating any."""
        seed = settings.seed
        self._timeline = Timeline(
            settings.items, newest=settings.newest, days=settings.days, seed=seed
        )
        self._ids = Ids(f"item {seed}")
        self._request_ids = Ids(f"request {seed}")
        self._templates = item_templates(alignments=settings.alignments)
        self._first_template = seed % len(self._templates)
        self._clip_bytes = settings.clip_bytes
        self._disorder = settings.disorder
        self._odd_every = settings.items // settings.odd_dates if settings.odd_dates else 0
        self._formats = settings.formats
        self._removed: set[int] = set()
        self._changed: dict[int, Mapping[str, object]] = {}
        self._chosen_ids: dict[str, int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """The number of existing items."""
        return len(self._timeline) - len(self._removed)

    def __contains__(self, item_id: object) -> bool:
        """Whether an item with this id exists."""
        return isinstance(item_id, str) and self._find(item_id) is not None

    def ids(self) -> Iterator[str]:
        """Yield the ids of all items, newest first."""
        for number in range(len(self._timeline) - 1, -1, -1):
            if number not in self._removed:
                yield self._id(number)

    def item(self, item_id: str) -> dict[str, object]:
        """Return the API's object of one item.

        Raises:
            KeyError: There is no such item.
        """
        decoded: dict[str, object] = json.loads(self.item_json(item_id))
        return decoded

    def item_json(self, item_id: str) -> bytes:
        """Return the API's object of one item in JSON.

        Raises:
            KeyError: There is no such item.
        """
        return self._render(self._number(item_id))

    def clip(self, item_id: str, *, wav: bool = False) -> ClipBytes:
        """Return the audio of one item.

        Args:
            item_id: The item's id.
            wav: Whether to convert it to WAV.

        Returns:
            The audio file.

        Raises:
            KeyError: There is no such item.
        """
        number = self._number(item_id)
        template = self._template(number)
        if wav:
            return template.wav_clip(self._ids.encode(number), self._clip_bytes)
        if self._formats == "honest":
            clip = template.clip(self._ids.encode(number), self._clip_bytes)
        else:
            actual = format_of(number, template)
            clip = make_clip(actual, template, self._ids.encode(number), self._clip_bytes)
        declared = self._fields(number).get("content_type", clip.content_type)
        return dataclasses.replace(clip, content_type=str(declared))

    def add(
        self,
        count: int = 1,
        *,
        time: int | None = None,
        fields: Mapping[str, object] | None = None,
        ids: Sequence[str] | None = None,
    ) -> list[str]:
        """Add new items at the top of the list.

        Args:
            count: How many.
            time: Unix time of all of them, not before the newest item's; by default each is one
                second newer than the previous one.
            fields: Values that replace or add to those of their objects.
            ids: The items' ids, as many as items; by default functions of the items' numbers.

        Returns:
            Their ids, oldest first.

        Raises:
            ValueError: The time is before the newest item's, the fields set the id or the time, or
                the ids are too few, too many, repeated or taken.
        """
        if fields and {"history_item_id", "date_unix"} & fields.keys():
            raise ValueError("the id and the time of an item can't be chosen by its fields")
        with self._lock:
            if ids is not None and (
                len(set(ids)) != count
                or any(self._find(i, include_removed=True) is not None for i in ids)
            ):
                raise ValueError("each item needs an id that no other has")
            if time is not None and time < self._timeline.newest:
                raise ValueError("a new item can't be older than the newest one")
            numbers = range(len(self._timeline), len(self._timeline) + count)
            for index, number in enumerate(numbers):
                # Set before the timeline shows the item: readers take no lock.
                if fields:
                    self._changed[number] = dict(fields)
                if ids is not None:
                    self._changed[number] = {**(fields or {}), "history_item_id": ids[index]}
                    self._chosen_ids[ids[index]] = number
                self._timeline.append(self._timeline.newest + 1 if time is None else time)
        return [self._id(number) for number in numbers]

    def remove(self, item_id: str) -> None:
        """Remove an item.

        Raises:
            KeyError: There is no such item.
        """
        with self._lock:
            self._removed.add(self._number(item_id))

    def page(self, query: ListQuery) -> ListPage:
        """Return the numbers of the items of one page, without creating the items.

        Raises:
            KeyError: The cursor is unknown.
        """
        matches = self._matcher(query)
        return take_page(
            self._candidates(query),
            lambda number: number not in self._removed and matches(number),
            query.page_size,
        )

    def page_json(self, query: ListQuery) -> bytes:
        """Return the API's answer for one page in JSON.

        Raises:
            KeyError: The cursor is unknown.
        """
        page = self.page(query)
        items = b",".join(map(self._render, page.numbers))
        tail = {
            "has_more": page.has_more,
            "last_history_item_id": None if page.last is None else self._id(page.last),
            "scanned_until": None if page.last is None else self._timeline.time(page.last),
        }
        return b'{"history":[' + items + b"]," + dump_json(tail)[1:]

    def _candidates(self, query: ListQuery) -> range:
        """Return the numbers within the times and after the cursor, in the requested order."""
        low, high = 0, len(self._timeline)
        if query.after_unix is not None:
            low = self._timeline.first_at(query.after_unix)
        if query.before_unix is not None:
            high = min(high, self._timeline.first_at(query.before_unix))
        if query.after is not None:
            cursor = self._number(query.after)
            if query.ascending:
                low = max(low, cursor + 1)
            else:
                high = min(high, cursor)
        return range(low, high) if query.ascending else range(high - 1, low - 1, -1)

    def _matcher(self, query: ListQuery) -> Callable[[int], bool]:
        """Return the predicate for the other filters."""
        exact = {
            name: value
            for name, value in (
                ("voice_id", query.voice_id),
                ("model_id", query.model_id),
                ("source", query.source),
            )
            if value is not None
        }
        search = (query.search or "").casefold()
        if not exact and not search:
            return lambda number: True

        def fits(fields: Mapping[str, object], words: str) -> bool:
            return search in words and all(fields.get(name) == exact[name] for name in exact)

        # Test each of the few templates once, so that a scan of all items is cheap.
        fitting = [fits(template.fields, template.search_text) for template in self._templates]

        def matches(number: int) -> bool:
            changed = self._changed.get(number)
            if changed is None:
                return fitting[self._template_index(number)]
            template = self._template(number)
            words = str(changed["text"]).casefold() if "text" in changed else template.search_text
            return fits({**template.fields, **changed}, words)

        return matches

    def _template_index(self, number: int) -> int:
        return (number * _TEMPLATE_STEP + self._first_template) % len(self._templates)

    def _template(self, number: int) -> ItemTemplate:
        return self._templates[self._template_index(number)]

    def _render(self, number: int) -> bytes:
        rendered = self._template(number).render(
            self._ids.encode(number).encode(),
            self._request_ids.encode(number).encode(),
            self._date(number),
            number * _CHARGE,
        )
        fields = self._fields(number)
        return dump_json({**json.loads(rendered), **fields}) if fields else rendered

    def _fields(self, number: int) -> Mapping[str, object]:
        """Return the fields in which an item differs from its template."""
        changed = self._changed.get(number, {})
        if self._formats == "honest":
            return changed
        declared = format_of(number, self._template(number)) if self._formats == "told" else None
        return {"content_type": MP3, "output_format": declared, **changed}

    def _date(self, number: int) -> int:
        """Return an item's date_unix; lists and their filters use the undistorted time."""
        time = self._timeline.time(number)
        if self._odd_every and number % self._odd_every == self._odd_every // 2:
            impossible = (0, -1, time * 1000, 4_102_444_800)
            return impossible[number // self._odd_every % len(impossible)]
        return time + number * _SHIFT_STEP % (self._disorder + 1) - self._disorder // 2

    def _id(self, number: int) -> str:
        chosen = self._changed.get(number, {}).get("history_item_id")
        return self._ids.encode(number) if chosen is None else str(chosen)

    def _find(self, item_id: str, *, include_removed: bool = False) -> int | None:
        number = self._chosen_ids.get(item_id)
        if number is None:
            number = self._ids.decode(item_id)
            if number is None or number >= len(self._timeline) or self._id(number) != item_id:
                return None
        return None if number in self._removed and not include_removed else number

    def _number(self, item_id: str) -> int:
        number = self._find(item_id)
        if number is None:
            raise KeyError(item_id)
        return number
