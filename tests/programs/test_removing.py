"""Programs that remove, and that move away: what is deleted at the server, and what stays.

What needs no mount (other faults, other views) runs on a tree in memory, by the traces of the same
programs: tests/core/test_removers.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from histfs.simulator import Fault, Simulator, SimulatorSettings
from histfs.trash import Trash
from tests.support.mounts import id_of, mounted
from tests.support.removers import PROGRAMS, Removal, Snapshot, Trace

pytestmark = pytest.mark.fuse

VIEWS = ("by-date", "by-voice", "by-source")
FILES = {"audio", "meta", "text"}
#: 2025-01-20: of a hundred days before it, most are of another year.
NEWEST = 1_737_331_200

#: The command line of each program of `PROGRAMS`.
COMMANDS = {
    "rm -r": ["rm", "-r", "{path}"],
    "rm -rf": ["rm", "-rf", "{path}"],
    "find -delete": ["find", "{path}", "-delete"],
    "find audio -delete": ["find", "{path}", "-name", "audio.*", "-delete"],
    "gio remove": ["find", "{path}", "-depth", "-exec", "gio", "remove", "{}", "+"],
}


def remove(program: str, path: Path) -> int:
    """Run a program on a path, and return its exit status.

    A missing program skips the test, but not in CI.
    """
    if program == "rmtree":
        try:
            shutil.rmtree(path)
        except OSError:
            return 1
        return 0
    line = [word.replace("{path}", str(path)) for word in COMMANDS[program]]
    name = "gio" if "gio" in line else line[0]
    if shutil.which(name) is None and os.environ.get("HISTFS_REQUIRE_FUSE") != "1":
        pytest.skip(f"{name} is not installed")
    return subprocess.run(line, capture_output=True, check=False, timeout=60).returncode


def expected(mount, program: str, target: Path, undeletable: int | None = None) -> list[Removal]:
    """Return the calls by which a program removes a directory, as its trace says."""
    tree = {}
    for directory, subdirectories, files in os.walk(target):
        tree[f"/{Path(directory).relative_to(mount.path)}"] = subdirectories + files
    trace = Trace(Snapshot(tree, undeletable))
    PROGRAMS[program](trace, f"/{target.relative_to(mount.path)}")
    return trace.removals


def removals(mount, start: int) -> list[Removal]:
    """Return the calls that remove in the log of a mount with -d, from an offset on."""
    log = mount.log.read_bytes()[start:].decode()
    return [Removal(*call) for call in re.findall(r"^(unlink|rmdir) (/.*)$", log, re.MULTILINE)]


@pytest.fixture
def simulator():
    with Simulator(SimulatorSettings(items=60, days=100, newest=NEWEST)) as running:
        yield running


def items_below(path):
    """Return the ids of the items below a directory of ``by-date``, or in an item's."""
    return {id_of(audio.parent) for audio in path.rglob("audio.[!s]*")}


def deletes(simulator):
    """Return how often the server was asked to delete what."""
    asked = (r.target.rpartition("/")[2] for r in simulator.counts.log if r.method == "DELETE")
    return Counter(asked)


def in_trash(directory):
    """Return the ids of the items in the trash, each of which must be there once."""
    found = [stored.entry.id for stored in Trash(directory / "trash").items()]
    assert len(found) == len(set(found))
    return set(found)


def assert_shown(mount, simulator):
    """Every view shows the items of the server, each complete, and nothing else."""
    left = set(simulator.library.ids())
    for view in VIEWS:
        shown = [id_of(item) for item in mount.items(view)]
        assert sorted(shown) == sorted(left), view
    for item in mount.items():
        assert {file.stem for file in item.iterdir()} == FILES
    listed = [d for view in VIEWS for d in (mount.path / view).rglob("*") if d.is_dir()]
    assert all(any(directory.iterdir()) for directory in listed)


