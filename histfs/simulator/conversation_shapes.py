"""The shapes of sample conversations: everything but their ids and times."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Literal

from histfs.simulator import conversation_scripts
from histfs.simulator.conversation_scripts import ConversationScript
from histfs.simulator.ids import Ids
from histfs.simulator.sample_clips import load_samples

Outcome = Literal["success", "failure", "unknown"]

OUTCOMES: tuple[Outcome, ...] = ("success", "failure", "unknown")


@dataclass(frozen=True)
class Shape:
    """What many conversations have in common: everything but their id and their time.

    Attributes:
        script: The turns, the title and the summary.
        agent: The number of the agent.
        outcome: The evaluation of the conversation.
        phone: The carrier of the call, or None for a conversation on the web.
        outbound: Whether the agent called the user.
        failed: Whether the connection failed.
        recorded: Whether it has audio.
        expired: What was deleted at the end of its retention time.
        user_id: The user's id.
        rating: The user's rating in stars.
        modern: Whether it has the fields that the API added late.
    """

    script: ConversationScript
    agent: int
    outcome: Outcome = "success"
    phone: Literal["twilio", "sip_trunking", "exotel"] | None = None
    outbound: bool = False
    failed: bool = False
    recorded: bool = True
    expired: Literal["audio", "transcript"] | None = None
    user_id: str | None = None
    rating: int | None = None
    modern: bool = True

    @property
    def text_only(self) -> bool:
        """Whether it is a text chat."""
        return self.script is conversation_scripts.CHAT

    @functools.cached_property
    def starts(self) -> list[float]:
        """The start of each turn, and finally the end of the last one, in seconds."""
        clips = load_samples().clips
        lengths = (0 if t.sound is None else clips[t.sound].duration for t in self.script.turns)
        return list(itertools.accumulate(lengths, initial=0.0))

    @functools.cached_property
    def frames(self) -> bytes:
        """The MP3 frames of all turns, joined."""
        clips = load_samples().clips
        return b"".join(clips[t.sound].frames for t in self.script.turns if t.sound is not None)


# `--demo` shows the first dozen, so they include each variant that a user should see.
SHAPES = (
    Shape(conversation_scripts.ORDER, 0, phone="twilio", user_id="customer 4711"),
    Shape(conversation_scripts.WEATHER, 3),
    Shape(conversation_scripts.TRANSFER_FAILED, 1, "failure", phone="sip_trunking"),
    Shape(conversation_scripts.NASTY, 4, "unknown"),
    Shape(
        conversation_scripts.NOTHING,
        0,
        "failure",
        phone="twilio",
        outbound=True,
        failed=True,
        recorded=False,
    ),
    Shape(conversation_scripts.CHAT, 2, recorded=False, user_id="writer/1"),
    Shape(conversation_scripts.TRAIN, 5, phone="twilio", rating=5),
    Shape(conversation_scripts.MEETING, 3, "unknown", modern=False),
    Shape(conversation_scripts.CLAIM, 6, "failure", rating=1),
    Shape(conversation_scripts.ORDER, 1, expired="audio"),
    Shape(conversation_scripts.SILENT, 2, "unknown", phone="sip_trunking", outbound=True),
    Shape(conversation_scripts.LONG, 7),
    Shape(conversation_scripts.ORDER, 2, phone="exotel"),
    Shape(conversation_scripts.TRAIN, 1, "failure", expired="transcript"),
    Shape(conversation_scripts.MEETING, 0, phone="twilio", outbound=True),
    Shape(conversation_scripts.NOTHING, 5, "unknown", recorded=False),
    Shape(conversation_scripts.WEATHER, 0, modern=False),
    Shape(conversation_scripts.ODD_FILES, 3),
    Shape(conversation_scripts.CLAIM, 0, recorded=False, modern=False),
)

_AGENT_IDS = Ids("agent")


def agent_id(number: int) -> str:
    """Return the id of an agent."""
    return f"agent_{_AGENT_IDS.encode(number)}"
