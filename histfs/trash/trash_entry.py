"""What the trash knows of one deleted item: ``entry.json``, beside the item's own files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import msgspec

#: The file that holds an entry; no item file has this name.
ENTRY = "entry.json"


@dataclass(frozen=True, slots=True)
class FileDigest:
    """One file of an item.

    Attributes:
        size: in bytes.
        sha256: of its bytes, in hexadecimal.
    """

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TrashEntry:
    """One item in the trash.

    Attributes:
        id: the API's own id.
        key: the id in a form that is safe in a path.
        name: of the directory that the item had.
        date: when the item was made, in seconds since the epoch.
        archived: when the copy was made, in seconds since the epoch.
        deleted: when the server had deleted it; None where that is not known to have happened.
        base_url: the server.
        profile: the account's name on this machine.
        files: the item's files by name; those of a folder by its name, a slash and their own.
        source: the name of the item's source; empty in entries of older versions.
        account: identifies the server and the key: the name of the account's cache directory;
            empty in entries of older versions.
    """

    id: str
    key: str
    name: str
    date: int
    archived: int
    deleted: int | None
    base_url: str
    profile: str
    files: Mapping[str, FileDigest]
    source: str = ""
    account: str = ""

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files.values())

    def to_json(self) -> str:
        """Return it as one line of plain ASCII, without the line's end."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, content: bytes) -> TrashEntry:
        """Read what `to_json` wrote, perhaps by a later version.

        Raises:
            ValueError: it is something else, or has a name in it that is no file's.
        """
        try:
            entry = msgspec.convert(json.loads(content), type=cls)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(str(error)) from error
        # Whoever wrote here may lead nobody who exports it anywhere else.
        if not _is_name(entry.name):
            raise ValueError(f"{entry.name!r} is no name of a directory")
        for path in entry.files:
            if path.count("/") > 1 or not all(map(_is_name, path.split("/"))):
                raise ValueError(f"{path!r} is no name of a file")
        return entry


def _is_name(name: str) -> bool:
    return not ("/" in name or "\0" in name or name in ("", ".", "..", ENTRY))