def fullest(directories):
    return max(sorted(directories), key=lambda path: len(items_below(path)))


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_item_a_day_a_month_and_a_year_go_with_one_delete_an_item(
    simulator, tmp_path, binding, program
):
    """And when a DELETE fails, the rest is left complete and goes the next time."""
    asked: Counter[str] = Counter()
    with mounted(simulator, tmp_path, binding, "-d") as mount:
        for pattern in ("2025/*/*/*", "2024/*/*", "2024/*", "2024"):
            target = fullest(mount.path.glob(f"by-date/{pattern}"))
            doomed = items_below(target)
            if pattern == "2024/*":
                asked += assert_failure_leaves_the_rest(mount, simulator, program, target)
                doomed = items_below(target)
            calls, start = expected(mount, program, target), mount.log.stat().st_size
            assert remove(program, target) == 0
            assert removals(mount, start) == calls
            asked.update(doomed)
            assert deletes(simulator) == asked
            assert not doomed & set(simulator.library.ids())
            assert target.name not in os.listdir(target.parent)
        assert_shown(mount, simulator)
        assert in_trash(tmp_path) == set(asked)
        assert 0 < len(simulator.library) < 60
    with mounted(simulator, tmp_path, binding, "--listing-ttl", "0") as mount:
        assert_shown(mount, simulator)


def assert_failure_leaves_the_rest(mount, simulator, program, month):
    """Let the third DELETE fail while a program removes a month; return what was asked for."""
    doomed = items_below(month)
    assert len(doomed) > 4
    before = deletes(simulator)
    simulator.faults.add(Fault("DELETE", "status", status=500, after=2, count=1))
    calls, start = expected(mount, program, month, undeletable=2), mount.log.stat().st_size
    assert remove(program, month) == 1
    assert removals(mount, start) == calls
    simulator.faults.clear()
    failed = doomed & set(simulator.library.ids())
    # rmtree stops at the first error, the others go on.
    assert len(failed) == (len(doomed) - 2 if program == "rmtree" else 1)
    assert_shown(mount, simulator)
    assert items_below(month) == failed
    for item in (item for item in mount.items() if id_of(item) in failed):
        audio = next(item.glob("audio.[!s]*"))
        assert audio.read_bytes() == bytes(simulator.library.clip(id_of(item)))
    return deletes(simulator) - before


def test_rm_of_the_audio_alone_deletes_the_item(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding) as mount:
        item = mount.items()[7]
        assert remove("rm -r", next(item.glob("audio.[!s]*"))) == 0
        assert deletes(simulator) == {id_of(item): 1}
        assert in_trash(tmp_path) == {id_of(item)}
        assert_shown(mount, simulator)
        assert remove("rm -r", item) == 0
        assert deletes(simulator) == {id_of(item): 1}


def test_a_link_is_not_removed_but_what_it_leads_to_can_be(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding) as mount:
        link = mount.items("by-voice")[0]
        for target in (link, link.parent, mount.path / "by-voice"):
            assert remove("rm -rf", target) == 1
        assert deletes(simulator) == {}
        assert_shown(mount, simulator)
        assert remove("rm -rf", link.resolve()) == 0
        assert deletes(simulator) == {id_of(link): 1}
        assert not os.path.lexists(link)
        assert_shown(mount, simulator)


# Moving out of the mount


def assert_archived(simulator, backup, ids, before):
    """A backup holds what the server served of some items, and all that it said of them."""
    found = {id_of(audio.parent): audio for audio in backup.rglob("audio.[!s]*")}
    assert set(ids) <= set(found)
    for item_id in ids:
        clip, raw = before[item_id]
        assert found[item_id].read_bytes() == clip
        assert json.loads((found[item_id].parent / "meta.json").read_text()) == raw
        assert (found[item_id].parent / "text.txt").exists()


def everything(simulator):
    """Return the clip and the object of each item, by id."""
    library = simulator.library
    return {i: (bytes(library.clip(i)), library.item(i)) for i in library.ids()}


