"""A machine that fails: its clock, its disks, its files, and another mount at work."""

from __future__ import annotations

import contextlib
import os
import re
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
    rm,
    rsync,
    small_disk,
    staged,
)
from tests.support.mounts import command, environment, id_of, mounted
from tests.support.patience import eventually

pytestmark = pytest.mark.fuse
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")

YEAR = 365 * 86_400


def mount_on(path, simulator, binding):
    """Run a mount in the background."""
    line = command(
        "mount", path, "--base-url", simulator.base_url,
        "--cache-dir", path.with_name("cache"), "--timezone", "UTC",
    )  # fmt: skip
    env = environment(binding, simulator.api_key)
    return subprocess.run(line, env=env, capture_output=True, text=True, timeout=60)


@contextlib.contextmanager
def read_only(place):
    """Let a directory, in which nothing is open for writing, be read-only within the block."""
    subprocess.run(["mount", "--bind", place, place], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("jump", [20 * YEAR, -20 * YEAR], ids=["forth", "back"])
def test_a_clock_that_jumps_hides_nothing_and_keeps_nothing_stale(tmp_path, binding, jump):
    with staged(tmp_path, binding, "--listing-ttl", "60") as stage:
        day, library = stage.known_day(), stage.simulator.library
        first, second, third, *rest = map(id_of, sorted(day.iterdir()))
        for clock, gone in ((jump, first), (0, second)):
            stage.world.turn(clock=clock)
            library.remove(gone)
            assert gone not in map(id_of, day.iterdir())
        stage.world.turn(clock=jump)
        item = next(item for item in day.iterdir() if id_of(item) == third)
        served = stage.served(item)
        assert audio_of(item).read_bytes() == served
        assert rm(item) == 0
        stage.world.turn()
        assert set(map(id_of, day.iterdir())) == set(rest)
        assert in_trash(tmp_path / "trash") == {third: served}


@only_root
def test_a_full_disk_under_the_trash_deletes_nothing(tmp_path, binding):
    with small_disk(tmp_path / "trash", "64k") as trash, staged(tmp_path, binding) as stage:
        item = stage.item()
        served = stage.served(item)
        assert code_of(audio_of(item).unlink) == "EIO"
        assert stage.simulator.counts[DELETE] == 0
        assert stage.trashed() == []
        subprocess.run(["mount", "-o", "remount,size=1m", trash], check=True)
        assert rm(item) == 0
        assert stage.simulator.counts[DELETE] == 1
        assert in_trash(trash) == {id_of(item): served}


@only_root
def test_a_cache_that_can_not_be_written_any_more_is_still_read(tmp_path, binding):
    with staged(tmp_path, binding) as stage:
        here, elsewhere, deleted = stage.item(), stage.item(), stage.item()
        served = [stage.served(item) for item in (here, elsewhere)]
        audio_of(here).read_bytes()
        eventually(lambda: id_of(here) in stage.cached())
        (incoming,) = tmp_path.glob("cache/*/incoming")
        with read_only(incoming):
            assert [audio_of(item).read_bytes() for item in (here, elsewhere)] == served
            assert id_of(elsewhere) not in stage.cached()
            # A copy of it in the trash is made of what is in the cache.
            assert code_of(audio_of(deleted).unlink) == "EIO"
            assert stage.simulator.counts[DELETE] == 0
        assert rm(deleted) == 0
        assert in_trash(tmp_path / "trash").keys() == {id_of(deleted)}


@only_root
def test_a_read_only_cache_keeps_a_mount_from_coming_up(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding) as mount:
        mount.audio()[0].read_bytes()
    with read_only(tmp_path / "cache"):
        done = mount_on(mount.path, simulator, binding)
        assert done.returncode == 78
        assert re.fullmatch("histfs: .*catalog.* failed: Read-only file system\n", done.stderr)


def overwritten(path):
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))


def holed(path):
    """Damage all but the first page, in which a catalog says what it is."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))


def halved(path):
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [overwritten, holed, halved])
def test_a_damaged_catalog_shows_no_part_and_is_read_anew(tmp_path, binding, damage):
    with staged(tmp_path, binding) as stage:
        backup, known = tmp_path / "backup", stage.known_day()
        before = backed_up(stage, known, backup)
        (catalog,) = tmp_path.glob("cache/*/catalog.sqlite")
        damage(catalog)
        rsync(known, backup)
        assert contents(backup) == before
        stage.mount.process.terminate()
        stage.mount.process.wait(20)
        done = mount_on(stage.mount.path, stage.simulator, binding)
        if done.returncode != 0:  # it came to the damage only after it had begun
            assert done.returncode == 78
            assert re.fullmatch("histfs: .* is damaged: mount again.*\n", done.stderr)
            assert mount_on(stage.mount.path, stage.simulator, binding).returncode == 0
        assert set(map(id_of, stage.mount.items("by-source"))) == set(stage.simulator.library.ids())
        assert rsync(known, backup) == 0
        assert contents(backup) == before
        assert len(list(tmp_path.glob("cache/*/*.unusable"))) == 1


def test_a_damaged_clip_is_noticed_before_it_becomes_the_last_copy(tmp_path, binding):
    with staged(tmp_path, binding) as stage:
        shorter, other = stage.item(), stage.item()
        served = {id_of(item): stage.served(item) for item in (shorter, other)}
        for item in (shorter, other):
            audio_of(item).read_bytes()
        eventually(lambda: served.keys() <= stage.cached())
        kept = {path.name: path for path in tmp_path.glob("cache/*/audio/*/*")}
        halved(kept[id_of(shorter)])
        overwritten(kept[id_of(other)])
        # What other processes have of a file stays with the kernel.
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
