"""A network that fails: what is known is shown and played, the rest fails, and nothing hangs."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from histfs.simulator import Fault, Simulator
from tests.faults.conftest import (
    audio_of,
    backed_up,
    code_of,
    contents,
    rsync,
    staged,
)
from tests.support.mounts import id_of
from tests.support.patience import eventually

pytestmark = pytest.mark.fuse

ALL = "/v1/history"


@pytest.fixture(scope="module")
def stage(tmp_path_factory, binding):
    """A stage with little patience."""
    with staged(tmp_path_factory.mktemp("stage"), binding, "--timeout", "2") as stage:
        yield stage


@contextlib.contextmanager
def no_names(stage):
    # Connections that are open need no name.
    with stage.failing(Fault(ALL, "reset")):
        stage.world.turn(names=False)
        try:
            yield
        finally:
            stage.world.turn()


ROWS = {
    "reset": Fault(ALL, "reset"),
    "reset in the body": Fault(ALL, "reset", at_byte=5),
    "hangs before the headers": Fault(ALL, "hang"),
    "hangs in the body": Fault(ALL, "hang", at_byte=5),
    "no names": None,
}


@pytest.mark.parametrize("fault", ROWS.values(), ids=ROWS)
def test_a_network_that_fails_takes_nothing_away(stage, tmp_path, fault):
    known, unknown = stage.known_day(), stage.unknown_day()
    here, elsewhere, other, deleted = (audio_of(stage.item()) for _ in range(4))
    for audio in (here, deleted):
        audio.read_bytes()
    backup = {f"{name}/{elsewhere.name}": b"from last night" for name in ("day", "item")}
    for path, content in backup.items():
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_bytes(content)
    calls = {
        "unknown": (os.listdir, unknown),
        "known": (os.listdir, known),
        "elsewhere": (elsewhere.read_bytes,),
        "not deleted": (other.unlink,),
        "deleted": (deleted.unlink,),
    }
    with stage.failing(fault) if fault else no_names(stage), ThreadPoolExecutor() as users:
        failed = dict(
            zip(calls, users.map(lambda call: code_of(*call), calls.values()), strict=True)
        )
        assert failed.pop("known") is None
        said_to_be_gone = failed.pop("deleted") is None
        assert set(failed.values()) <= {"EIO", "ETIMEDOUT", "EAGAIN"}
        assert here.read_bytes() == stage.served(here.parent)
        assert (here.parent / "meta.json").read_text()
        assert rsync(unknown, tmp_path / "day") == 23
        assert rsync(elsewhere.parent, tmp_path / "item") == 23
    assert contents(tmp_path) == backup
    stage.recovers(unknown)
    for audio in (here, elsewhere, other):
        # A download that is still failing takes who comes then with it.
        assert eventually(audio.read_bytes) == stage.served(audio.parent)
    # What was done and not answered is safe in the trash.
    item = id_of(deleted.parent)
    is_there = item in stage.simulator.library
    assert is_there or [name for name in stage.trashed() if name.endswith(item)]
    assert not (said_to_be_gone and is_there)


def test_a_server_that_is_not_there_takes_nothing_away_and_may_come_back(tmp_path, binding):
    with staged(tmp_path / "stage", binding, "--timeout", "2") as stage:
        known, unknown, item = stage.known_day(), stage.unknown_day(), stage.item()
        audio, backup = audio_of(item), tmp_path / "backup"
        before = backed_up(stage, known, backup)
        stage.simulator.stop()
        assert code_of(os.listdir, unknown) == "EIO"
        assert code_of(os.listdir, known) is None
        assert code_of(audio.read_bytes) == "EIO"
        assert code_of(audio.unlink) == "EIO"
        assert rsync(known, backup) == 23
        assert contents(backup) == before
        with stage.started_again():
            stage.recovers(unknown)
            assert audio.read_bytes() == stage.served(item)


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_to_another_host_is_followed_by_nothing(stage, tmp_path, status):
    known, unknown, item = stage.known_day(), stage.unknown_day(), stage.item()
    before = backed_up(stage, known, tmp_path)
    with Simulator() as stranger:
        there = stranger.base_url.replace("127.0.0.1", "localhost") + ALL
        with stage.failing(Fault(ALL, "redirect", status=status, headers={"Location": there})):
            assert code_of(os.listdir, unknown) == "EIO"
            assert code_of(os.listdir, known) is None
            assert code_of(audio_of(item).read_bytes) == "EIO"
            assert code_of(audio_of(item).unlink) == "EIO"
            assert rsync(known, tmp_path) == 23
        assert stranger.counts.total == 0
    assert contents(tmp_path) == before
    stage.recovers(unknown)
    assert audio_of(item).read_bytes() == stage.served(item)
