"""A source in memory that implements the protocol of `histfs.core.source`."""

from __future__ import annotations

import bisect
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from histfs.core.audio_store import Order
from histfs.core.errors import Missing, NoAttachment
from histfs.core.item import Attachment, Details, Record
from histfs.core.item import Item as _Item
from histfs.core.names import Labelled
from histfs.core.source import Page, Query, Traits

#: Seconds after which a held call continues by itself, so that a broken test ends.
_TIMEOUT = 10.0


def record(
    item_id: str,
    date: int,
    text: str | None = "Hello World",
    *,
    voice: str | Sequence[str] = "rachel-id",
    voice_name: str | None = "Rachel",
    source: str = "TTS",
    content_type: str = "audio/mpeg",
    **fields: Any,
) -> Record:
    """Return a record as a source does; ``fields`` are added to the raw object.

    Several voices are those of a dialogue; their names are derived from their ids.
    """
    raw = {
        "history_item_id": item_id,
        "date_unix": date,
        "text": text,
        "voice_id": voice,
        "voice_name": voice_name,
        "source": source,
        "content_type": content_type,
        **fields,
    }
    sent = json.dumps(raw).encode()
    voices = (
        [Labelled(voice, voice_name)]
        if isinstance(voice, str)
        else [Labelled(one, one.title()) for one in voice]
    )
    facets = {
        "voice": voices,
        "source": [Labelled(source, None)],
        "model": [],
    }
    return Record.of(
        item_id,
        date,
        sent,
        title=text or "",
        facets=facets,
        content_type=content_type,
        output_format="mp3_44100_128" if content_type == "audio/mpeg" else "",
    )


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a source: the method's name and its argument."""

    method: str
    argument: Query | str


@dataclass(slots=True)
class Gate:
    """The point at which a call of a source is held."""

    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def wait_until_reached(self) -> None:
        """Return as soon as a call is held."""
        if not self.reached.wait(_TIMEOUT):
            raise AssertionError("no call reached the gate")


class MemoryStream:
    """The audio of an item, in chunks."""

    def __init__(self, content: bytes, chunk: int, length: int | None) -> None:
        self._content = content
        self._chunk = chunk
        self.length = length
        self.throttled = False

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(self._content), self._chunk):
            yield self._content[start : start + self._chunk]


