"""Files of rows: JSON lines, or Parquet by pyarrow. Memory holds a group of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, Any, Protocol

import msgspec

from histfs.core.item_row import FIELDS, ItemRow
from histfs.exporting.errors import NoParquet

#: Rows of a group of Parquet, and lines that are written at once.
_GROUP, _LINES = 5000, 500
_NUMBERS = {"characters": "int64", "size": "int64", "duration": "float64", "cost": "float64"}

_encode = msgspec.json.Encoder().encode


class RowFormat(Protocol):
    """A format of files of rows."""

    @property
    def name(self) -> str:
        """The extension of its files."""

    def write(self, rows: Iterable[ItemRow], file: IO[bytes]) -> None:
        """Write rows to an open file."""


class JsonLines:
    """A JSON object a line, in UTF-8."""

    name = "jsonl"

    def write(self, rows: Iterable[ItemRow], file: IO[bytes]) -> None:
        """Write rows to an open file."""
        for group in _groups(rows, _LINES):
            file.write(b"".join(json_line(row.to_json()) for row in group))


class Parquet:
    """Parquet, with groups of rows that are compressed by zstd.

    Raises:
        NoParquet: pyarrow is not installed.
    """

    name = "parquet"

    def __init__(self) -> None:
        try:
            # Only those who want Parquet have it.
            import pyarrow  # noqa: PLC0415
            import pyarrow.parquet  # noqa: PLC0415
        except ImportError as error:
            raise NoParquet(
                "Parquet needs pyarrow: pip install 'histfs[table]', or --format jsonl"
            ) from error
        self._pyarrow = pyarrow
        types = {name: getattr(pyarrow, kind)() for name, kind in _NUMBERS.items()}
        types["time"] = pyarrow.timestamp("s", tz="UTC")
        self._schema = pyarrow.schema(
            [(name, types.get(name, pyarrow.string())) for name in FIELDS]
        )

    def write(self, rows: Iterable[ItemRow], file: IO[bytes]) -> None:
        """Write rows to an open file."""
        arrow, schema = self._pyarrow, self._schema
        with arrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            for group in _groups(rows, _GROUP):
                columns = dict(zip(FIELDS, map(list, zip(*group, strict=True)), strict=True))
                writer.write_table(arrow.table(columns, schema=schema))


def row_format(name: str) -> RowFormat:
    """Return the format with a name.

    Raises:
        NoParquet: pyarrow is not installed.
    """
    return Parquet() if name == Parquet.name else JsonLines()


def json_line(value: Any) -> bytes:  # noqa: ANN401 - any JSON
    """Return a value as a line of JSON."""
    return _encode(value) + b"\n"


def _groups(rows: Iterable[ItemRow], number: int) -> Iterator[list[ItemRow]]:
    rest = iter(rows)
    while group := list(islice(rest, number)):
        yield group
