"""Sample items for tests of views and files: ordinary ones, and edge cases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone

from histfs.core.item import Details, Record
from histfs.core.names import Labelled

_LONG = "a very long sentence that goes on and on " * 100


def sample(
    item_id: str, date: int, text: str | None = "Hello world", **facets: str | Sequence[str]
) -> Record:
    """Return a sample record.

    Args:
        item_id: the item's id.
        date: in seconds since the epoch.
        text: the spoken text.
        **facets: for each kind one value, or several: ``VALUE`` or ``VALUE=LABEL``.
    """
    own = {
        kind: [_labelled(each) for each in ([given] if isinstance(given, str) else given)]
        for kind, given in facets.items()
    }
    fields = {"id": item_id, "date": date, "text": text}
    return Record.of(
        item_id,
        date,
        json.dumps(fields).encode(),
        title=text or "",
        facets=own,
        content_type="audio/mpeg",
    )


def describe_sample(raw: bytes) -> Details:
    """Parse the details from a sample's raw object, as `Source.describe` does."""
    fields = json.loads(raw)
    return Details(json.dumps(fields, indent=2).encode(), fields["text"], has_audio=True)


def sample_records() -> list[Record]:
    """Return some thirty items of several years, in no order, with edge cases of each field.

    They have the facets of the built-in sources: voice, source, model, agent, outcome, and some a
    call. Some have several voices.
    """
    given: list[tuple[str, int, str | None, str | Sequence[str], str | None]] = [
        ("a1", _at(2024, 5, 2, 11, 45), "Hello world", "r1=Rachel", "call-1"),
        ("b2", _at(2024, 5, 2, 11, 45), "Hello world", "r1=Rachel", "call-1"),
        ("c3", _at(2024, 5, 2, 11, 46), "Good day", "r2=Rachel", "call-2"),
        ("d4", _at(2024, 5, 31, 23, 59), "The last of May", "adam=Adam", None),
        ("e5", _at(2024, 6, 1), "The first of June", "adam=Adam", None),
        ("f6", _at(2023, 12, 31, 23, 30), "Happy new year", "adam=Adam the Second", None),
        ("g7", _at(2024, 1, 1, 0, 30), "Happy new year", "", None),
        ("h8", _at(2024, 10, 27, 0, 30), "Clocks are set back", "", None),
        ("i9", _at(2024, 10, 27, 1, 30), "Clocks are set back", "", None),
        ("j10", 0, "The beginning of time", "old=Old", None),
        ("k11", _at(2019, 2, 28), None, "silent=", None),
        ("l12", _at(2019, 2, 28, 1), "", "dots=..", "call/3"),
        ("m13", _at(2020, 2, 29), _LONG, f"long={'long ' * 99}", "c" * 300),
        ("n14", _at(2020, 2, 29, 1), "a/b\\c\n\0d", "slash=a/b", "../../etc"),
        ("o15", _at(2020, 2, 29, 2), "Grüße \U0001f600 \u202e", "Größe=.hidden", "c" * 300),
        ("p/16 ü", _at(2021, 3, 4), "An odd id", "nothing=(no voice)", None),
        ("q" * 300, _at(2021, 3, 4, 1), "A long id", "nul=\0\x1b[31m", None),
        ("_-_", _at(2021, 3, 4, 2), "_ - _", "_", None),
        ("s19", _at(2021, 5, 6), "A dialogue", ("adam=Adam", "r1=Rachel"), None),
        ("t20", _at(2021, 5, 6), "Another", ("r2=Rachel", "adam=Adam", "new=New"), None),
        ("u21", _at(2021, 5, 7), "The same voice twice", ("old=Old", "old"), None),
    ]
    given += [(f"r{n}", _at(2022, 1 + n, 3), f"Number {n}", f"v{n % 3}=V", None) for n in range(12)]
    records = []
    for number, (item_id, date, text, voice, call) in enumerate(given):
        facets: dict[str, str | Sequence[str]] = {
            "voice": voice,
            "source": ("TTS", "STS", "")[number % 3],
            "model": ("eleven_v3", "")[number % 2],
            "agent": f"agent{number % 2}=Support",
            "outcome": ("success", "failure", "unknown")[number % 3],
        }
        if call is not None:
            facets["call"] = call
        records.append(sample(item_id, date, text, **facets))
    return records


def _at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=timezone.utc).timestamp())  # type: ignore[arg-type, misc]


def _labelled(given: str) -> Labelled:
    value, _, label = given.partition("=")
    return Labelled(value, label or None)
