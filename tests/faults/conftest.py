"""A mount of a long history of which a part is known, that many tests share."""

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

from histfs.simulator import Fault, Simulator, SimulatorSettings
from histfs.trash.trash import Trash
from tests.support.altered import NAME, World
from tests.support.bindings import BINDINGS, available
from tests.support.mounts import Mount, id_of, mounted
from tests.support.patience import eventually

LIST = "GET /v1/history"
ITEM = "GET /v1/history/{id}"
AUDIO = "GET /v1/history/{id}/audio"
DELETE = "DELETE /v1/history/{id}"
#: Bytes of a clip: several chunks of what is read at once.
SIZE = 100_000


@pytest.fixture(scope="session")
def binding() -> str:
    """The default FUSE binding, also with ``--all``: the faults are the same with both."""
    return available(BINDINGS[0])


@dataclass
class Stage:
    """A mount, its server, and the world that it lives in.

    The newest thousand items are known; all listings are stale at once.
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
        # Neither the day that is known in part, nor one beside a day that was just listed.
        known = list(itertools.takewhile(lambda day: self._last(day) < 1000, days))
        self._known, self._unknown = iter(known), iter(days[len(known) + 3 :: 2])

    def _last(self, day: str) -> int:
        days = list(self._ids)
        return sum(len(self._ids[earlier]) for earlier in days[: days.index(day) + 1])

    def known_day(self) -> Path:
        """Return a day that is known, another one each time."""
        return self.mount.path / next(self._known)

    def item(self) -> Path:
        """Return an item that is known, another one each time."""
        if not self._items:
            self._items = sorted(self.known_day().iterdir())
        return self._items.pop()

    def unknown_day(self) -> Path:
        """Return a day of which nothing is known, another one each time."""
        return self.mount.path / next(self._unknown)

    def ids(self, day: Path) -> set[str]:
        """Return which items a day has, at the server."""
        return set(self.in_order(day))

    def in_order(self, day: Path) -> list[str]:
        """Return which items a day has, newest first."""
        return self._ids[str(day.relative_to(self.mount.path))]

    def served(self, item: Path) -> bytes:
        """Return the audio of an item, as the server has it."""
        return bytes(self.simulator.library.clip(id_of(item)))

    def cached(self) -> set[str]:
        """Return the ids of the clips that are kept."""
        return {path.name for path in self.directory.glob("cache/*/audio/*/*")}

    def trashed(self) -> list[str]:
        """Return the names in the trash, also of what isn't whole."""
        trash = self.directory / "trash"
        return sorted(os.listdir(trash)) if trash.exists() else []

    @contextlib.contextmanager
    def failing(self, *faults: Fault) -> Iterator[None]:
        """Let faults be in force within the block."""
        self.simulator.counts.reset()
        self.simulator.faults.add(*faults)
        try:
            yield
        finally:
            self.simulator.faults.clear()

    @contextlib.contextmanager
    def started_again(self) -> Iterator[None]:
        """Let the server, which was stopped, be there again within the block."""
        port = int(self.simulator.base_url.rpartition(":")[2])
        with Simulator(replace(self.settings, port=port)):
            yield

    def recovers(self, day: Path) -> None:
        """See to it that a day is listed whole, a moment after a fault has gone."""
        assert eventually(lambda: {id_of(item) for item in day.iterdir()}) == self.ids(day)


@contextlib.contextmanager
def staged(directory: Path, binding: str, *arguments: object) -> Iterator[Stage]:
    """Mount a history of 150 days with 3,000 items, of which a thousand are known."""
    of_history = SimulatorSettings(items=3000, days=150, alignments=False, clip_bytes=SIZE)
    directory.mkdir(exist_ok=True)
    world = World(directory / "world.json")
    with (
        Simulator(of_history) as simulator,
        mounted(
            simulator, directory, binding, "--listing-ttl", "0", *arguments,
            env=world.env, program=NAME,
        ) as mount,
    ):  # fmt: skip
        yield Stage(simulator, mount, world, directory, of_history)


@pytest.fixture(scope="module")
def stage(tmp_path_factory, binding) -> Iterator[Stage]:
    """A stage that the tests of a module share: each takes days of its own."""
    with staged(tmp_path_factory.mktemp("stage"), binding, "--timeout", "5") as stage:
        yield stage


def audio_of(item: Path) -> Path:
    """Return the audio of an item's directory."""
    return next(item.glob("audio.*"))


def code_of(call, *arguments) -> str | None:
    """Return the name of the errno that a call fails with; None when it doesn't."""
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


def backed_up(stage: Stage, day: Path, backup: Path) -> dict[str, bytes]:
    """Back up a day that is known, and return what the backup holds."""
    for item in day.iterdir():
        copy = backup / item.name
        copy.mkdir(parents=True)
        (copy / audio_of(item).name).write_bytes(stage.served(item))
    return contents(backup)


def contents(directory: Path) -> dict[str, bytes]:
    """Return the audio in a directory, by its path."""
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("audio.*")
    }


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """Lend a disk of its own, which only root can make."""
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def rsync(source: Path, target: Path) -> int:
    """Bring a backup up to date, as one would every night; return rsync's exit status."""
    done = subprocess.run(["rsync", "-a", "--delete", f"{source}/", target], capture_output=True)
    return done.returncode


def rm(*paths: Path) -> int:
    """Remove items as one would; return rm's exit status."""
    return subprocess.run(["rm", "-r", *paths], capture_output=True).returncode


def in_trash(directory: Path) -> dict[str, bytes]:
    """Return the audio of what is completely in a trash, by the ids of the items."""
    found: dict[str, bytes] = {}
    for stored in Trash(directory).stored():
        (name,) = (name for name in stored.entry.files if name.startswith("audio."))
        content = (stored.path / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == stored.entry.files[name].sha256
        found[stored.entry.id] = content
    return found
