"""A network that fails: known listings and cached audio work, the rest fails, nothing hangs."""

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
    mounted_system,
    rsync,
)
from tests.support.eventually import eventually
from tests.support.mounts import id_of

pytestmark = pytest.mark.fuse

ALL = "/v1/history"


@pytest.fixture(scope="module")
def system(tmp_path_factory, binding):
    """A system with a short timeout."""
    with mounted_system(tmp_path_factory.mktemp("system"), binding, "--timeout", "2") as system:
        yield system


@contextlib.contextmanager
def no_names(system):
    # Open connections need no name lookup: reset them.
    with system.failing(Fault(ALL, "reset")):
        system.world.turn(names=False)
        try:
            yield
        finally:
            system.world.turn()


ROWS = {
    "reset": Fault(ALL, "reset"),
    "reset in the body": Fault(ALL, "reset", at_byte=5),
    "hangs before the headers": Fault(ALL, "hang"),
    "hangs in the body": Fault(ALL, "hang", at_byte=5),
    "no names": None,
}


@pytest.mark.parametrize("fault", ROWS.values(), ids=ROWS)
def test_a_network_that_fails_takes_nothing_away(system, tmp_path, fault):
    known, unknown = system.known_day(), system.unknown_day()
    here, elsewhere, other, deleted = (audio_of(system.item()) for _ in range(4))
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
    with system.failing(fault) if fault else no_names(system), ThreadPoolExecutor() as users:
        errors = dict(
            zip(calls, users.map(lambda call: code_of(*call), calls.values()), strict=True)
        )
        assert errors.pop("known") is None
        reported_gone = errors.pop("deleted") is None
        assert set(errors.values()) <= {"EIO", "ETIMEDOUT", "EAGAIN"}
        assert here.read_bytes() == system.served(here.parent)
        assert (here.parent / "meta.json").read_text()
        assert rsync(unknown, tmp_path / "day") == 23
        assert rsync(elsewhere.parent, tmp_path / "item") == 23
    assert contents(tmp_path) == backup
    system.recovers(unknown)
    for audio in (here, elsewhere, other):
        # A reader that joins a download that is still failing fails with it.
        assert eventually(audio.read_bytes) == system.served(audio.parent)
    # An item whose DELETE was done but not answered is in the trash.
    item = id_of(deleted.parent)
    exists = item in system.simulator.library
    assert exists or [name for name in system.trashed() if name.endswith(item)]
    assert not (reported_gone and exists)


def test_a_server_that_is_not_there_takes_nothing_away_and_may_come_back(tmp_path, binding):
    with mounted_system(tmp_path / "system", binding, "--timeout", "2") as system:
        known, unknown, item = system.known_day(), system.unknown_day(), system.item()
        audio, backup = audio_of(item), tmp_path / "backup"
        before = backed_up(system, known, backup)
        system.simulator.stop()
        assert code_of(os.listdir, unknown) == "EIO"
        assert code_of(os.listdir, known) is None
        assert code_of(audio.read_bytes) == "EIO"
        assert code_of(audio.unlink) == "EIO"
        assert rsync(known, backup) == 23
        assert contents(backup) == before
        with system.restarted():
            system.recovers(unknown)
            assert audio.read_bytes() == system.served(item)


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_to_another_host_is_followed_by_nothing(system, tmp_path, status):
    known, unknown, item = system.known_day(), system.unknown_day(), system.item()
    before = backed_up(system, known, tmp_path)
    with Simulator() as stranger:
        there = stranger.base_url.replace("127.0.0.1", "localhost") + ALL
        with system.failing(Fault(ALL, "redirect", status=status, headers={"Location": there})):
            assert code_of(os.listdir, unknown) == "EIO"
            assert code_of(os.listdir, known) is None
            assert code_of(audio_of(item).read_bytes) == "EIO"
            assert code_of(audio_of(item).unlink) == "EIO"
            assert rsync(known, tmp_path) == 23
        assert stranger.counts.total == 0
    assert contents(tmp_path) == before
    system.recovers(unknown)
    assert audio_of(item).read_bytes() == system.served(item)
