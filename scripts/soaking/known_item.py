"""What the soak knows of one item."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from histfs.core.captions import cues_of, srt_bytes
from histfs.simulator import ClipBytes
from histfs.sources.elevenlabs.timed_words import timed_words_of_clip


@dataclass
class KnownItem:
    """What is known of an item. All times are on the monotonic clock, in seconds.

    Attributes:
        fields: the API's object.
        clip: its audio.
        created: when it was added at the server; None for an item of the beginning.
        first_listed: when the first listing that holds it had ended.
        removal_began: when the first attempt to remove it on a mount began.
        removal_attempts: how often its audio was to be unlinked.
        unlinked: the number of the mount on which its audio was unlinked without an error, and
            when that call had returned.
        removed_remotely: when it was removed at the server by another client.
        paths: its directory, or the link to it, relative to the mountpoint, by view.
    """

    fields: Mapping[str, Any]
    clip: ClipBytes
    created: float | None
    first_listed: float | None = None
    removal_began: float | None = None
    removal_attempts: int = 0
    unlinked: tuple[int, float] | None = None
    removed_remotely: float | None = None
    paths: dict[str, str] = field(default_factory=dict)

    @property
    def untouched(self) -> bool:
        """Whether nothing has tried to remove it: it must be at the server."""
        return self.removal_began is None and self.removed_remotely is None

    @property
    def day(self) -> str:
        """The path of the day's directory that holds it, relative to the mountpoint."""
        return datetime.fromtimestamp(self.fields["date_unix"], timezone.utc).strftime(
            "by-date/%Y/%m/%d"
        )

    @property
    def voices(self) -> int:
        """How many directories of by-voice show it."""
        return max(len({line["voice_id"] for line in self.fields.get("dialogue") or ()}), 1)

    @property
    def files(self) -> int:
        """The number of its files."""
        return 4 if self.fields.get("alignments") else 3

    def expected(self, file: str) -> bytes:
        """Return the content of a file.

        Args:
            file: the file's name without its suffix; ``captions`` for those beside the audio.
        """
        if file == "captions":
            return srt_bytes(cues_of(timed_words_of_clip(json.dumps(self.fields).encode())))
        if file == "audio":
            return bytes(self.clip)
        if file == "meta":
            return f"{json.dumps(self.fields, ensure_ascii=False, indent=2)}\n".encode()
        lines = self.fields.get("dialogue")
        text = self.fields.get("text")
        if lines:
            text = "\n".join(
                f"{line['voice_name']}: {line['text']}" if self.voices > 1 else line["text"]
                for line in lines
            )
        return b"" if text is None else f"{text}\n".encode()
