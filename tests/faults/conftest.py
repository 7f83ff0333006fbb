"""A mount of a long history, partly listed, that the tests of a module share."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from histfs.core.name_forms import is_audio_name
from histfs.simulator import Fault, Simulator, SimulatorSettings
from histfs.trash.trash import Trash
from tests.support.altered import NAME, World
from tests.support.bindings import BINDINGS, available
from tests.support.eventually import eventually
from tests.support.mounts import Mount, id_of, mounted

LIST = "GET /v1/history"
ITEM = "GET /v1/history/{id}"
AUDIO = "GET /v1/history/{id}/audio"
DELETE = "DELETE /v1/history/{id}"
#: Bytes of a clip: several read chunks.
SIZE = 100_000


@pytest.fixture(scope="session")
def binding() -> str:
    """The default FUSE binding, also with ``--all``: the faults are the same with both."""
    return available(BINDINGS[0])


@dataclass
class SystemUnderTest:
    """A mount, its server, and its altered environment.

    The newest thousand items are listed; all listings are stale at once. The first day beyond them
    also lists the next thousand, for items without a possible date.
    """

    simulator: Simulator
    mount: Mount
    world: World
    directory: Path
    settings: SimulatorSettings

    def __post_init__(self) -> None:
        by_day: dict[str, list[str]] = {}
        for item in self.simulator.library.ids():
            moment = self.simulator.library.item(item)["date_unix"]
            by_day.setdefault(time.strftime("by-date/%Y/%m/%d", time.gmtime(moment)), []).append(
                item
            )
        days = list(by_day)
        self._ids = by_day
        self._items: list[Path] = []
        # Skip the day that is listed in part, and neighbours of a day that was just listed.
        known = list(itertools.takewhile(lambda day: self._last(day) < 1000, days))
        listed = len(list(itertools.takewhile(lambda day: self._last(day) < 2000, days)))
        self._known, self._unknown = iter(known), iter(days[listed + 3 :: 2])

    def _last(self, day: str) -> int:
        days = list(self._ids)
        return sum(len(self._ids[earlier]) for earlier in days[: days.index(day) + 1])

    def known_day(self) -> Path:
        """Return a listed day, another one each time."""
        return self.mount.path / next(self._known)

    def item(self) -> Path:
        """Return a listed item, another one each time, in no order that is read ahead."""
        if not self._items:
            day = sorted(self.known_day().iterdir())
            self._items = [day[len(day) // 8], day[len(day) * 7 // 8]]
        return self._items.pop()

    def unknown_day(self) -> Path:
        """Return a day that is not listed, another one each time."""
        return self.mount.path / next(self._unknown)

    def ids(self, day: Path) -> set[str]:
        """Return the ids of a day's items at the server."""
        return set(self.in_order(day))

    def in_order(self, day: Path) -> list[str]:
        """Return the ids of a day's items at the server, newest first."""
        return self._ids[str(day.relative_to(self.mount.path))]

    def served(self, item: Path) -> bytes:
        """Return the server's audio of an item."""
        return bytes(self.simulator.library.clip(id_of(item)))

    def cached(self) -> set[str]:
        """Return the ids of the cached clips."""
        return {path.name for path in self.directory.glob("cache/*/audio/*/*")}

    def trashed(self) -> list[str]:
        """Return the names in the trash directory, staging directories included."""
        trash = self.directory / "trash"
        return sorted(os.listdir(trash)) if trash.exists() else []

    @contextlib.contextmanager
    def failing(self, *faults: Fault) -> Iterator[None]:
        """Apply faults within the block."""
        self.simulator.counts.reset()
        self.simulator.faults.add(*faults)
        try:
            yield
        finally:
            self.simulator.faults.clear()

    @contextlib.contextmanager
    def restarted(self) -> Iterator[None]:
        """Restart the stopped server within the block."""
        port = int(self.simulator.base_url.rpartition(":")[2])
        with Simulator(replace(self.settings, port=port)):
            yield

    def recovers(self, day: Path) -> None:
        """Check that a day is listed completely soon after a fault."""
        assert eventually(lambda: {id_of(item) for item in day.iterdir()}) == self.ids(day)


@contextlib.contextmanager
def mounted_system(directory: Path, binding: str, *arguments: object) -> Iterator[SystemUnderTest]:
    """Mount a history of 200 days with 4,000 items, of which a thousand are listed."""
    settings = SimulatorSettings(items=4000, days=200, alignments=False, clip_bytes=SIZE)
    directory.mkdir(exist_ok=True)
    world = World(directory / "world.json")
    with (
        Simulator(settings) as simulator,
        mounted(
            simulator, directory, binding, "--listing-ttl", "0", *arguments,
            env=world.env, program=NAME,
        ) as mount,
    ):  # fmt: skip
        yield SystemUnderTest(simulator, mount, world, directory, settings)


@pytest.fixture(scope="module")
def system(tmp_path_factory, binding) -> Iterator[SystemUnderTest]:
    """A system that the tests of a module share; each uses other days."""
    with mounted_system(tmp_path_factory.mktemp("system"), binding, "--timeout", "5") as system:
        yield system


def audio_of(item: Path) -> Path:
    """Return the audio file of an item's directory."""
    return next(item.glob("audio.[!s]*"))


def code_of(call, *arguments) -> str | None:
    """Return the name of the errno of a call; None when it succeeds."""
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


def backed_up(system: SystemUnderTest, day: Path, backup: Path) -> dict[str, bytes]:
    """Back up a listed day, and return the audio in the backup by its path."""
    for item in day.iterdir():
        copy = backup / item.name
        copy.mkdir(parents=True)
        (copy / audio_of(item).name).write_bytes(system.served(item))
    return contents(backup)


def contents(directory: Path) -> dict[str, bytes]:
    """Return the audio in a directory, by its path."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("audio.[!s]*")
    }


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """Mount a tmpfs of some size within the block; needs root."""
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def rsync(source: Path, target: Path) -> int:
    """Update a backup; return rsync's exit status."""
    result = subprocess.run(["rsync", "-a", "--delete", f"{source}/", target], capture_output=True)
    return result.returncode


def rm(*paths: Path) -> int:
    """Remove items; return rm's exit status."""
    return subprocess.run(["rm", "-r", *paths], capture_output=True).returncode


def in_trash(directory: Path) -> dict[str, bytes]:
    """Return the audio of the items in a trash, by the items' ids."""
    audio: dict[str, bytes] = {}
    for item in Trash(directory).items():
        (name,) = (name for name in item.entry.files if is_audio_name(name))
        content = (item.path / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == item.entry.files[name].sha256
        audio[item.entry.id] = content
    return audio
