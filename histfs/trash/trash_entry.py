"""The metadata of one item in the trash: ``entry.json``, beside the item's own files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import msgspec

#: The name of the metadata file; no item file has this name.
ENTRY = "entry.json"


@dataclass(frozen=True, slots=True)
class FileDigest:
    """Size and checksum of one file of an item.

    Attributes:
        size: in bytes.
        sha256: in hexadecimal.
    """

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TrashEntry:
    """The metadata of one item in the trash.

    Attributes:
        id: the API's own id.
        key: the id in a form that is safe in a path.
        name: the name of the item's directory in the mount.
        date: the item's date, in seconds since the epoch.
        archived: when the copy was made, in seconds since the epoch.
        deleted: when the server deleted the item, in seconds since the epoch; None when it is not
            known to be deleted.
        base_url: the URL of the server.
        profile: the account's name on this machine.
        files: the item's files by name, relative to the item's directory.
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
        """The bytes of all files together."""
        return sum(file.size for file in self.files.values())

    def to_json(self) -> str:
        """Return the entry as one line of ASCII, without a newline."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, content: bytes) -> TrashEntry:
        """Parse the output of `to_json`, also of a later version.

        Raises:
            ValueError: the content is something else, or a name in it is not a file name.
        """
        try:
            entry = msgspec.convert(json.loads(content), type=cls)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(str(error)) from error
        # An edited entry must not make an export write outside of its directory.
        if not _is_name(entry.name):
            raise ValueError(f"{entry.name!r} is no name of a directory")
        for path in entry.files:
            if path.count("/") > 1 or not all(map(_is_name, path.split("/"))):
                raise ValueError(f"{path!r} is no name of a file")
        return entry


def _is_name(name: str) -> bool:
    return not ("/" in name or "\0" in name or name in ("", ".", "..", ENTRY))
