"""What an export has written in a month: the names, sizes and checksums of its objects.

manifest/month=2024-05.jsonl has a line about the month, then one for each item;
manifest/shards-month=2024-05.jsonl one for each shard. They tell an object of an earlier run from
one that others have put there.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeVar

from histfs.exporting.destination import Destination, read, write
from histfs.exporting.errors import TableDamaged
from histfs.exporting.row_files import json_line

M = TypeVar("M", bound="MonthManifest")

ATTACHMENTS = "attachments"
#: The folders of the objects of an item.
FOLDERS = ("audio", "text", "meta", ATTACHMENTS)


class Written(NamedTuple):
    """An object that was written, or found as it would have been written."""

    name: str
    size: int
    sha256: str


class Shard(NamedTuple):
    """A shard that was written.

    Attributes:
        name: of its object.
        size: in bytes.
        sha256: of all of it, in hexadecimal digits.
        keys: of its items.
    """

    name: str
    size: int
    sha256: str
    keys: Sequence[str]


@dataclass
class MonthManifest(ABC):
    """The base: a line about the month, then rows.

    Attributes:
        month: such as ``2024-05``.
        state: the checksum of the catalog for which all was written; empty if some lacks.
        version: that wrote it, see `VERSION`; 0 if none has.
    """

    #: Raised when all that is written of an item has become more.
    VERSION: ClassVar[int] = 1

    month: str
    state: str = ""
    version: int = 0

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of its object."""

    @abstractmethod
    def rows(self) -> Iterable[object]:
        """Yield the rows, as JSON has them."""

    @abstractmethod
    def add(self, row: Any) -> None:  # noqa: ANN401 - any JSON
        """Add a row; any exception of a wrong type means that it is none."""

    def store(self, destination: Destination) -> None:
        """Write it.

        Raises:
            DestinationFailed, NoSpace: it can't be written.
        """
        self.version = self.VERSION
        first = {"version": self.version, "state": self.state}
        lines = [json_line(first), *map(json_line, self.rows())]
        write(destination, self.name, b"".join(lines))

    @classmethod
    def load(cls: type[M], destination: Destination, month: str) -> M:
        """Read the manifest of a month; an empty one if there is none.

        Raises:
            TableDamaged: it can't be parsed.
            DestinationFailed: it can't be read.
        """
        manifest = cls(month)
        content = read(destination, manifest.name)
        if content is None:
            return manifest
        try:
            first, *rest = map(json.loads, content.splitlines())
            manifest.state, manifest.version = str(first["state"]), int(first["version"])
            for row in rest:
                manifest.add(row)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TableDamaged(
                f"{destination}: {manifest.name} can't be read: remove it, and what it lists is"
                " compared anew"
            ) from error
        return manifest


@dataclass
class Manifest(MonthManifest):
    """The objects of a month.

    Attributes:
        items: the objects of each item, by its key and their kind: the folder, and for an
            attachment the folder and its name.
    """

    #: 1 had no attachments.
    VERSION = 2

    items: dict[str, dict[str, Written]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of its object."""
        return f"manifest/month={self.month}.jsonl"

    def objects(self) -> Mapping[str, Written]:
        """Return all objects by name."""
        return {each.name: each for objects in self.items.values() for each in objects.values()}

    def rows(self) -> Iterable[object]:
        """Yield each item's key, and its objects by folder."""
        return ([key, objects] for key, objects in sorted(self.items.items()))

    def add(self, row: Any) -> None:  # noqa: ANN401 - any JSON
        """Add an item."""
        key, objects = row
        self.items[key] = {
            folder: Written(str(name), int(size), str(sha256))
            for folder, (name, size, sha256) in objects.items()
        }


@dataclass
class ShardManifest(MonthManifest):
    """The shards of a month.

    Attributes:
        shards: by name.
    """

    shards: dict[str, Shard] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of its object."""
        return f"manifest/shards-month={self.month}.jsonl"

    def rows(self) -> Iterable[object]:
        """Yield each shard."""
        return (list(each) for _, each in sorted(self.shards.items()))

    def add(self, row: Any) -> None:  # noqa: ANN401 - any JSON
        """Add a shard."""
        name, size, sha256, keys = row
        self.shards[name] = Shard(str(name), int(size), str(sha256), list(keys))
