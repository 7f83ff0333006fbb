"""The API's history objects, read into the core's words.

Whatever a field holds, the item is shown: an unknown field stays in ``meta.json``, a missing or odd
one has a default. Only an object without an id can't be shown.
"""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from histfs.core.estimate import audio_bytes
from histfs.core.item import Details, Facets, Item, Record
from histfs.core.names import Labelled, key_of, slug_of
from histfs.core.times import EARLIEST, LATEST

Raw = Mapping[str, Any]

log = logging.getLogger(__name__)


def records_of(history: Sequence[Any]) -> list[Record]:
    """Read a page of history objects.

    An object without a usable date gets its neighbour's: the list is in the order of time.

    Args:
        history: the objects, as the API lists them.
    """
    objects = [
        raw for raw in history if isinstance(raw, Mapping) and _string(raw, "history_item_id")
    ]
    if len(objects) < len(history):
        log.warning("%d history items have no id and are not shown", len(history) - len(objects))
    dates = [_date(raw) for raw in objects]
    date = next((date for date in dates if date is not None), 0)
    records = []
    for raw, own in zip(objects, dates, strict=True):
        date = date if own is None else own
        records.append(record_of(raw, date))
    return records


def record_of(raw: Raw, date: int | None = None) -> Record:
    """Read one history object.

    Args:
        raw: the object; it has an id.
        date: the date to use, in seconds since the epoch; None for the object's own.
    """
    item_id = _string(raw, "history_item_id")
    content_type = _string(raw, "content_type").partition(";")[0].strip().lower()
    output_format = _string(raw, "output_format").strip()
    text = text_of(raw) or ""
    item = Item(
        id=item_id,
        key=key_of(item_id),
        date=(_date(raw) or 0) if date is None else date,
        slug=slug_of(text),
        content_type=content_type.encode("ascii", "replace").decode(),
        output_format=output_format.encode("ascii", "replace").decode(),
        estimate=audio_bytes(content_type, output_format, _seconds(raw), len(text)),
        revision=zlib.crc32(repr(raw).encode("utf-8", "backslashreplace")),
    )
    return Record(item, _facets(raw), raw)


def details_of(raw: Raw) -> Details:
    """Return what the item's text files are made of."""
    return Details(raw, text_of(raw))


def text_of(raw: Raw) -> str | None:
    """Return what was spoken: the lines of a dialogue as ``Voice: line``, else the text."""
    dialogue = raw.get("dialogue")
    if isinstance(dialogue, list) and dialogue:
        lines = [line for line in dialogue if isinstance(line, Mapping)]
        return "\n".join(f"{_speaker(line)}: {_string(line, 'text')}" for line in lines)
    text = raw.get("text")
    return text if isinstance(text, str) else None


def _speaker(line: Raw) -> str:
    return _string(line, "voice_name") or _string(line, "voice_id") or "?"


def _facets(raw: Raw) -> Facets:
    voice, name = _string(raw, "voice_id"), _string(raw, "voice_name")
    source, model = _string(raw, "source"), _string(raw, "model_id")
    return {
        "voice": Labelled(voice or name, name or None),
        "source": Labelled(source, None),
        "model": Labelled(model, None),
    }


def _string(raw: Raw, name: str) -> str:
    value = raw.get(name)
    if isinstance(value, str):
        return value
    return "" if value is None else str(value)


def _number(raw: Raw, name: str) -> float | None:
    value = raw.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _date(raw: Raw) -> int | None:
    number = _number(raw, "date_unix")
    return None if number is None else int(min(max(number, EARLIEST), LATEST))


def _seconds(raw: Raw) -> float | None:
    """Return the duration that the alignments tell: the end of the last character."""
    alignments = raw.get("alignments")
    if not isinstance(alignments, Mapping):
        return None
    for name in ("alignment", "normalized_alignment"):
        alignment = alignments.get(name)
        ends = isinstance(alignment, Mapping) and alignment.get("character_end_times_seconds")
        if isinstance(ends, list) and ends:
            return _number({"end": ends[-1]}, "end")
    return None
