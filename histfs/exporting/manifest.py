"""What an export has written in a month: the names, sizes and checksums of its objects.

manifest/month=2024-05.jsonl has a line about the month, then one for each item. It is what tells an
object of an earlier run from one that others have put there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from histfs.exporting.destination import Destination, read, write
from histfs.exporting.errors import TableDamaged
from histfs.exporting.row_files import json_line

ATTACHMENTS = "attachments"
#: The folders of the objects of an item.
FOLDERS = ("audio", "text", "meta", ATTACHMENTS)


class Written(NamedTuple):
    """An object that was written, or found as it would have been written."""

    name: str
    size: int
    sha256: str


@dataclass(slots=True)
class Manifest:
    """The objects of a month.

    Attributes:
        month: such as ``2024-05``.
        state: the checksum of the catalog for which all of them were written; empty if some lack.
        items: the objects of each item, by its key and their kind: the folder, and for an
            attachment the folder and its name.
    """

    month: str
    state: str = ""
    items: dict[str, dict[str, Written]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of its object."""
        return f"manifest/month={self.month}.jsonl"

    def objects(self) -> Mapping[str, Written]:
        """Return all objects by name."""
        return {each.name: each for objects in self.items.values() for each in objects.values()}

    def store(self, destination: Destination) -> None:
        """Write it.

        Raises:
            DestinationFailed, NoSpace: it can't be written.
        """
        lines = [json_line({"version": 1, "state": self.state})]
        lines += [json_line([key, objects]) for key, objects in sorted(self.items.items())]
        write(destination, self.name, b"".join(lines))

    @classmethod
    def load(cls, destination: Destination, month: str) -> Manifest:
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
            manifest.state = str(first["state"])
            for key, objects in rest:
                manifest.items[key] = {
                    folder: Written(str(name), int(size), str(sha256))
                    for folder, (name, size, sha256) in objects.items()
                }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TableDamaged(
                f"{destination}: {manifest.name} can't be read: remove it, and what it lists is"
                " compared anew"
            ) from error
        return manifest
