"""The conversations of the simulated account.

As with the library, number 0 is the oldest and nothing is stored but what changes at run time. The
newest conversation is in progress when the simulator starts, and of the one before it the recording
is being made: it is there after it was asked for a few times (`SimulatorSettings.audio_after`).

All methods are thread-safe, in the same way as the library's.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from histfs.simulator.clip_bytes import ClipBytes
from histfs.simulator.conversation import SHAPES, Shape, SimulatedConversation, Status
from histfs.simulator.ids import Ids
from histfs.simulator.list_pages import take_page
from histfs.simulator.simulator_settings import SimulatorSettings
from histfs.simulator.timeline import Timeline

_PREFIX = "conv_"
_FAILED = next(shape for shape in SHAPES if shape.failed)
_RECORDED = [shape for shape in SHAPES if shape.recorded and not shape.forgotten]


@dataclass(frozen=True)
class ConversationQuery:
    """Which conversations are asked for; whatever is None or empty doesn't matter.

    Attributes:
        page_size: At most so many.
        cursor: Where the page starts, from the page before.
        ascending: Oldest first.
        before_unix: Only those before this unix time (`SimulatorSettings.inclusive_starts`).
        after_unix: Only those that start after this unix time (the same).
        agent_ids: Only those of one of these agents.
        outcome: Only those that went like this.
        min_seconds: Only those that last at least so long.
        max_seconds: Only those that last at most so long.
        user_id: Only those of this user.
        languages: Only those in one of these languages.
        tools: Only those that use one of these tools.
        source: Only those that were begun with this.
        termination_reasons: Only those that ended for one of these reasons.
        min_rating: Only those with so many stars.
        max_rating: Only those with stars, but not more.
        text_only: Only those in writing, or only those that are not.
        without: Not those with one of these statuses.
        search: Only those in which this is said, whatever the case.
    """

    page_size: int = 30
    cursor: str | None = None
    ascending: bool = False
    before_unix: int | None = None
    after_unix: int | None = None
    agent_ids: frozenset[str] = frozenset()
    outcome: str | None = None
    min_seconds: int | None = None
    max_seconds: int | None = None
    user_id: str | None = None
    languages: frozenset[str] = frozenset()
    tools: frozenset[str] = frozenset()
    source: str | None = None
    termination_reasons: frozenset[str] = frozenset()
    min_rating: int | None = None
    max_rating: int | None = None
    text_only: bool | None = None
    without: frozenset[str] = frozenset()
    search: str | None = None

    @property
    def filters(self) -> bool:
        """Whether it asks for anything but times and an order."""
        plain = ConversationQuery(
            self.page_size, self.cursor, self.ascending, self.before_unix, self.after_unix
        )
        return self != plain

    def matches(self, call: SimulatedConversation) -> bool:
        """Tells whether a conversation is asked for, whatever its time."""
        summary = call.summary()

        def within(name: str, low: int | None, high: int | None) -> bool:
            value = summary[name]
            if low is None and high is None:
                return True
            return (
                isinstance(value, int) and (low or 0) <= value and (high is None or value <= high)
            )

        def among(name: str, wanted: frozenset[str]) -> bool:
            return not wanted or summary[name] in wanted

        return (
            among("agent_id", self.agent_ids)
            and self.outcome in (None, summary["call_successful"])
            and within("call_duration_secs", self.min_seconds, self.max_seconds)
            and (self.user_id is None or self.user_id == call.detail()["user_id"])
            and among("main_language", self.languages)
            and (not self.tools or not self.tools.isdisjoint(call.shape.scene.tools))
            and self.source in (None, call.source)
            and among("termination_reason", self.termination_reasons)
            and within("rating", self.min_rating, self.max_rating)
            and self.text_only in (None, call.shape.text_only)
            and summary["status"] not in self.without
            and (not self.search or self.search.casefold() in "\n".join(call.messages).casefold())
        )


class ConversationStore:
    """All conversations, newest last in number and newest first in listings."""

    def __init__(self, settings: SimulatorSettings) -> None:
        """Lays out the conversations without making any."""
        count, seed = settings.conversations, settings.seed
        self._timeline = Timeline(count, newest=settings.newest, days=settings.days, seed=seed)
        self._ids = Ids(f"conversation {seed}")
        self._first_shape = seed
        self._clip_bytes = settings.clip_bytes
        self._scan_limit = settings.scan_limit
        self._keep_removed_cursors = settings.keep_removed_cursors
        self._inclusive = settings.inclusive_starts
        self._audio_after = settings.audio_after
        # Of a conversation that is not here, its shape says whether it is done or failed.
        self._status: dict[int, Status] = {}
        begun: tuple[Status, ...] = ("in-progress", "processing")
        for back, status in enumerate(begun[:count], start=1):
            self._status[count - back] = status
        self._asked: Counter[int] = Counter()
        self._changed: dict[int, Mapping[str, object]] = {}
        self._removed: set[int] = set()
        self._removed_files: set[tuple[int, str]] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """The number of conversations that are there now."""
        return len(self._timeline) - len(self._removed)

    def __contains__(self, conversation_id: object) -> bool:
        """Whether there is a conversation with this id now."""
        return isinstance(conversation_id, str) and self._find(conversation_id) is not None

    def ids(self) -> Iterator[str]:
        """Yields the ids of all conversations, newest first."""
        for number in range(len(self._timeline) - 1, -1, -1):
            if number not in self._removed:
                yield self._id(number)

    def summary(self, conversation_id: str) -> dict[str, object]:
        """Gives the object that lists hold, with its summary.

        Raises:
            KeyError: There is no such conversation.
        """
        return self._call(self._number(conversation_id)).summary()

    def detail(self, conversation_id: str) -> dict[str, object]:
        """Gives the object that is answered when a conversation is asked for.

        Raises:
            KeyError: There is no such conversation.
        """
        return self._call(self._number(conversation_id)).detail()

    def clip(self, conversation_id: str) -> ClipBytes | None:
        """Gives the recording, or None when there is none, or none yet.

        Raises:
            KeyError: There is no such conversation.
        """
        return self._call(self._number(conversation_id)).clip(self._clip_bytes)

    def ask_clip(self, conversation_id: str) -> ClipBytes | None:
        """Gives the recording to a client; one that is being made becomes ready at some time.

        Raises:
            KeyError: There is no such conversation.
        """
        number = self._number(conversation_id)
        with self._lock:
            if self._status.get(number) == "processing" and self._audio_after is not None:
                if self._asked[number] >= self._audio_after:
                    self._status[number] = "done"
                self._asked[number] += 1
        return self.clip(conversation_id)

    def file(self, conversation_id: str, file_id: str) -> ClipBytes | None:
        """Gives a file that was sent in a conversation, or None when there is none.

        Raises:
            KeyError: There is no such conversation.
        """
        number = self._number(conversation_id)
        if (number, file_id) in self._removed_files:
            return None
        return self._call(number).file(file_id)

    def remove_file(self, conversation_id: str, file_id: str) -> bool:
        """Removes a file that was sent; the transcript goes on naming it.

        Returns:
            Whether there was one.

        Raises:
            KeyError: There is no such conversation.
        """
        found = self.file(conversation_id, file_id) is not None
        with self._lock:
            self._removed_files.add((self._number(conversation_id), file_id))
        return found

    def add(
        self,
        count: int = 1,
        *,
        time: int | None = None,
        status: Status | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> list[str]:
        """Adds new conversations at the top of the list.

        Args:
            count: How many.
            time: Unix time of the start of all of them, not before the newest one's; by default
                each starts a second after the one before.
            status: How far they have come; those that end will have a recording. By default they
                are over, each in another way.
            fields: Values that replace or add to what their details, and their summaries where
                these have the name, would hold. Of an object the names that are given are replaced.

        Returns:
            Their ids, oldest first.

        Raises:
            ValueError: The time is before the newest one's, or the fields name the id or the time.
        """
        if fields and {"conversation_id", "start_time_unix_secs"} & fields.keys():
            raise ValueError("the id and the time of a conversation can't be chosen by its fields")
        with self._lock:
            if time is not None and time < self._timeline.newest:
                raise ValueError("a new conversation can't be older than the newest one")
            numbers = range(len(self._timeline), len(self._timeline) + count)
            for number in numbers:
                # Before the conversation can be seen: a reader must not meet it without these.
                if fields:
                    self._changed[number] = dict(fields)
                if status:
                    self._status[number] = status
                self._timeline.append(self._timeline.newest + 1 if time is None else time)
        return [self._id(number) for number in numbers]

    def set_status(self, conversation_id: str, status: Status) -> None:
        """Lets a conversation that isn't over go on, or end.

        Raises:
            KeyError: There is no such conversation.
            ValueError: It is over.
        """
        with self._lock:
            number = self._number(conversation_id)
            if self._call(number).over:
                raise ValueError("the conversation is over")
            self._status[number] = status

    def remove(self, conversation_id: str) -> None:
        """Removes a conversation.

        Raises:
            KeyError: There is no such conversation.
        """
        with self._lock:
            self._removed.add(self._number(conversation_id))

    def page(self, query: ConversationQuery) -> tuple[list[SimulatedConversation], str | None]:
        """Finds the conversations of one page.

        Returns:
            The conversations, in the order asked for, and the cursor of the next page, or None
            when there is none.

        Raises:
            KeyError: The cursor is unknown.
        """
        page = take_page(
            self._candidates(query),
            self._matcher(query),
            size=query.page_size,
            limit=self._scan_limit if query.filters else None,
        )
        calls = [self._call(number) for number in page.numbers]
        if not page.has_more or page.last is None:
            return calls, None
        return calls, _cursor(self._id(page.last), ascending=query.ascending)

    def _candidates(self, query: ConversationQuery) -> range:
        """Gives the numbers that times and cursor leave over, in the order asked for."""
        low, high = 0, len(self._timeline)
        if query.after_unix is not None:
            low = self._timeline.first_at(query.after_unix + (not self._inclusive))
        if query.before_unix is not None:
            high = min(high, self._timeline.first_at(query.before_unix + self._inclusive))
        if query.cursor is not None:
            last = _last_of(query.cursor, ascending=query.ascending)
            number = self._number(last, removed_too=self._keep_removed_cursors)
            if query.ascending:
                low = max(low, number + 1)
            else:
                high = min(high, number)
        return range(low, high) if query.ascending else range(high - 1, low - 1, -1)

    def _matcher(self, query: ConversationQuery) -> Callable[[int], bool]:
        filters = query.filters

        def fits(number: int) -> bool:
            return number not in self._removed and (
                not filters or query.matches(self._call(number))
            )

        return fits

    def _call(self, number: int) -> SimulatedConversation:
        status = self._status.get(number)
        shape = self._shape(number, status)
        if status is None:
            status = "failed" if shape.failed else "done"
        fields = self._changed.get(number, {})
        return SimulatedConversation(
            self._id(number), self._timeline.time(number), shape, status, fields
        )

    def _shape(self, number: int, status: Status | None) -> Shape:
        if status is None:
            return SHAPES[(number + self._first_shape) % len(SHAPES)]
        return _FAILED if status == "failed" else _RECORDED[number % len(_RECORDED)]

    def _id(self, number: int) -> str:
        return _PREFIX + self._ids.encode(number)

    def _find(self, conversation_id: str, *, removed_too: bool = False) -> int | None:
        number = self._ids.decode(conversation_id.removeprefix(_PREFIX))
        if number is None or number >= len(self._timeline) or self._id(number) != conversation_id:
            return None
        return None if number in self._removed and not removed_too else number

    def _number(self, conversation_id: str, *, removed_too: bool = False) -> int:
        number = self._find(conversation_id, removed_too=removed_too)
        if number is None:
            raise KeyError(conversation_id)
        return number


def _cursor(last_id: str, *, ascending: bool) -> str:
    """Makes the cursor of the page after a conversation."""
    place = {
        "last_conversation_id": last_id,
        "offset": None,
        "order_by": "start_time_unix_secs",
        "order_direction": "asc" if ascending else "desc",
    }
    return base64.b64encode(json.dumps(place).encode()).decode()


def _last_of(cursor: str, *, ascending: bool) -> str:
    """Gives the id in a cursor.

    Raises:
        KeyError: It is no cursor, or one of a listing in the other order.
    """
    try:
        last = json.loads(base64.b64decode(cursor, validate=True))["last_conversation_id"]
    # RecursionError: it is nested deeper than Python reads.
    except (ValueError, TypeError, RecursionError) as error:
        raise KeyError(cursor) from error
    if _cursor(str(last), ascending=ascending) != cursor:
        raise KeyError(cursor)
    return str(last)
