"""The sizes of rendered files that the catalog keeps, as programs meet them."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from histfs.simulator import Simulator, SimulatorSettings
from tests.support.eventually import eventually
from tests.support.mounts import Mount, id_of, mounted

pytestmark = pytest.mark.fuse

FRESH = ("--listing-ttl", "300")
RENDERED = {".json", ".txt", ".srt", ".vtt", ".lrc"}
#: More of these files than a mount shows by itself.
ALL = ("--files", "meta,text,srt,vtt,lrc")


@pytest.fixture
def simulator(clean_environment):
    with Simulator(SimulatorSettings(items=60, days=5, conversations=0)) as running:
        yield running


def rendered(mount: Mount) -> list[Path]:
    paths = (path for item in mount.items() for path in item.iterdir())
    return sorted(path for path in paths if path.suffix in RENDERED)


def told(mount: Mount) -> dict[Path, int]:
    """Return the sizes by stat, as a program sees them that walks first and reads later."""
    return {path: path.stat().st_size for path in rendered(mount)}


def read(mount: Mount) -> dict[Path, int]:
    return {path: len(path.read_bytes()) for path in rendered(mount)}


def kept(tmp_path: Path) -> sqlite3.Connection:
    (path,) = (tmp_path / "cache").glob("*/catalog.sqlite")
    return sqlite3.connect(path)


def test_a_new_mount_tells_what_the_last_one_has_measured_and_a_read_gives_it(
    simulator, tmp_path, binding
):
    with mounted(simulator, tmp_path, binding, *FRESH) as mount:
        sizes = told(mount)
    with contextlib.closing(kept(tmp_path)) as db:
        assert db.execute("SELECT count(*) FROM rendered").fetchall() == [(60,)]
    with mounted(simulator, tmp_path, binding, *FRESH) as mount:
        assert told(mount) == sizes == read(mount)
        mount.kill()
        subprocess.run(["umount", "-l", mount.path], check=True)
    with mounted(simulator, tmp_path, binding, *FRESH, *ALL) as mount:
        sizes = told(mount)
        assert {path.suffix for path in sizes} == RENDERED
        assert sizes == read(mount)


def test_a_copy_is_complete_though_each_size_that_was_kept_is_wrong(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding, *FRESH) as mount:
        right = told(mount)
    with contextlib.closing(kept(tmp_path)) as db, db:
        wrong = {path.name: 5 for path in right}
        db.execute("UPDATE rendered SET sizes = ?", (json.dumps(wrong),))
    with mounted(simulator, tmp_path, binding, *FRESH) as mount:
        assert set(told(mount).values()) == {5}
        assert read(mount) == right == told(mount)
        assert "not the 5 kept" in mount.log.read_text()
    with mounted(simulator, tmp_path, binding, *FRESH) as mount:
        assert told(mount) == right


def test_an_item_that_changes_at_the_server_has_its_new_sizes_in_each_mount(
    simulator, tmp_path, binding, monkeypatch
):
    shared = ("--cache-dir", tmp_path / "cache", "--listing-ttl", "3")
    with (
        mounted(simulator, tmp_path / "one", binding, *shared) as one,
        mounted(simulator, tmp_path / "two", binding, *shared) as two,
    ):
        before = told(one), told(two)
        key, render = id_of(one.items()[7]), simulator.library._render

        def changed(number):
            fields = json.loads(render(number))
            if fields["history_item_id"] == key:
                fields["text"] += " And some words more than before."
            return json.dumps(fields).encode()

        monkeypatch.setattr(simulator.library, "_render", changed)
        time.sleep(3)
        for mount, sizes in zip((one, two), before, strict=True):
            text = next(path / "text.txt" for path in mount.items() if id_of(path) == key)
            eventually(lambda text=text: b"than before" in text.read_bytes(), 10)
            assert told(mount) == read(mount) != sizes
            assert os.stat(text).st_size > sizes[text]
