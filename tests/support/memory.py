"""A source in memory: the protocol of `histfs.core.source`, without a network."""

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

#: Seconds after which a call that is held goes on by itself, so that a broken test ends.
_PATIENCE = 10.0


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
    """Make a record as a source would; ``fields`` go into the raw object as they are.

    Several voices are those of a dialogue, and go by their ids.
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
    """Where a call of a source stands still."""

    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def wait_until_reached(self) -> None:
        """Return as soon as a call stands at the gate."""
        if not self.reached.wait(_PATIENCE):
            raise AssertionError("no call came to the gate")


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
    """Items in memory, newest first; those of one second in the order of their ids.

    Args:
        records: the items.
        page_size: items on a page, at the most.
        chunk: bytes in a chunk of audio.
        tells_length: whether a stream of audio says how long it is.
        attachments: whether items have those that their raw objects name by id; each holds
            b"attachment ID".

    Attributes:
        calls: every call, also one that failed, in their order.
        pages: every page that was given, in their order.
        clips: audio by id; an item without an entry has b"audio\0of ID".
    """

    def __init__(
        self,
        records: Iterable[Record] = (),
        page_size: int = 1000,
        *,
        chunk: int = 65_536,
        tells_length: bool = False,
        attachments: bool = False,
    ) -> None:
        self.traits = Traits(
            frozenset({"voice", "source", "model"}), page_size=page_size, attachments=attachments
        )
        self.page_size = page_size
        self.calls: list[Call] = []
        self.pages: list[Page] = []
        self.clips: dict[str, bytes] = {}
        self._chunk = chunk
        self._tells_length = tells_length
        self._lock = threading.Lock()
        self._records: dict[str, Record] = {}
        self._rules: list[tuple[str, int, Callable[[], None]]] = []
        self.add(*records)

    # What the test does

    def add(self, *records: Record) -> None:
        """Put items in, or put others in their place."""
        with self._lock:
            self._records.update({record.item.id: record for record in records})

    def discard(self, item_id: str) -> None:
        """Take an item out, as somebody else would: it is no call."""
        with self._lock:
            del self._records[item_id]

    def records(self) -> list[Record]:
        """Return the items, newest first."""
        with self._lock:
            return self._ordered()

    def following(self, item: _Item, order: Order, number: int) -> list[_Item]:
        """Return the items that come after one, as a catalog of all items would."""
        oldest_first = [r for r in reversed(self.records()) if _place(r) < _place_of(item)]
        return [r.item for r in oldest_first if order is None or order in _orders(r)][:number]

    def orders(self, item: _Item) -> list[Order]:
        """Return the orders of an item by its facets, as a catalog would."""
        return next((_orders(r) for r in self.records() if r.item.key == item.key), [])

    def count(self, method: str) -> int:
        """Return how often a method was called."""
        with self._lock:
            return sum(call.method == method for call in self.calls)

    def fail(self, method: str, error: Exception, skip: int = 0) -> None:
        """Let a method raise, from the call after the next ``skip`` on, until `recover`."""

        def fault() -> None:
            raise error

        self._rule(method, skip, fault)

    def recover(self) -> None:
        """Let nothing fail or stand still any more."""
        with self._lock:
            self._rules.clear()

    @contextmanager
    def held(self, method: str, skip: int = 0) -> Iterator[Gate]:
        """Let a method stand still, from the call after the next ``skip`` on, within a block."""
        gate = Gate()

        def stand_still() -> None:
            gate.reached.set()
            gate.opened.wait(_PATIENCE)

        self._rule(method, skip, stand_still)
        try:
            yield gate
        finally:
            self.recover()
            gate.opened.set()

    def _rule(self, method: str, skip: int, act: Callable[[], None]) -> None:
        first = self.count(method) + skip + 1
        with self._lock:
            self._rules.append((method, first, act))

    # The protocol

    def list(self, query: Query) -> Page:
        """Return one page; its cursor is the place of its last item, not the item."""
        self._called("list", query)
        with self._lock:
            found = [r for r in self._ordered() if query.span.start <= r.item.date < query.span.end]
            if query.after is not None:
                found = found[bisect.bisect_right(found, query.after, key=_place) :]
            size = min(query.limit or self.page_size, self.page_size)
            page = Page(found[:size], _place(found[size - 1]) if len(found) > size else None)
            self.pages.append(page)
            return page

    def get(self, item_id: str) -> Record:
        """Return one item."""
        self._called("get", item_id)
        with self._lock:
            return self._the(item_id)

    def delete(self, item_id: str) -> None:
        """Delete one item."""
        self._called("delete", item_id)
        with self._lock:
            del self._records[self._the(item_id).item.id]

    @contextmanager
    def audio(self, item_id: str) -> Iterator[MemoryStream]:
        """Open the audio of an item."""
        self._called("audio", item_id)
        with self._lock:
            self._the(item_id)
            content = self.clips.get(item_id, f"audio\0of {item_id}".encode())
        yield MemoryStream(content, self._chunk, len(content) if self._tells_length else None)

    @contextmanager
    def attachment(self, item_id: str, attachment_id: str) -> Iterator[MemoryStream]:
        """Open an attachment of an item."""
        self._called("attachment", attachment_id)
        with self._lock:
            raw = self._the(item_id).raw
        if attachment_id not in [each.id for each in self.describe(raw).attachments]:
            raise NoAttachment(f"no attachment {attachment_id}")
        content = f"attachment {attachment_id}".encode()
        yield MemoryStream(content, self._chunk, len(content) if self._tells_length else None)

    def describe(self, raw: bytes) -> Details:
        """Read the details out of a raw object."""
        fields = json.loads(raw)
        attachments = tuple(Attachment(each, each) for each in fields.get("attachments", ()))
        return Details(indented(fields), fields["text"], attachments=attachments)

    def close(self) -> None:
        """Nothing to let go of."""

    def _called(self, method: str, argument: Query | str) -> None:
        with self._lock:
            self.calls.append(Call(method, argument))
            number = sum(call.method == method for call in self.calls)
            acts = [act for name, first, act in self._rules if name == method and number >= first]
        for act in acts:
            act()

    def _ordered(self) -> list[Record]:
        return sorted(self._records.values(), key=_place)

    def _the(self, item_id: str) -> Record:
        if item_id not in self._records:
            raise Missing(f"no item {item_id}")
        return self._records[item_id]


def _orders(record: Record) -> list[Order]:
    return [(kind, has.value) for kind, values in record.facets.items() for has in values]


def _place(record: Record) -> str:
    """Return what sorts before the place of every older item."""
    return _place_of(record.item)


def _place_of(item: _Item) -> str:
    return f"{2**63 - item.date:020d} {item.key}"


def indented(fields: object) -> bytes:
    """Return an object as `Details` has it."""
    text = json.dumps(fields, ensure_ascii=False, indent=2)
    return text.encode("utf-8", "backslashreplace")
