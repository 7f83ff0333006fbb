"""The kernel's table of mounts, proc_pid_mountinfo(5); this module imports next to nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

FILESYSTEM_TYPE = "fuse.histfs"
#: The table of this process.
MOUNTS = "/proc/self/mountinfo"


def read_mounts(table: str) -> Iterator[tuple[str, str, str]]:
    """Yield the path, the filesystem type and the source of each mount, alive or dead.

    Of several on one path the last one counts.

    Args:
        table: the file.
    """
    with open(table, "rb") as file:  # noqa: PTH123 - pathlib takes longer than all of this
        lines = os.fsdecode(file.read()).rstrip("\n").split("\n")
    for line in lines:
        before, _, after = line.partition(" - ")
        kind, source, *_ = after.split(" ")
        yield _unescaped(before.split(" ")[4]), kind, _unescaped(source)


def histfs_mounts() -> list[str]:
    """Return the mountpoints of histfs on this machine, alive or dead."""
    kinds = {path: kind for path, kind, _ in read_mounts(MOUNTS)}
    return [path for path, kind in kinds.items() if kind == FILESYSTEM_TYPE]


def _unescaped(field: str) -> str:
    """Undo the octal escapes of the table."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
