"""The items of an account as a table, with a file for each month of UTC.

DEST/table/month=2024-05/items.jsonl    or items.parquet
DEST/metadata.jsonl                     the items with audio, for readers of datasets
DEST/.histfs-table.json                 what was written: the checksum of each month

The metadata stand outside of ``table``, all of which a program may read as one Parquet dataset.

A month is written anew if anything in the catalog has changed for one of its items. The order is:
months, metadata, state; what a killed run has written is written once more.

Threads: one; no state here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any

from histfs.core.item_row import ItemRow
from histfs.core.times import ALWAYS, Zone
from histfs.exporting.destination import Destination, read, spooled, write
from histfs.exporting.errors import TableDamaged
from histfs.exporting.manifest import Manifest
from histfs.exporting.months import month_of, months_of, span_of, state_of
from histfs.exporting.row_files import RowFormat, json_line
from histfs.exporting.row_filter import RowFilter
from histfs.mounting import MountedSource
from histfs.mounting.account_rows import rows

STATE, METADATA = ".histfs-table.json", "metadata.jsonl"
_CHUNK = 1 << 20
#: Lines of the metadata that are written at once.
_LINES = 500


@dataclass(slots=True)
class TableResult:
    """What a run did.

    Attributes:
        rows: in the months that were looked at.
        months: that were looked at.
        written: months whose file was written.
        removed: months that have no item any more.
    """

    rows: int = 0
    months: int = 0
    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


class Table:
    """A table at a destination.

    Args:
        destination: where.
        form: of its files.
        sources: of the account.
        zone: in which paths have their times.
        chosen: which rows it has.
    """

    def __init__(
        self,
        destination: Destination,
        form: RowFormat,
        sources: Sequence[MountedSource],
        zone: Zone,
        chosen: RowFilter | None = None,
    ) -> None:
        self._destination = destination
        self._form = form
        self._sources = sources
        self._zone = zone
        self._chosen = chosen or RowFilter()
        self._has_export: bool | None = None

    def claim(self) -> None:
        """Check that the destination is empty or has a table of this account, and make it so.

        An export does so before it writes.

        Raises:
            TableDamaged: it holds something else.
            DestinationFailed, NoSpace: it can't be used.
        """
        self._load()

    def update(
        self,
        since: int = ALWAYS.start,
        progress: Callable[[int], None] = lambda done: None,
    ) -> TableResult:
        """Write the months that have changed.

        Args:
            since: the months before that of this moment are left as they are.
            progress: called with the number of rows that are done.

        Raises:
            DestinationFailed, NoSpace: the destination can't be used.
            TableDamaged: it holds something else, or the table of another account.
            CacheFailed: the catalog can't be read.
        """
        before = self._load()
        chosen = list(self._chosen.conditions)
        same = before["format"] in ("", self._form.name) and before.get("where", []) == chosen
        # In another format, or of other rows, all months are written anew: those before would be
        # as they were.
        first = month_of(since) if since > ALWAYS.start and same else ""
        known: dict[str, Any] = before["months"]
        months = months_of(self._sources, span_of(first).start if first else ALWAYS.start)
        result = TableResult(months=len(months))
        kept = {month: entry for month, entry in known.items() if month < first}
        changed = {}
        for month in months:
            count, state = state_of(self._sources, month)
            exported = self._exported(month)
            if exported is not None:
                state = hashlib.sha256("\n".join([state, *sorted(exported)]).encode()).hexdigest()
            entry = known.get(month)
            if entry is not None and same and entry["state"] == state:
                kept[month] = entry
            else:
                changed[month] = {"state": state, "rows": count}
        result.removed = [month for month in known if month not in kept and month not in changed]
        if changed or result.removed:
            self._write(before, kept, changed, result, progress)
        result.rows = sum({**kept, **changed}[month]["rows"] for month in months)
        progress(result.rows)
        return result

    def _write(
        self,
        before: dict[str, Any],
        kept: dict[str, Any],
        changed: dict[str, Any],
        result: TableResult,
        progress: Callable[[int], None],
    ) -> None:
        """Write the changed months, and the metadata with those that were kept."""
        done = sum(entry["rows"] for entry in kept.values())
        with self._old_metadata(before) as old, spooled(self._destination) as metadata:
            for month in sorted({*kept, *changed}):
                start = metadata.tell()
                if month in kept and old is not None:
                    _copy(old, before["months"][month]["metadata"], metadata)
                elif month in kept:
                    exported = self._exported(month)
                    for _ in _described(self._rows(month), exported, metadata):
                        pass
                else:
                    number = self._write_month(month, metadata, partial(_add, progress, done))
                    changed[month]["rows"] = number
                    done += number
                    result.written.append(month)
                entry = kept[month] if month in kept else changed[month]
                changed[month] = entry | {"metadata": [start, metadata.tell() - start]}
            self._destination.put(METADATA, metadata)
        self._store(self._form.name, changed)
        for month in result.removed:
            self._destination.remove(self._name(month, before["format"]))
        if before["format"] not in ("", self._form.name):
            for month in before["months"]:
                self._destination.remove(self._name(month, before["format"]))

    def _write_month(self, month: str, metadata: IO[bytes], progress: Callable[[int], None]) -> int:
        """Write the rows of a month and their metadata, and return their number."""
        exported, number = self._exported(month), 0

        def seen() -> Iterator[ItemRow]:
            nonlocal number
            rows = _described(self._rows(month), exported, metadata)
            for number, row in enumerate(rows, 1):
                if number % 1000 == 0:
                    progress(number)
                yield row

        with spooled(self._destination) as file:
            self._form.write(seen(), file)
            self._destination.put(self._name(month, self._form.name), file)
        return number

    def _exported(self, month: str) -> Set[str] | None:
        """Return the names of the audio of a month that is there; None where none was exported.

        A line of the metadata whose audio lacks would end the programs that read it.
        """
        if self._has_export is None:
            self._has_export = bool(self._destination.sizes("manifest"))
        if not self._has_export:
            return None
        manifest = Manifest.load(self._destination, month)
        return {each["audio"].name for each in manifest.items.values() if "audio" in each}

    def _rows(self, month: str) -> Iterator[ItemRow]:
        for mounted in self._sources:
            found = rows(mounted, self._zone, span_of(month))
            yield from filter(self._chosen, found) if self._chosen.conditions else found

    def _name(self, month: str, form: str) -> str:
        return f"table/month={month}/items.{form}"

    def _load(self) -> dict[str, Any]:
        content = read(self._destination, STATE)
        if content is None:
            if read(self._destination, METADATA) is not None:
                raise TableDamaged(
                    f"{self._destination} has a {METADATA} that histfs did not write: give an"
                    " empty folder"
                )
            # From here on all that is there is ours.
            self._store("", {})
            return {"format": "", "months": {}}
        try:
            found = json.loads(content)
            for entry in found["months"].values():
                start, length = entry["metadata"]
                _ = int(start), int(length), str(entry["state"]), int(entry["rows"])
            account = str(found["account"]), str(found["format"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TableDamaged(
                f"{self._destination}: {STATE} can't be read: remove it and {METADATA}, and all is"
                " written anew"
            ) from error
        if account[0] != self._account:
            raise TableDamaged(
                f"{self._destination} has the table of another account, or of another key: give"
                f" another folder, or remove {STATE} and {METADATA}"
            )
        return dict(found)

    def _store(self, form: str, months: dict[str, Any]) -> None:
        state: dict[str, Any] = {"version": 1, "account": self._account, "format": form}
        if self._chosen.conditions:
            state["where"] = self._chosen.conditions
        state["months"] = months
        write(self._destination, STATE, json.dumps(state, indent=1).encode() + b"\n")

    @property
    def _account(self) -> str:
        return self._sources[0].account if self._sources else ""

    @contextlib.contextmanager
    def _old_metadata(self, before: dict[str, Any]) -> Iterator[IO[bytes] | None]:
        """Yield a copy of the metadata of the last run; None if it is not as it was."""
        length = sum(entry["metadata"][1] for entry in before["months"].values())
        opened = self._destination.open(METADATA) if length else None
        if opened is None:
            yield None
            return
        with spooled(self._destination) as copy:
            with opened as file:
                shutil.copyfileobj(file, copy, _CHUNK)
            yield copy if copy.tell() == length else None


def _add(progress: Callable[[int], None], done: int, number: int) -> None:
    progress(done + number)


def _described(
    rows: Iterable[ItemRow], exported: Set[str] | None, metadata: IO[bytes]
) -> Iterator[ItemRow]:
    """Yield rows, and write the lines of those whose audio is there, or would be in an export."""
    lines = []
    for row in rows:
        if row.audio is not None and (exported is None or row.audio in exported):
            lines.append(json_line(row.to_metadata()))
            if len(lines) == _LINES:
                metadata.write(b"".join(lines))
                lines = []
        yield row
    metadata.write(b"".join(lines))


def _copy(source: IO[bytes], place: tuple[int, int], target: IO[bytes]) -> None:
    """Copy a part of a file.

    Args:
        source: the file.
        place: where the part starts, and its length.
        target: appended to.
    """
    start, left = place
    source.seek(start)
    while left and (chunk := source.read(min(_CHUNK, left))):
        target.write(chunk)
        left -= len(chunk)