class MemorySource:
    """Items in memory, newest first; items of one second are ordered by id.

    Threads: any thread may call any method; one lock guards the items, the calls and the rules. It
    is not held while a rule raises or waits.

    Args:
        records: the items.
        page_size: the maximum number of items on a page.
        chunk: bytes in a chunk of audio.
        tells_length: whether a stream of audio has a length.
        attachments: whether items have the attachments that their raw objects name by id; the
            content of each is b"attachment ID".
        tells_sizes: whether `audio_size` is offered.

    Attributes:
        calls: all calls in order, including those that failed.
        pages: all returned pages, in order.
        clips: audio by id; an item without an entry has b"audio\0of ID".
        told: sizes by id that `audio_size` tells in place of the right ones.
    """

    def __init__(
        self,
        records: Iterable[Record] = (),
        page_size: int = 1000,
        *,
        chunk: int = 65_536,
        tells_length: bool = False,
        attachments: bool = False,
        tells_sizes: bool = False,
    ) -> None:
        self.traits = Traits(
            frozenset({"voice", "source", "model"}),
            page_size=page_size,
            attachments=attachments,
            audio_sizes=tells_sizes,
        )
        self.page_size = page_size
        self.calls: list[Call] = []
        self.pages: list[Page] = []
        self.clips: dict[str, bytes] = {}
        self.told: dict[str, int] = {}
        self._chunk = chunk
        self._tells_length = tells_length
        self._lock = threading.Lock()
        self._records: dict[str, Record] = {}
        self._rules: list[tuple[str, int, Callable[[], None]]] = []
        self.add(*records)

    # Methods for tests

    def add(self, *records: Record) -> None:
        """Add items, or replace those with the same ids."""
        with self._lock:
            self._records.update({record.item.id: record for record in records})

    def discard(self, item_id: str) -> None:
        """Remove an item as another client would: this is not recorded as a call."""
        with self._lock:
            del self._records[item_id]

    def records(self) -> list[Record]:
        """Return the items, newest first."""
        with self._lock:
            return self._ordered()

    def following(self, item: _Item, order: Order, number: int) -> list[_Item]:
        """Return the items that follow one in an order, as a complete catalog does."""
        found = [r for r in self.records() if order is None or order in _orders(r)]
        items = sorted((r.item for r in found), key=_date_and_key)
        return items[bisect.bisect_right(items, _date_and_key(item), key=_date_and_key) :][:number]

    def preceding(self, item: _Item, order: Order, number: int) -> list[_Item]:
        """Return the items that precede one in an order, the last one first."""
        found = [r for r in self.records() if order is None or order in _orders(r)]
        items = sorted((r.item for r in found), key=_date_and_key)
        return items[: bisect.bisect_left(items, _date_and_key(item), key=_date_and_key)][
            : -number - 1 : -1
        ]

    def find(self, key: str, date: int) -> _Item | None:
        """Return the item with a key and a date, as a catalog does."""
        items = (each.item for each in self.records())
        return next((item for item in items if (item.key, item.date) == (key, date)), None)

    def orders(self, item: _Item) -> list[Order]:
        """Return the orders of an item by its facets, as a complete catalog does."""
        return next((_orders(r) for r in self.records() if r.item.key == item.key), [])

    def count(self, method: str) -> int:
        """Return the number of calls of a method."""
        with self._lock:
            return sum(call.method == method for call in self.calls)

    def fail(self, method: str, error: Exception, skip: int = 0) -> None:
        """Make a method raise after its next ``skip`` calls, until `recover`."""

        def fault() -> None:
            raise error

        self._add_rule(method, skip, fault)

    def recover(self) -> None:
        """Remove all failures and holds."""
        with self._lock:
            self._rules.clear()

    @contextmanager
    def held(self, method: str, skip: int = 0) -> Iterator[Gate]:
        """Hold the calls of a method after its next ``skip`` calls, within a block."""
        gate = Gate()

        def hold() -> None:
            gate.reached.set()
            gate.opened.wait(_TIMEOUT)

        self._add_rule(method, skip, hold)
        try:
            yield gate
        finally:
            self.recover()
            gate.opened.set()

    def _add_rule(self, method: str, skip: int, action: Callable[[], None]) -> None:
        first = self.count(method) + skip + 1
        with self._lock:
            self._rules.append((method, first, action))

    # The protocol

    def list(self, query: Query) -> Page:
        """Return one page; its cursor is the position of its last item, not its id."""
        self._called("list", query)
        with self._lock:
            found = [r for r in self._ordered() if query.span.start <= r.item.date < query.span.end]
            if query.after is not None:
                found = found[bisect.bisect_right(found, query.after, key=_position) :]
            size = min(query.limit or self.page_size, self.page_size)
            page = Page(found[:size], _position(found[size - 1]) if len(found) > size else None)
            self.pages.append(page)
            return page

    def get(self, item_id: str) -> Record:
        """Return one item."""
        self._called("get", item_id)
        with self._lock:
            return self._existing(item_id)

    def delete(self, item_id: str) -> None:
        """Delete one item."""
        self._called("delete", item_id)
        with self._lock:
            del self._records[self._existing(item_id).item.id]

    @contextmanager
    def audio(self, item_id: str) -> Iterator[MemoryStream]:
        """Open the audio of an item."""
        self._called("audio", item_id)
        with self._lock:
            self._existing(item_id)
            content = self.clips.get(item_id, f"audio\0of {item_id}".encode())
        yield MemoryStream(content, self._chunk, len(content) if self._tells_length else None)

    def audio_size(self, item_id: str) -> int:
        """Return the size of the audio of an item."""
        self._called("audio_size", item_id)
        with self._lock:
            self._existing(item_id)
            content = self.clips.get(item_id, f"audio\0of {item_id}".encode())
        return self.told.get(item_id, len(content))

    @contextmanager
    def attachment(self, item_id: str, attachment_id: str) -> Iterator[MemoryStream]:
        """Open an attachment of an item."""
        self._called("attachment", attachment_id)
        with self._lock:
            raw = self._existing(item_id).raw
        if attachment_id not in [each.id for each in self.describe(raw).attachments]:
            raise NoAttachment(f"no attachment {attachment_id}")
        content = f"attachment {attachment_id}".encode()
        yield MemoryStream(content, self._chunk, len(content) if self._tells_length else None)

    def describe(self, raw: bytes) -> Details:
        """Return the details in a raw object."""
        fields = json.loads(raw)
        attachments = tuple(Attachment(each, each) for each in fields.get("attachments", ()))
        return Details(indented(fields), fields["text"], attachments=attachments)

    def close(self) -> None:
        """Do nothing: the source has no resources."""

    def _called(self, method: str, argument: Query | str) -> None:
        with self._lock:
            self.calls.append(Call(method, argument))
            number = sum(call.method == method for call in self.calls)
            actions = [a for name, first, a in self._rules if name == method and number >= first]
        for action in actions:
            action()

    def _ordered(self) -> list[Record]:
        return sorted(self._records.values(), key=_position)

    def _existing(self, item_id: str) -> Record:
        if item_id not in self._records:
            raise Missing(f"no item {item_id}")
        return self._records[item_id]


def _orders(record: Record) -> list[Order]:
    return [(kind, each.value) for kind, values in record.facets.items() for each in values]


def _position(record: Record) -> str:
    """Return a sort key that is less than that of every older item."""
    return _item_position(record.item)


def _date_and_key(item: _Item) -> tuple[int, str]:
    return item.date, item.key


def _item_position(item: _Item) -> str:
    return f"{2**63 - item.date:020d} {item.key}"


def indented(fields: object) -> bytes:
    """Return an object as indented JSON, as `Details` has it."""
    text = json.dumps(fields, ensure_ascii=False, indent=2)
    return text.encode("utf-8", "backslashreplace")
