"""A folder of audio files as a source: an item's id is its path there, its date the last change.

What was said is in a file beside each of them: ``talk.txt`` for ``talk.mp3``.
"""

from __future__ import annotations

import functools
import json
import mimetypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from histfs.core.errors import HistfsError, Missing, Unreachable
from histfs.core.item import Details, Record
from histfs.core.source import SPAN, Page, Query, Traits
from histfs.core.source_context import SourceContext


def open_recordings(context: SourceContext) -> Recordings:
    """Return the recordings of the folder that the configuration file names."""
    return Recordings(folder_of(context, "recordings"))


def folder_of(context: SourceContext, source: str) -> Path:
    """Return the folder in a source's table of the configuration file.

    Raises:
        HistfsError: there is none.
    """
    folder = context.options.get("folder")
    if not isinstance(folder, str):
        raise HistfsError(f'say where they are: [sources.{source}] folder = "/home/you/…"')
    return Path(folder).expanduser()


@dataclass(frozen=True)
class Stream:
    """The bytes of a recording, while they are being read."""

    file: BinaryIO
    length: int
    throttled: bool = False

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes."""
        return iter(functools.partial(self.file.read, 1 << 16), b"")


class Recordings:
    """The audio files below a folder. Implements `histfs.core.source.Source`."""

    traits = Traits(filters=frozenset({SPAN}), page_size=1000)

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def list(self, query: Query) -> Page:
        """Return one page, newest first; the cursor is the place of its last recording."""
        records = [record for record in self._records() if query.span.holds(record.item.date)]
        records.sort(key=_place)
        if query.after is not None:
            date, _, item_id = query.after.partition(" ")
            records = [record for record in records if _place(record) > (-int(date), item_id)]
        size = min(query.limit or self.traits.page_size, self.traits.page_size)
        last = records[size - 1].item if len(records) > size else None
        return Page(records[:size], last and f"{last.date} {last.id}")

    def get(self, item_id: str) -> Record:
        """Return one recording."""
        with _missing(item_id):
            return self._record(self._path(item_id))

    def delete(self, item_id: str) -> None:
        """Remove the file."""
        with _missing(item_id):
            self._path(item_id).unlink()

    @contextmanager
    def audio(self, item_id: str) -> Iterator[Stream]:
        """Open the file."""
        with _missing(item_id):
            file = self._path(item_id).open("rb")
        with file:
            yield Stream(file, os.fstat(file.fileno()).st_size)

    def describe(self, raw: bytes) -> Details:
        """Read the details out of what `_record` wrote."""
        fields = json.loads(raw)
        indented = json.dumps(fields, indent=2, ensure_ascii=False)
        raw_text = indented.encode("utf-8", "backslashreplace")  # a name may hold any bytes
        return Details(raw_text, fields["text"], has_audio=True)

    def close(self) -> None:
        """Nothing to let go of."""

    def _records(self) -> Iterator[Record]:
        # A folder that can't be read isn't empty: histfs would forget what it knows of it.
        def refuse(error: OSError) -> None:
            raise Unreachable(f"{error.filename} can't be read: {error.strerror}") from error

        for directory, _, names in os.walk(self._folder, onerror=refuse):
            for name in names:
                if _media_type(name).startswith("audio/"):
                    try:
                        yield self._record(Path(directory, name))
                    except FileNotFoundError:
                        continue  # it was removed meanwhile

    def _record(self, path: Path) -> Record:
        status, said = path.stat(), path.with_suffix(".txt")
        text = said.read_text(encoding="utf-8", errors="replace") if said.is_file() else None
        item_id, date = str(path.relative_to(self._folder)), int(status.st_mtime)
        fields = {"path": item_id, "modified": date, "bytes": status.st_size, "text": text}
        return Record.of(
            item_id,
            date,
            json.dumps(fields).encode(),
            title=text or path.stem,
            content_type=_media_type(path.name),
            estimate=status.st_size,
        )

    def _path(self, item_id: str) -> Path:
        path = self._folder / item_id
        if ".." in path.parts or not path.is_relative_to(self._folder):
            raise FileNotFoundError(item_id)
        return path


@contextmanager
def _missing(item_id: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise Missing(f"there is no recording {item_id}") from error


def _media_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or ""


def _place(record: Record) -> tuple[int, str]:
    """Return what sorts newer recordings before older ones."""
    return -record.item.date, record.item.id
