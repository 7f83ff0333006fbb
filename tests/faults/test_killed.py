"""A mount that is killed in the middle: the next one shows everything, and nothing is lost."""

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
    rm,
    rsync,
    staged,
)
from tests.support.mounts import id_of, mounted
from tests.support.patience import eventually

pytestmark = pytest.mark.fuse


@pytest.fixture
def stage(tmp_path, binding):
    with staged(tmp_path, binding) as stage:
        yield stage


@pytest.fixture
def again(stage, tmp_path, binding):
    """Mount once more, when the first one is dead."""

    @contextlib.contextmanager
    def mount():
        subprocess.run(["umount", "-l", stage.mount.path], check=True)
        with mounted(stage.simulator, tmp_path, binding) as mount:
            yield mount

    return mount


def die(stage, is_so, *command):
    """Run a program on a mount, and kill the mount as soon as something is so."""
    with subprocess.Popen(
        [*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as user:
        eventually(is_so)
        stage.mount.kill()
        assert user.wait(20) != 0
    stage.simulator.faults.clear()
    stage.simulator.counts.reset()
    stage.world.turn()


@pytest.mark.parametrize("at", [None, 50_000], ids=["before a page", "in a page"])
def test_a_mount_killed_at_a_page_has_the_whole_history_next_time(stage, again, tmp_path, at):
    view, backup = stage.mount.path / "by-source", tmp_path / "backup"
    (backup / "TTS" / "item").mkdir(parents=True)
    stage.simulator.counts.reset()
    stage.simulator.faults.add(Fault("GET /v1/history$", "hang", after=1, at_byte=at))
    die(stage, lambda: stage.simulator.counts[LIST] == 2, "rsync", "-a", "--delete", view, backup)
    assert (backup / "TTS" / "item").exists()
    with again():
        assert {id_of(link) for link in view.glob("*/*")} == set(stage.simulator.library.ids())


def test_a_mount_killed_in_a_download_copies_no_part_of_it(stage, again, tmp_path):
    item = stage.item()
    served, backup = stage.served(item), tmp_path / "backup"
    stage.simulator.faults.add(Fault("/audio", "hang", at_byte=SIZE // 2))
    die(
        stage,
        lambda: sum(path.stat().st_size for path in tmp_path.glob("cache/*/incoming/*")) > 0,
        "rsync", "-a", "--delete", f"{item}/", backup,
    )  # fmt: skip
    assert contents(backup) == {}
    with again():
        assert rsync(item, backup) == 0
        assert list(contents(backup).values()) == [served]


def test_a_mount_killed_while_it_fetches_what_is_to_be_deleted_deletes_nothing(
    stage, again, tmp_path
):
    item = stage.item()
    served = stage.served(item)
    stage.simulator.faults.add(Fault("/audio", "hang", at_byte=SIZE // 2))
    die(stage, lambda: list(tmp_path.glob("cache/*/incoming/*")), "rm", "-r", item)
    with again():
        assert stage.trashed() == []
        assert stage.simulator.counts[DELETE] == 0
        assert audio_of(item).read_bytes() == served


def test_a_mount_killed_while_it_archives_deletes_nothing_and_leaves_nothing(stage, again):
    item = stage.item()
    served = stage.served(item)
    audio_of(item).read_bytes()
    eventually(lambda: id_of(item) in stage.cached())
    stage.world.turn(stuck=True)
    die(stage, stage.trashed, "rm", "-r", item)
    assert [name[0] for name in stage.trashed()] == ["."]
    with again():
        assert stage.trashed() == []
        assert id_of(item) in stage.simulator.library
        assert audio_of(item).read_bytes() == served
        assert rm(item) == 0
        assert in_trash(stage.directory / "trash") == {id_of(item): served}


@pytest.mark.parametrize("done", [False, True], ids=["before it", "after it"])
def test_a_mount_killed_at_the_delete_has_the_copy(stage, again, done):
    item = stage.item()
    key, served = id_of(item), stage.served(item)
    stage.simulator.faults.add(Fault("DELETE", "hang", at_byte=5 if done else None))
    die(stage, lambda: stage.simulator.counts[DELETE], "rm", "-r", item)
    assert in_trash(stage.directory / "trash") == {key: served}
    with again():
        is_there = key in map(id_of, item.parent.iterdir())
        assert is_there == (not done) == (key in stage.simulator.library)
        if is_there:
            assert rm(item) == 0
            assert key not in stage.simulator.library
        assert in_trash(stage.directory / "trash") == {key: served}