def rsync(source, target):
    line = ["rsync", "-a", "--remove-source-files", f"{source}/", f"{target}/"]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)


def test_rsync_that_removes_its_sources_moves_the_history_into_a_backup(
    simulator, tmp_path, binding
):
    before, backup = everything(simulator), tmp_path / "backup"
    with mounted(simulator, tmp_path, binding, "--sizes", "exact") as mount:
        done = rsync(mount.path / "by-date", backup)
        assert (done.returncode, done.stderr) == (0, "")
        assert_shown(mount, simulator)
    assert_archived(simulator, backup, before, before)
    assert len(simulator.library) == 0
    assert deletes(simulator) == dict.fromkeys(before, 1)
    assert in_trash(tmp_path) == set(before)


def test_rsync_that_saw_an_estimate_copies_and_removes_nothing_until_it_runs_again(
    simulator, tmp_path, binding
):
    before, backup = everything(simulator), tmp_path / "backup"
    with mounted(simulator, tmp_path, binding) as mount:
        done = rsync(mount.path / "by-date", backup)
        assert done.returncode == 23
        assert "Skipping sender remove for changed file" in done.stderr
        assert_archived(simulator, backup, before, before)
        assert rsync(mount.path / "by-date", backup).returncode == 0
        assert_archived(simulator, backup, before, before)
        assert_shown(mount, simulator)
    assert deletes(simulator) == dict.fromkeys(before, 1)
    assert in_trash(tmp_path) == set(before)


def test_what_rsync_can_not_copy_stays_where_it_was(simulator, tmp_path, binding):
    before, backup = everything(simulator), tmp_path / "backup"
    failing = list(before)[20]
    simulator.faults.add(Fault(f"GET /v1/history/{failing}/audio", "cut"))
    with mounted(simulator, tmp_path, binding, "--sizes", "exact") as mount:
        assert rsync(mount.path / "by-date", backup).returncode != 0
        assert_archived(simulator, backup, before.keys() - simulator.library.ids(), before)
        assert failing in simulator.library
        assert failing not in deletes(simulator)
        assert in_trash(tmp_path) == before.keys() - set(simulator.library.ids())
        simulator.faults.clear()
        assert rsync(mount.path / "by-date", backup).returncode == 0
    assert_archived(simulator, backup, before, before)
    assert deletes(simulator) == dict.fromkeys(before, 1)


def test_mv_out_of_the_mount_moves_items_into_a_backup(simulator, tmp_path, binding):
    before, backup = everything(simulator), tmp_path / "backup"
    backup.mkdir()
    with mounted(simulator, tmp_path, binding) as mount:
        item, day = mount.items()[0], fullest(mount.path.glob("by-date/2024/*/*"))
        moved = items_below(day) | {id_of(item)}
        assert subprocess.run(["mv", item, day, backup], timeout=60).returncode == 0
        assert_archived(simulator, backup, moved, before)
        assert deletes(simulator) == dict.fromkeys(moved, 1)
        assert in_trash(tmp_path) == moved
        assert_shown(mount, simulator)


def test_what_mv_can_not_copy_stays_where_it_was(simulator, tmp_path, binding):
    backup = tmp_path / "backup"
    backup.mkdir()
    with mounted(simulator, tmp_path, binding) as mount:
        item = mount.items()[5]
        simulator.faults.add(Fault(f"GET /v1/history/{id_of(item)}/audio", "cut"))
        line = ["mv", item, backup]
        assert subprocess.run(line, capture_output=True, timeout=60).returncode == 1
        assert deletes(simulator) == {}
        assert in_trash(tmp_path) == set()
        assert_shown(mount, simulator)
        simulator.faults.clear()
        assert next(item.glob("audio.[!s]*")).read_bytes() == bytes(
            simulator.library.clip(id_of(item))
        )
