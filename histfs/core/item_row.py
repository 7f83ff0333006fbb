"""One item as a row of a table: a flat value, the same for every source."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from histfs.core.times import utc_text


class RowFields(NamedTuple):
    """The fields of a row that only its source can read from the raw object; None where missing.

    Attributes:
        text: what was spoken.
        tells_text: whether the object tells the text, and has audio; else the details tell both.
        settings: the voice settings, as JSON.
        characters: that the item cost.
        duration: of the audio, in seconds.
        language: as the API names it.
        cost: of a conversation, in credits.
        words: the text without the names of the speakers; None if the text has no such names.
    """

    text: str | None = None
    tells_text: bool = False
    settings: str | None = None
    characters: int | None = None
    duration: float | None = None
    language: str | None = None
    cost: float | None = None
    words: str | None = None


class ItemRow(NamedTuple):
    """The fields of an item; None for one that it lacks, or that is not known.

    Attributes:
        id: the API's own id.
        kind: the name of its source, such as ``history`` or ``conversations``.
        time: when it was created, in seconds since the epoch.
        voice: the name of its voice; of a dialogue the first one's.
        voice_id: the id of that voice.
        model: the id of the model.
        source: where it was made, such as ``TTS``.
        language: of a conversation, as the API names it.
        characters: that it cost; the length of the text where the API doesn't say.
        text: what was spoken; of a conversation what is known of it.
        settings: the voice settings, as JSON.
        content_type: the media type of its audio.
        output_format: the API's name of the format.
        duration: of its audio, in seconds.
        size: of its audio, exact, in bytes.
        sha256: of its audio, in hexadecimal digits.
        path: of its directory in the tree, without a slash at the beginning.
        agent: the name of the agent.
        agent_id: the id of the agent.
        outcome: of a conversation, such as ``success``.
        call_id: the id of a telephone call.
        cost: of a conversation, in credits.
        audio: the name of its audio in an export, such as ``audio/month=2024-05/ID.mp3``; None for
            an item that certainly has none.
    """

    id: str
    kind: str
    time: int
    voice: str | None = None
    voice_id: str | None = None
    model: str | None = None
    source: str | None = None
    language: str | None = None
    characters: int | None = None
    text: str | None = None
    settings: str | None = None
    content_type: str | None = None
    output_format: str | None = None
    duration: float | None = None
    size: int | None = None
    sha256: str | None = None
    path: str | None = None
    agent: str | None = None
    agent_id: str | None = None
    outcome: str | None = None
    call_id: str | None = None
    cost: float | None = None
    audio: str | None = None

    @property
    def moment(self) -> datetime:
        """When it was created, in UTC."""
        return datetime.fromtimestamp(self.time, timezone.utc)

    def to_json(self) -> dict[str, Any]:
        """Return the fields for JSON, with the time as ISO 8601 has it, in UTC."""
        return self._asdict() | {"time": utc_text(self.time)}

    def to_metadata(self) -> Mapping[str, Any]:
        """Return a line of ``metadata.jsonl``, by the names that readers of datasets expect."""
        return {
            "file_name": self.audio,  # Hugging Face's AudioFolder
            "audio_filepath": self.audio,  # NeMo, and lhotse's import of its manifests
            "duration": self.duration,
            "text": self.text or "",
            "id": self.id,
            "speaker": self.voice,
            "language": self.language,
        }


#: The names of the fields, in their order.
FIELDS = ItemRow._fields
