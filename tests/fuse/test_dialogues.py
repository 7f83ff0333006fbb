"""How a mount shows what the newest models make: items whose text and voices are in a dialogue."""

from __future__ import annotations

import os
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from histfs.simulator import Simulator, SimulatorSettings
from tests.support.eventually import eventually
from tests.support.mounts import Mount, id_of, mounted

pytestmark = pytest.mark.fuse

ITEMS = 120
BY_VOICE = ("--views", "by-voice+by-source")


@pytest.fixture(scope="module")
def server() -> Iterator[Simulator]:
    with Simulator(SimulatorSettings(items=ITEMS, conversations=0, alignments=False)) as simulator:
        yield simulator


def voices(raw) -> list[str]:
    """Return the ids of an item's voices, the first one to speak first."""
    lines = raw.get("dialogue") or [raw]
    return list(dict.fromkeys(line["voice_id"] or "" for line in lines))


def items(simulator: Simulator):
    return {key: simulator.library.item(key) for key in simulator.library.ids()}


def dialogue(simulator: Simulator, number: int) -> str:
    """Return the id of a dialogue of so many voices."""
    found = items(simulator).items()
    return next(key for key, raw in found if raw.get("dialogue") and len(voices(raw)) == number)


def shown(mount: Mount) -> dict[str, list[Path]]:
    """Return where each item is under by-voice."""
    found = defaultdict(list)
    for path in mount.items("by-voice"):
        found[id_of(path)].append(path)
    return found


def test_each_item_is_under_its_voices_and_its_text_says_who_speaks_where_several_do(
    server, tmp_path, binding
):
    with mounted(server, tmp_path, binding) as mount:
        places = shown(mount)
        texts = {id_of(item): (item / "text.txt").read_text() for item in mount.items()}
        for key, raw in items(server).items():
            assert len(places[key]) == len(voices(raw))
            lines = raw.get("dialogue")
            if lines and len(voices(raw)) == 1:
                assert texts[key].splitlines() == [line["text"] for line in lines]
                assert places[key][0].parent.name.startswith(lines[0]["voice_name"][:3])
            elif lines:
                assert texts[key].splitlines() == [
                    f"{line['voice_name']}: {line['text']}" for line in lines
                ]
        assert len(texts) == ITEMS


def test_a_copy_of_the_mount_has_each_dialogue_once_and_links_that_lead_there(
    server, tmp_path, binding
):
    with mounted(server, tmp_path, binding, *BY_VOICE) as mount:
        copy = tmp_path / "copy"
        subprocess.run(["rsync", "-a", f"{mount.path}/", f"{copy}/"], check=True)
        for where in (mount.path, copy):
            entries = list((where / "by-voice").glob("*/*"))
            homes = [path for path in entries if not path.is_symlink()]
            assert Counter(map(id_of, homes)) == dict.fromkeys(server.library.ids(), 1)
            assert len(entries) > len(homes)
            for link in set(entries) - set(homes):
                assert link.resolve() in homes


def test_with_placement_dir_a_file_counts_the_directories_that_have_it(server, tmp_path, binding):
    with mounted(server, tmp_path, binding, "-o", "placement=dir") as mount:
        places = shown(mount)
        found = defaultdict(set)
        for view in ("by-date", "by-voice", "by-source"):
            for path in mount.items(view):
                status = (path / "meta.json").stat()
                found[id_of(path)].add((status.st_ino, status.st_nlink))
        for key, inodes in found.items():
            ((_, links),) = inodes
            assert links == 2 + len(places[key])


@pytest.mark.parametrize("options", [("-o", "placement=dir"), BY_VOICE], ids=["dir", "by voice"])
def test_rm_r_of_a_dialogue_sends_one_delete_and_takes_it_from_all_its_voices(
    tmp_path, binding, options
):
    with (
        Simulator(SimulatorSettings(items=ITEMS, conversations=0, alignments=False)) as simulator,
        mounted(simulator, tmp_path, binding, *options) as mount,
    ):
        key = dialogue(simulator, 2)
        paths = shown(mount)[key]
        home = next(path for path in paths if not path.is_symlink())
        subprocess.run(["rm", "-r", home], check=True)
        assert simulator.counts["DELETE /v1/history/{id}"] == 1
        assert key not in simulator.library
        assert key not in shown(mount)
        # The kernel caches a path for a second.
        assert eventually(lambda: not any(map(os.path.lexists, paths)))


def test_a_search_on_this_machine_looks_for_what_is_said_and_not_for_who_says_it(tmp_path, binding):
    with (
        Simulator(SimulatorSettings(items=ITEMS, conversations=0, alignments=False)) as simulator,
        mounted(simulator, tmp_path, binding, "--listing-ttl", "0") as mount,
    ):
        assert mount.items("by-voice")
        several = simulator.library.item(dialogue(simulator, 2))["dialogue"]
        simulator.stop()
        words = " ".join(several[0]["text"].split()[:3])
        found = os.listdir(mount.path / "search" / words)
        assert dialogue(simulator, 2) in [name.split("_", 2)[2] for name in found]
        assert os.listdir(mount.path / "search" / several[0]["voice_name"]) == []
