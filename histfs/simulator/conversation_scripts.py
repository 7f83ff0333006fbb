"""The texts, agents and files of the sample conversations: usual ones and hostile ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["user", "agent"]


@dataclass(frozen=True)
class SentFile:
    """A file that is sent with a turn.

    Attributes:
        name: Its original name, which may contain any character.
        mime_type: Its declared type.
        size: Its approximate size in bytes.
    """

    name: str
    mime_type: str
    size: int = 3000


@dataclass(frozen=True)
class ScriptedTurn:
    """One turn of a conversation.

    Attributes:
        role: The speaker.
        text: The text; None for a turn without one, such as a tool call.
        sound: The index of the sample clip that is its sound, or None for no sound.
        tool: The name of the tool that this turn calls, or None.
        returned: The name of the tool whose result this turn has, or None.
        interrupted: Whether the other party interrupted it.
        files: The files that are sent with this turn.
    """

    role: Role
    text: str | None
    sound: int | None = None
    tool: str | None = None
    returned: str | None = None
    interrupted: bool = False
    files: tuple[SentFile, ...] = ()


@dataclass(frozen=True)
class ConversationScript:
    """The content of a conversation.

    Attributes:
        title: A title in a few words, or None.
        summary: A sentence or two.
        language: The language's code, such as "en".
        turns: The turns, in order.
    """

    title: str | None
    summary: str
    language: str | None
    turns: tuple[ScriptedTurn, ...]

    @property
    def tools(self) -> list[str]:
        """The names of the tools that are called, each once."""
        return list(dict.fromkeys(turn.tool for turn in self.turns if turn.tool))


# An agent's id is a function of its index here, so two agents may share a name.
AGENT_NAMES: tuple[str | None, ...] = (
    "Support",
    "Support",
    None,
    "Reception of the Zoë & Max studio",
    "Ecommerce / Returns\n../../outbound",
    "🤖 מוקד שירות \u202eexe.3pm",
    "support",
    " .hidden " + "A name that goes on " * 20,
)


def _agent(text: str, sound: int) -> ScriptedTurn:
    return ScriptedTurn("agent", text, sound)


def _user(text: str, sound: int) -> ScriptedTurn:
    return ScriptedTurn("user", text, sound)


_HOLD = _agent(
    "Thank you for calling. Please hold the line, we will be with you shortly.",
    9,
)

ORDER = ConversationScript(
    "Where is my order?",
    "The caller asked for an order. It leaves today; the caller was content.",
    "en",
    (
        _HOLD,
        _user("Hello? It's about order 4711/2: where is it?", 1),
        ScriptedTurn("agent", None, tool="lookup_order"),
        ScriptedTurn("agent", None, returned="lookup_order"),
        _agent("I found it. It leaves our house today.", 0),
        _user("Great, thank you.", 10),
    ),
)
WEATHER = ConversationScript(
    "Tomorrow's weather",
    "The user asked for the weather of tomorrow and got it.",
    "en",
    (
        _agent("Hi! What can I do for you?", 3),
        _user("What will the weather be like tomorrow?", 1),
        _agent(
            "Tomorrow will be cloudy, with a light wind from the west and 19 degrees at noon.", 2
        ),
    ),
)
TRAIN = ConversationScript(
    "Gleiswechsel in Köln",
    "Der Anrufer fragte nach seinem Zug.",
    "de",
    (
        _agent("Guten Morgen! Der Zug nach Köln fährt heute von Gleis zwölf.", 4),
        _user("Danke schön, und tschüß!", 10),
    ),
)
MEETING = ConversationScript(
    "Réunion à 9 h 00",
    "L'utilisateur voulait savoir à quelle heure commence la réunion.",
    "fr",
    (
        _agent("Bonjour à tous, le café est prêt et la réunion commence à neuf heures.", 5),
        ScriptedTurn("user", "Et la biblio—", 7, interrupted=True),
        _agent("Oui ?", 10),
        _user("Merci !", 10),
    ),
)
TRANSFER_FAILED = ConversationScript(
    "Transfer to a person fails",
    "The caller wanted a person. The transfer failed, and the caller hung up.",
    "en",
    (
        _HOLD,
        _user("I want to speak to a person.", 1),
        ScriptedTurn("agent", None, tool="transfer_to_number"),
        ScriptedTurn(
            "agent", "Sorry, nobody can take your call now.", 9, returned="transfer_to_number"
        ),
        ScriptedTurn("user", "…", 1),
        ScriptedTurn("user", "", None),
    ),
)
NASTY = ConversationScript(
    "a/b\\c: ../..\n\tRe: 🎧 \u202eabc\u202c",
    "Texts that break a file name, a line or a terminal.",
    None,
    (
        _agent("Line one\nline two\r\n[00:00] agent: a line that only looks like a turn", 0),
        _user("שלום, מה שלומך? \u202etxt.exe\u202c مرحبا", 6),
        _agent("👩‍👩‍👧‍👦 \x1b[31mred\x1b[0m \t tab, NUL \x00, e\u0301 and é", 8),
        _user("/etc/passwd; $(rm -rf ~) `id` \\ \" ' <b>&amp;</b> %s %%", 7),
        ScriptedTurn("agent", None, None),
        _user(" ", 10),
    ),
)
LONG = ConversationScript(
    None,
    "A story was read out, chapter after chapter.",
    "en",
    tuple(
        _agent("Chapter one. It was a quiet evening in the harbour, and the lamps were lit.", 8)
        if turn % 2 == 0
        else _user("Go on. " + "And then? " * turn, 11)
        for turn in range(24)
    ),
)
SILENT = ConversationScript(None, "", None, (_agent("Hello?", 10),))
CHAT = ConversationScript(
    "Opening hours",
    "The user asked in writing when the shop is open.",
    "en",
    (
        ScriptedTurn("user", "When are you open?"),
        ScriptedTurn("agent", "From 9 to 17 h, on Saturdays to 13 h."),
    ),
)
CLAIM = ConversationScript(
    "A lamp arrived broken",
    "The user sent a photo of a broken lamp and its invoice. A new one is on its way.",
    "en",
    (
        _agent("Hi! What can I do for you?", 3),
        ScriptedTurn(
            "user",
            "My lamp arrived broken, here is a photo.",
            1,
            files=(SentFile("lamp.jpg", "image/jpeg", 80_000),),
        ),
        ScriptedTurn("user", None, files=(SentFile("invoice.pdf", "application/pdf"),)),
        _agent("Thank you. A new one is on its way.", 9),
    ),
)
ODD_FILES = ConversationScript(
    "Files with odd names",
    "Names that break a path, and files that look like error messages.",
    None,
    (
        ScriptedTurn(
            "user",
            "Two of one name, and twins but for the case:",
            0,
            files=(
                SentFile("photo.png", "image/png"),
                SentFile("photo.png", "image/png"),
                SentFile("PHOTO.PNG", "image/png"),
            ),
        ),
        ScriptedTurn(
            "user",
            None,
            files=(
                SentFile("../../etc/passwd", "text/plain"),
                SentFile("..", "text/plain"),
                SentFile("", "application/pdf"),
                SentFile("a long name " * 100 + ".txt", "text/plain"),
                SentFile("line\nbreak\x00\x1b[31m\u202etxt.exe", "application/octet-stream"),
                SentFile("U\u0308bersicht.pdf", "application/pdf"),
            ),
        ),
        ScriptedTurn(
            "agent",
            None,
            files=(
                SentFile("page.html", "text/html; charset=utf-8"),
                SentFile("error.json", "application/json"),
            ),
        ),
    ),
)
NOTHING = ConversationScript(None, "", None, ())
