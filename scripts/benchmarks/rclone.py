"""The peer for mounts: rclone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from scripts.benchmarks.stage import Mount, environment, mounting


@contextlib.contextmanager
def mounted(source: Path, place: Path, *options: str) -> Iterator[Mount]:
    """Mount a directory with rclone; mounts with the same place share the cache."""
    path = place / "rclone-mnt"
    command = ["rclone", "mount", "--read-only", "--cache-dir", str(place / "rclone"), *options]
    with mounting([*command, str(source), str(path)], path, environment(place)) as mount:
        yield mount
