"""A directory that is too large for memory is listed completely, also while items go."""

from __future__ import annotations

import os
import subprocess

import pytest

from histfs.core.large_listing import LARGE
from histfs.simulator import Simulator, SimulatorSettings
from tests.support.mounts import mounted

pytestmark = pytest.mark.fuse


def test_a_large_directory_lists_each_item_once_also_while_items_go(tmp_path, binding):
    of_history = SimulatorSettings(items=15_000, days=30, alignments=False)
    with (
        Simulator(of_history) as simulator,
        mounted(simulator, tmp_path, binding, "--no-trash", "--timeout", "60") as mount,
    ):
        directory = mount.path / "by-source" / "TTS"
        names = os.listdir(directory)
        assert len(names) > LARGE
        assert len(set(names)) == len(names)
        dates = [name[:19] for name in names]
        assert dates == sorted(dates)
        ids = {name.split("_", 2)[2] for name in names}
        assert ids == {
            item["history_item_id"]
            for item in map(simulator.library.item, simulator.library.ids())
            if item["source"] == "TTS"
        }
        listed = subprocess.run(["ls", "-U", directory], stdout=subprocess.PIPE, check=True)
        assert listed.stdout.decode().splitlines() == names
        # The same inodes as a lookup gives, so that no program takes the links for others.
        with os.scandir(directory) as entries:
            read = [next(entries) for _ in range(500)]
            assert read[0].inode() == os.lstat(directory / names[0]).st_ino
            assert all(entry.is_symlink() for entry in read)
            for name in (names[3], names[-2]):
                subprocess.run(["rm", "-r", (directory / name).resolve()], check=True)
            found = [entry.name for entry in (*read, *entries)]
        assert len(found) == len(set(found))
        assert set(names) - set(found) <= {names[3], names[-2]}
        assert os.listdir(directory) == [
            name for name in names if name not in (names[3], names[-2])
        ]
