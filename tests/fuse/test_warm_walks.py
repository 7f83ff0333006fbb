"""What the kernel has cached is asked for again only where it may have changed."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from histfs.simulator import Simulator, SimulatorSettings
from tests.support.eventually import eventually
from tests.support.mounts import Mount, id_of, mounted

pytestmark = pytest.mark.fuse

#: Longer than any test takes.
FRESH = ("--listing-ttl", "300")
ITEMS = 40


@pytest.fixture
def simulator(clean_environment):
    with Simulator(SimulatorSettings(items=ITEMS, conversations=0)) as running:
        yield running


def replies(mount: Mount, *command: object) -> int:
    """Return how often the mount answers the kernel while a command runs."""
    counts = Path("/proc", str(mount.process.pid), "io")

    def written() -> int:
        fields = dict(line.split(": ") for line in counts.read_text().splitlines())
        return int(fields["syscw"])

    before = written()
    subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL)
    return written() - before


def walk(mount: Mount, view: str = "by-date") -> list[Path]:
    """Have the kernel cache all that it may of a view, and return all paths in it."""
    for _ in range(2):
        subprocess.run(["ls", "-lR", mount.path / view], check=True, stdout=subprocess.DEVNULL)
    return sorted((mount.path / view).rglob("*"))


@pytest.mark.parametrize("command", [("find",), ("ls", "-lR"), ("du", "-a")])
def test_a_second_walk_opens_each_item_and_asks_for_no_more_than_estimates(
    simulator, tmp_path, command
):
    with mounted(simulator, tmp_path, "mfusepy", *FRESH) as mount:
        tree = mount.path / "by-date"
        paths = [path for path in walk(mount) if not path.is_symlink()]
        items = mount.items()
        others = sum(path.is_dir() for path in paths) - len(items) + 1
        # Opened and closed; of an item's audio the size is an estimate, which some ask for.
        limit = len(items) * (2 if command == ("find",) else 3) + others * 5
        eventually(lambda: replies(mount, *command, tree) <= limit)


def test_a_second_walk_shows_the_same(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding, *FRESH, "-o", "placement=dir") as mount:
        first = {path: path.stat() for path in walk(mount, "")}
        for path in walk(mount, ""):
            found, before = path.stat(), first.pop(path)
            assert found.st_ino == before.st_ino
            # The estimate of a clip's size may become a better one.
            assert found.st_size == before.st_size or path.stem == "audio"
        assert not first


@pytest.mark.parametrize("placement", ["links", "dir"])
def test_what_is_deleted_here_is_gone_at_once_in_every_view(
    simulator, tmp_path, binding, placement
):
    with mounted(simulator, tmp_path, binding, *FRESH, "-o", f"placement={placement}") as mount:
        walk(mount, "")
        item = mount.items()[3]
        of_item = [path for path in walk(mount, "") if item.name in path.parts]
        assert {path.relative_to(mount.path).parts[0] for path in of_item} >= {
            "by-date", "by-voice", "by-source",
        }  # fmt: skip
        subprocess.run(["rm", "-r", item], check=True)
        assert [path for path in of_item if os.path.exists(path)] == []
        assert [path for path in walk(mount, "") if item.name in path.parts] == []


def test_what_is_deleted_here_is_gone_soon_in_a_second_mount(simulator, tmp_path, binding):
    shared = ("--cache-dir", tmp_path / "cache", *FRESH)
    with (
        mounted(simulator, tmp_path / "one", binding, *shared) as one,
        mounted(simulator, tmp_path / "two", binding, *shared) as two,
    ):
        walk(one)
        walk(two)
        item = one.items()[3]
        there = two.path / item.relative_to(one.path)
        text = there / "text.txt"
        assert text.stat().st_size
        subprocess.run(["rm", "-r", item], check=True)
        # The listing there is fresh for minutes.
        eventually(lambda: not os.path.exists(text) and not os.path.exists(there), 10)
        assert there not in two.items()


def test_what_is_deleted_elsewhere_is_gone_when_the_listing_is_fresh_no_more(
    simulator, tmp_path, binding
):
    with mounted(simulator, tmp_path, binding, "--listing-ttl", "3") as mount:
        walk(mount)
        item = mount.items()[3]
        assert (item / "text.txt").stat().st_size
        simulator.library.remove(id_of(item))
        time.sleep(3)
        assert item not in mount.items()
        # The kernel may have the text until it is told; no listing is read any more.
        eventually(lambda: not os.path.exists(item / "text.txt"), 10)


def test_what_is_added_elsewhere_is_listed_when_the_listing_is_fresh_no_more(
    simulator, tmp_path, binding
):
    with mounted(simulator, tmp_path, binding, "--listing-ttl", "3") as mount:
        before = walk(mount)
        (key,) = simulator.library.add()
        time.sleep(3)
        (new,) = {id_of(item) for item in mount.items()} - {
            id_of(path) for path in before if path.name.count("_") >= 2
        }
        assert new == key


def test_a_clip_that_was_fetched_has_its_size_at_once_after_warm_walks(
    simulator, tmp_path, binding
):
    with mounted(simulator, tmp_path, binding, *FRESH) as mount:
        walk(mount)
        for audio in mount.audio():
            content = bytes(simulator.library.clip(id_of(audio.parent)))
            assert (audio.read_bytes(), audio.stat().st_size) == (content, len(content))
        walk(mount)
        for audio in mount.audio():
            content = bytes(simulator.library.clip(id_of(audio.parent)))
            assert (audio.stat().st_size, audio.read_bytes()) == (len(content), content)
