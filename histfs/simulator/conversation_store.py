"""The conversations of the simulated account.

As in the history store, number 0 is the oldest, and only changes at run time are stored. The newest
conversation is in progress when the simulator starts; the one before it is processing, and is done
once its recording was requested a few times (`SimulatorSettings.audio_after`).

Threads: as in the history store, writers hold the lock, and readers take none.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from histfs.simulator.clip_bytes import ClipBytes
from histfs.simulator.conversation import SimulatedConversation, Status
from histfs.simulator.conversation_shapes import SHAPES, Shape
from histfs.simulator.ids import Ids
from histfs.simulator.list_pages import take_page
from histfs.simulator.simulator_settings import SimulatorSettings
from histfs.simulator.timeline import Timeline

_PREFIX = "conv_"
_FAILED = next(shape for shape in SHAPES if shape.failed)
_RECORDED = [shape for shape in SHAPES if shape.recorded and not shape.expired]


@dataclass(frozen=True)
class ConversationQuery:
    """One page of a listing; None and empty values do not filter.

    Attributes:
        page_size: The maximum number of conversations.
        cursor: The cursor from the previous page.
        ascending: Oldest first.
        before_unix: Only conversations that start before this Unix time; whether the bound is
            inclusive is a setting (`SimulatorSettings.inclusive_starts`).
        after_unix: Only conversations that start after this Unix time; the same setting applies.
        agent_id: Only conversations of this agent.
        outcome: Only conversations with this evaluation.
        min_seconds: The minimum duration.
        max_seconds: The maximum duration.
        user_id: Only conversations of this user.
        languages: Only conversations in one of these languages.
        tools: Only conversations that call one of these tools.
        min_rating: The minimum rating in stars.
        max_rating: The maximum rating in stars; conversations without a rating do not match.
        text_only: Only text chats (True), or only others (False).
        excluded_statuses: No conversations with one of these statuses.
        search: Only conversations with this text in a message; case is ignored.
    """

    page_size: int = 30
    cursor: str | None = None
    ascending: bool = False
    before_unix: int | None = None
    after_unix: int | None = None
    agent_id: str | None = None
    outcome: str | None = None
    min_seconds: int | None = None
    max_seconds: int | None = None
    user_id: str | None = None
    languages: frozenset[str] = frozenset()
    tools: frozenset[str] = frozenset()
    min_rating: int | None = None
    max_rating: int | None = None
    text_only: bool | None = None
    excluded_statuses: frozenset[str] = frozenset()
    search: str | None = None

    def matches(self, conversation: SimulatedConversation) -> bool:
        """Return whether a conversation passes the filters other than the times."""
        summary = conversation.summary()

        def within(name: str, low: int | None, high: int | None) -> bool:
            value = summary[name]
            if low is None and high is None:
                return True
            return (
                isinstance(value, int) and (low or 0) <= value and (high is None or value <= high)
            )

        tools = conversation.shape.script.tools
        return (
            self.agent_id in (None, summary["agent_id"])
            and self.outcome in (None, summary["call_successful"])
            and within("call_duration_secs", self.min_seconds, self.max_seconds)
            and (self.user_id is None or self.user_id == conversation.detail()["user_id"])
            and (not self.languages or summary["main_language"] in self.languages)
            and (not self.tools or not self.tools.isdisjoint(tools))
            and within("rating", self.min_rating, self.max_rating)
            and self.text_only in (None, conversation.shape.text_only)
            and summary["status"] not in self.excluded_statuses
            and self._is_in(conversation.messages)
        )

    def _is_in(self, messages: list[str]) -> bool:
        return not self.search or self.search.casefold() in "\n".join(messages).casefold()


class ConversationStore:
    """All conversations; the newest has the highest number and is first in listings."""

    def __init__(self, settings: SimulatorSettings) -> None:
        """Place the conversations in time without creating any."""
        count, seed = settings.conversations, settings.seed
        self._timeline = Timeline(count, newest=settings.newest, days=settings.days, seed=seed)
        self._ids = Ids(f"conversation {seed}")
        self._first_shape = seed
        self._clip_bytes = settings.clip_bytes
        self._inclusive = settings.inclusive_starts
        self._audio_after = settings.audio_after
        # Without an entry, the shape determines whether the conversation is done or failed.
        self._status: dict[int, Status] = {}
        unfinished: tuple[Status, ...] = ("in-progress", "processing")
        for back, status in enumerate(unfinished[:count], start=1):
            self._status[count - back] = status
        self._clip_requests: Counter[int] = Counter()
        self._changed: dict[int, Mapping[str, object]] = {}
        self._removed: set[int] = set()
        self._removed_files: set[tuple[int, str]] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """The number of existing conversations."""
        return len(self._timeline) - len(self._removed)

    def __contains__(self, conversation_id: object) -> bool:
        """Whether a conversation with this id exists."""
        return isinstance(conversation_id, str) and self._find(conversation_id) is not None

    def ids(self) -> Iterator[str]:
        """Yield the ids of all conversations, newest first."""
        for number in range(len(self._timeline) - 1, -1, -1):
            if number not in self._removed:
                yield self._id(number)

    def summary(self, conversation_id: str) -> dict[str, object]:
        """Return a conversation's object in lists, with its transcript summary.

        Raises:
            KeyError: There is no such conversation.
        """
        return self._conversation(self._number(conversation_id)).summary()

    def detail(self, conversation_id: str) -> dict[str, object]:
        """Return a conversation's object with all details.

        Raises:
            KeyError: There is no such conversation.
        """
        return self._conversation(self._number(conversation_id)).detail()

    def clip(self, conversation_id: str) -> ClipBytes | None:
        """Return the recording, or None when there is none, or none yet.

        Raises:
            KeyError: There is no such conversation.
        """
        return self._conversation(self._number(conversation_id)).clip(self._clip_bytes)

    def request_clip(self, conversation_id: str) -> ClipBytes | None:
        """Return the recording to a client, and count the request.

        A conversation that is processing is done after `SimulatorSettings.audio_after` requests.

        Raises:
            KeyError: There is no such conversation.
        """
        number = self._number(conversation_id)
        with self._lock:
            if self._status.get(number) == "processing":
                if self._clip_requests[number] >= self._audio_after:
                    self._status[number] = "done"
                self._clip_requests[number] += 1
        return self.clip(conversation_id)

    def file(self, conversation_id: str, file_id: str) -> ClipBytes | None:
        """Return a file that was sent in a conversation, or None when there is none.

        Raises:
            KeyError: There is no such conversation.
        """
        number = self._number(conversation_id)
        if (number, file_id) in self._removed_files:
            return None
        return self._conversation(number).file(file_id)

    def remove_file(self, conversation_id: str, file_id: str) -> None:
        """Remove a file that was sent; the transcript still names it.

        Raises:
            KeyError: There is no such conversation.
        """
        with self._lock:
            self._removed_files.add((self._number(conversation_id), file_id))

    def add(
        self,
        count: int = 1,
        *,
        time: int | None = None,
        status: Status | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> list[str]:
        """Add new conversations at the top of the list.

        Args:
            count: How many.
            time: Unix time of their start, not before the newest one's; by default each starts one
                second after the previous one.
            status: Their status; one that becomes done has a recording. By default they are done or
                failed, according to their shapes.
            fields: Values that replace or add to those of their details, and of their summaries
                where these have the name. An object is merged with the present one.

        Returns:
            Their ids, oldest first.

        Raises:
            ValueError: The time is before the newest one's, or the fields set the id or the time.
        """
        if fields and {"conversation_id", "start_time_unix_secs"} & fields.keys():
            raise ValueError("the id and the time of a conversation can't be chosen by its fields")
        with self._lock:
            if time is not None and time < self._timeline.newest:
                raise ValueError("a new conversation can't be older than the newest one")
            numbers = range(len(self._timeline), len(self._timeline) + count)
            for number in numbers:
                # Set before the timeline shows the conversation: readers take no lock.
                if fields:
                    self._changed[number] = dict(fields)
                if status:
                    self._status[number] = status
                self._timeline.append(self._timeline.newest + 1 if time is None else time)
        return [self._id(number) for number in numbers]

    def set_status(self, conversation_id: str, status: Status) -> None:
        """Set the status of a conversation that is not over.

        Raises:
            KeyError: There is no such conversation.
            ValueError: It is over.
        """
        with self._lock:
            number = self._number(conversation_id)
            if self._conversation(number).over:
                raise ValueError("the conversation is over")
            self._status[number] = status

    def remove(self, conversation_id: str) -> None:
        """Remove a conversation.

        Raises:
            KeyError: There is no such conversation.
        """
        with self._lock:
            self._removed.add(self._number(conversation_id))

    def page(self, query: ConversationQuery) -> tuple[list[SimulatedConversation], str | None]:
        """Return the conversations of one page.

        Returns:
            The conversations, in the requested order, and the cursor of the next page, or None
            on the last page.

        Raises:
            KeyError: The cursor is unknown.
        """

        def matches(number: int) -> bool:
            return number not in self._removed and query.matches(self._conversation(number))

        page = take_page(self._candidates(query), matches, query.page_size)
        conversations = [self._conversation(number) for number in page.numbers]
        if not page.has_more or page.last is None:
            return conversations, None
        return conversations, _cursor(self._id(page.last), ascending=query.ascending)

    def _candidates(self, query: ConversationQuery) -> range:
        """Return the numbers within the times and after the cursor, in the requested order."""
        low, high = 0, len(self._timeline)
        if query.after_unix is not None:
            low = self._timeline.first_at(query.after_unix + (not self._inclusive))
        if query.before_unix is not None:
            high = min(high, self._timeline.first_at(query.before_unix + self._inclusive))
        if query.cursor is not None:
            number = self._number(_last_of(query.cursor, ascending=query.ascending))
            if query.ascending:
                low = max(low, number + 1)
            else:
                high = min(high, number)
        return range(low, high) if query.ascending else range(high - 1, low - 1, -1)

    def _conversation(self, number: int) -> SimulatedConversation:
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

    def _find(self, conversation_id: str) -> int | None:
        number = self._ids.decode(conversation_id.removeprefix(_PREFIX))
        if number is None or number >= len(self._timeline) or self._id(number) != conversation_id:
            return None
        return None if number in self._removed else number

    def _number(self, conversation_id: str) -> int:
        number = self._find(conversation_id)
        if number is None:
            raise KeyError(conversation_id)
        return number


def _cursor(last_id: str, *, ascending: bool) -> str:
    """Return the cursor of the page after a conversation."""
    position = {
        "last_conversation_id": last_id,
        "offset": None,
        "order_by": "start_time_unix_secs",
        "order_direction": "asc" if ascending else "desc",
    }
    return base64.b64encode(json.dumps(position).encode()).decode()


def _last_of(cursor: str, *, ascending: bool) -> str:
    """Return the id in a cursor.

    Raises:
        KeyError: It is malformed, or from a listing in the other order.
    """
    try:
        last = json.loads(base64.b64decode(cursor, validate=True))["last_conversation_id"]
    # RecursionError: it is nested too deeply for the parser.
    except (ValueError, TypeError, RecursionError) as error:
        raise KeyError(cursor) from error
    if _cursor(str(last), ascending=ascending) != cursor:
        raise KeyError(cursor)
    return str(last)
