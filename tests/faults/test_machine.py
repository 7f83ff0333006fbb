"""A machine that fails: its clock, its disks, its files, and a second mount."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from histfs.simulator import Simulator, SimulatorSettings
from tests.faults.conftest import (
    DELETE,
    audio_of,
    backed_up,
    code_of,
    contents,
    in_trash,
    mounted_system,
    rm,
    rsync,
    small_disk,
)
from tests.support.eventually import eventually
from tests.support.mounts import command, environment, id_of, mounted

pytestmark = pytest.mark.fuse
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")

YEAR = 365 * 86_400


def mount_on(path, simulator, binding):
    """Run a mount in the background."""
    arguments = command(
        "mount", path, "--base-url", simulator.base_url,
        "--cache-dir", path.with_name("cache"), "--timezone", "UTC",
    )  # fmt: skip
    env = environment(binding, simulator.api_key)
    return subprocess.run(arguments, env=env, capture_output=True, text=True, timeout=60)


@contextlib.contextmanager
def read_only(place):
    """Make a directory read-only within the block; no file in it may be open for writing."""
    subprocess.run(["mount", "--bind", place, place], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("jump", [20 * YEAR, -20 * YEAR], ids=["forth", "back"])
def test_a_clock_that_jumps_hides_nothing_and_keeps_nothing_stale(tmp_path, binding, jump):
    with mounted_system(tmp_path, binding, "--listing-ttl", "60") as system:
        day, library = system.known_day(), system.simulator.library
        first, second, third, *rest = map(id_of, sorted(day.iterdir()))
        for clock, gone in ((jump, first), (0, second)):
            system.world.turn(clock=clock)
            library.remove(gone)
            assert gone not in map(id_of, day.iterdir())
        system.world.turn(clock=jump)
        item = next(item for item in day.iterdir() if id_of(item) == third)
        served = system.served(item)
        assert audio_of(item).read_bytes() == served
        assert rm(item) == 0
        system.world.turn()
        assert set(map(id_of, day.iterdir())) == set(rest)
        assert in_trash(tmp_path / "trash") == {third: served}


@only_root
def test_a_full_disk_under_the_trash_deletes_nothing(tmp_path, binding):
    with (
        small_disk(tmp_path / "trash", "64k") as trash,
        mounted_system(tmp_path, binding) as system,
    ):
        item = system.item()
        served = system.served(item)
        assert code_of(audio_of(item).unlink) == "EIO"
        assert system.simulator.counts[DELETE] == 0
        assert system.trashed() == []
        subprocess.run(["mount", "-o", "remount,size=1m", trash], check=True)
        assert rm(item) == 0
        assert system.simulator.counts[DELETE] == 1
        assert in_trash(trash) == {id_of(item): served}


@only_root
def test_a_cache_that_can_not_be_written_any_more_is_still_read(tmp_path, binding):
    with mounted_system(tmp_path, binding) as system:
        here, elsewhere, deleted = system.item(), system.item(), system.item()
        served = [system.served(item) for item in (here, elsewhere)]
        audio_of(here).read_bytes()
        eventually(lambda: id_of(here) in system.cached())
        (incoming,) = tmp_path.glob("cache/*/incoming")
        with read_only(incoming):
            assert [audio_of(item).read_bytes() for item in (here, elsewhere)] == served
            assert id_of(elsewhere) not in system.cached()
            # The copy in the trash is made from the cache.
            assert code_of(audio_of(deleted).unlink) == "EIO"
            assert system.simulator.counts[DELETE] == 0
        assert rm(deleted) == 0
        assert in_trash(tmp_path / "trash").keys() == {id_of(deleted)}


@only_root
def test_a_read_only_cache_keeps_a_mount_from_coming_up(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding) as mount:
        mount.audio()[0].read_bytes()
    with read_only(tmp_path / "cache"):
        result = mount_on(mount.path, simulator, binding)
        assert result.returncode == 78
        assert re.fullmatch("histfs: .*catalog.* failed: Read-only file system\n", result.stderr)


def overwrite(path):
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))


def overwrite_tail(path):
    """Overwrite all but the first page, which has the header of the catalog."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))


def truncate_half(path):
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [overwrite, overwrite_tail, truncate_half])
def test_a_damaged_catalog_shows_no_part_and_is_read_anew(tmp_path, binding, damage):
    with mounted_system(tmp_path, binding) as system:
        backup, known = tmp_path / "backup", system.known_day()
        before = backed_up(system, known, backup)
        (catalog,) = tmp_path.glob("cache/*/catalog.sqlite")
        # The journal would hide the damage, and mend it.
        with contextlib.closing(sqlite3.connect(catalog)) as db:
            assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        damage(catalog)
        rsync(known, backup)
        assert contents(backup) == before
        system.mount.process.terminate()
        system.mount.process.wait(20)
        result = mount_on(system.mount.path, system.simulator, binding)
        if result.returncode != 0:  # it found the damage only after the start
            assert result.returncode == 78
            assert re.fullmatch("histfs: .* is damaged: mount again.*\n", result.stderr)
            assert mount_on(system.mount.path, system.simulator, binding).returncode == 0
        assert set(map(id_of, system.mount.items("by-source"))) == set(
            system.simulator.library.ids()
        )
        assert rsync(known, backup) == 0
        assert contents(backup) == before
        assert len(list(tmp_path.glob("cache/*/*.unusable"))) == 1


def test_a_damaged_clip_is_noticed_before_it_becomes_the_last_copy(tmp_path, binding):
    with mounted_system(tmp_path, binding) as system:
        shorter, other = system.item(), system.item()
        served = {id_of(item): system.served(item) for item in (shorter, other)}
        for item in (shorter, other):
            audio_of(item).read_bytes()
        eventually(lambda: served.keys() <= system.cached())
        cached = {path.name: path for path in tmp_path.glob("cache/*/audio/*/*")}
        truncate_half(cached[id_of(shorter)])
        overwrite(cached[id_of(other)])
        # The kernel keeps the pages of a file that other processes have read.
        assert audio_of(shorter).read_bytes() == served[id_of(shorter)]
        assert rm(shorter, other) == 0
        assert in_trash(tmp_path / "trash") == served


def test_two_mounts_that_delete_the_same_items_lose_none(tmp_path, binding):
    cache = tmp_path / "cache"
    with (
        Simulator(SimulatorSettings(items=60, days=5)) as simulator,
        mounted(simulator, tmp_path / "one", binding, "--cache-dir", cache) as one,
        mounted(simulator, tmp_path / "two", binding, "--cache-dir", cache) as two,
        ThreadPoolExecutor() as users,
    ):
        served = {i: bytes(simulator.library.clip(i)) for i in simulator.library.ids()}
        half = one.items()[:30], two.items()[:30]
        deleted = set(map(id_of, half[0]))
        list(users.map(lambda items: rm("-f", *items), half))
        assert set(simulator.library.ids()) == served.keys() - deleted
        kept = in_trash(tmp_path / "one" / "trash") | in_trash(tmp_path / "two" / "trash")
        assert kept == {item: served[item] for item in deleted}
        for mount in (one, two):
            assert set(map(id_of, mount.items())) == served.keys() - deleted
