"""A mount that is killed during an operation: the next one shows everything, nothing is lost."""

from __future__ import annotations

import contextlib
import subprocess

import pytest

from histfs.simulator import Fault
from tests.faults.conftest import (
    DELETE,
    LIST,
    SIZE,
    audio_of,
    contents,
    in_trash,
    mounted_system,
    rm,
    rsync,
)
from tests.support.eventually import eventually
from tests.support.mounts import id_of, mounted

pytestmark = pytest.mark.fuse


@pytest.fixture
def system(tmp_path, binding):
    with mounted_system(tmp_path, binding) as system:
        yield system


@pytest.fixture
def remount(system, tmp_path, binding):
    """Mount again after the first mount was killed."""

    @contextlib.contextmanager
    def mount():
        subprocess.run(["umount", "-l", system.mount.path], check=True)
        with mounted(system.simulator, tmp_path, binding) as mount:
            yield mount

    return mount


def run_and_kill(system, condition, *command):
    """Run a program on a mount, and kill the mount as soon as a condition holds."""
    with subprocess.Popen(
        [*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as user:
        eventually(condition)
        system.mount.kill()
        assert user.wait(20) != 0
    system.simulator.faults.clear()
    system.simulator.counts.reset()
    system.world.turn()


@pytest.mark.parametrize("at", [None, 50_000], ids=["before a page", "in a page"])
def test_a_mount_killed_at_a_page_has_the_whole_history_next_time(system, remount, tmp_path, at):
    view, backup = system.mount.path / "by-source", tmp_path / "backup"
    (backup / "TTS" / "item").mkdir(parents=True)
    system.simulator.counts.reset()
    system.simulator.faults.add(Fault("GET /v1/history$", "hang", after=1, at_byte=at))
    run_and_kill(
        system, lambda: system.simulator.counts[LIST] == 2, "rsync", "-a", "--delete", view, backup
    )
    assert (backup / "TTS" / "item").exists()
    with remount():
        assert {id_of(link) for link in view.glob("*/*")} == set(system.simulator.library.ids())


def test_a_mount_killed_in_a_download_copies_no_part_of_it(system, remount, tmp_path):
    item = system.item()
    served, backup = system.served(item), tmp_path / "backup"
    system.simulator.faults.add(Fault("/audio", "hang", at_byte=SIZE // 2))
    run_and_kill(
        system,
        lambda: sum(path.stat().st_size for path in tmp_path.glob("cache/*/incoming/*")) > 0,
        "rsync", "-a", "--delete", f"{item}/", backup,
    )  # fmt: skip
    assert contents(backup) == {}
    with remount():
        assert rsync(item, backup) == 0
        assert list(contents(backup).values()) == [served]


def test_a_mount_killed_while_it_fetches_what_is_to_be_deleted_deletes_nothing(
    system, remount, tmp_path
):
    item = system.item()
    served = system.served(item)
    system.simulator.faults.add(Fault("/audio", "hang", at_byte=SIZE // 2))
    run_and_kill(system, lambda: list(tmp_path.glob("cache/*/incoming/*")), "rm", "-r", item)
    with remount():
        assert system.trashed() == []
        assert system.simulator.counts[DELETE] == 0
        assert audio_of(item).read_bytes() == served


def test_a_mount_killed_while_it_archives_deletes_nothing_and_leaves_nothing(system, remount):
    item = system.item()
    served = system.served(item)
    audio_of(item).read_bytes()
    eventually(lambda: id_of(item) in system.cached())
    system.world.turn(stuck=True)
    run_and_kill(system, system.trashed, "rm", "-r", item)
    assert [name[0] for name in system.trashed()] == ["."]
    with remount():
        assert system.trashed() == []
        assert id_of(item) in system.simulator.library
        assert audio_of(item).read_bytes() == served
        assert rm(item) == 0
        assert in_trash(system.directory / "trash") == {id_of(item): served}


@pytest.mark.parametrize("done", [False, True], ids=["before it", "after it"])
def test_a_mount_killed_at_the_delete_has_the_copy(system, remount, done):
    item = system.item()
    key, served = id_of(item), system.served(item)
    system.simulator.faults.add(Fault("DELETE", "hang", at_byte=5 if done else None))
    run_and_kill(system, lambda: system.simulator.counts[DELETE], "rm", "-r", item)
    assert in_trash(system.directory / "trash") == {key: served}
    with remount():
        exists = key in map(id_of, item.parent.iterdir())
        assert exists == (not done) == (key in system.simulator.library)
        if exists:
            assert rm(item) == 0
            assert key not in system.simulator.library
        assert in_trash(system.directory / "trash") == {key: served}
