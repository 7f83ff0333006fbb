"""Deletes that the server answers with an error, whether done or not, on a real mount."""

from __future__ import annotations

import json
import subprocess

import pytest

from histfs.mounting.reconciliation import GRACE
from histfs.simulator import Fault
from tests.faults.conftest import DELETE, audio_of, code_of, in_trash, mounted_system, rm
from tests.support.eventually import eventually
from tests.support.mounts import command, id_of, mounted

pytestmark = pytest.mark.fuse

ITEM = "/v1/history/"
#: Some of the error codes; tests/core/test_presence.py has all of them.
CODES = [400, 401, 404, 409, 410, 422, 429]
REFUSALS = {401: "EACCES", 403: "EACCES", 429: "EAGAIN"}


@pytest.fixture(scope="module")
def system(tmp_path_factory, binding):
    with mounted_system(tmp_path_factory.mktemp("system"), binding) as system:
        yield system


def fetched_item(system):
    """Return an item whose audio is cached, and that audio."""
    item = system.item()
    audio = audio_of(item).read_bytes()
    eventually(lambda: id_of(item) in system.cached())
    return item, audio


def entries(system, item_id):
    """Return the lines of `histfs trash list` for an item."""
    arguments = command("trash", "list", "--trash", system.directory / "trash")
    output = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    return [line for line in output.splitlines() if item_id in line]


def answered(system, status, done, *others):
    return system.failing(Fault("DELETE", "status", status=status, perform=done, count=1), *others)


@pytest.mark.parametrize("code", CODES)
def test_a_delete_that_was_done_and_refused_is_found_out(system, code):
    item, audio = fetched_item(system)
    with answered(system, code, True):
        assert rm(item) == 0
        assert system.simulator.counts[DELETE] == 1
    assert in_trash(system.directory / "trash")[id_of(item)] == audio
    assert "not known" not in entries(system, id_of(item))[0]


@pytest.mark.parametrize("code", CODES)
def test_a_delete_that_was_refused_leaves_the_item_and_no_copy(system, code):
    item, audio = fetched_item(system)
    with answered(system, code, False):
        assert code_of(audio_of(item).unlink) == REFUSALS.get(code, "EIO")
        assert system.simulator.counts[DELETE] == 1
    assert audio_of(item).read_bytes() == audio
    assert entries(system, id_of(item)) == []


@pytest.mark.parametrize("status", [404, 502])
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("silent", ["GET /v1/history", "GET /v1/history$", "GET /v1/history/."])
@pytest.mark.parametrize("fault", [404, 500])
def test_while_it_can_not_be_known_the_copy_is_kept_and_said_to_be_undecided(
    system, status, done, silent, fault
):
    item, audio = fetched_item(system)
    others = Fault(silent, "status", status=fault)
    with answered(system, status, done, others):
        code = code_of(audio_of(item).unlink)
        assert system.simulator.counts[DELETE] == 1
    # A list without the item is not believed while the request by its id fails.
    confirmed_gone = done and silent.endswith(".") and fault == 404
    assert code == (None if confirmed_gone else "EIO")
    assert in_trash(system.directory / "trash")[id_of(item)] == audio
    (line,) = entries(system, id_of(item))
    assert ("(not known to be deleted)" in line) == (not confirmed_gone)
    eventually(lambda: code_of(list, item.parent.iterdir()) is None)
    assert (item in item.parent.iterdir()) == (not done)


def refused(done):
    return Fault("DELETE", "status", status=409, perform=done)


@pytest.mark.parametrize(
    ("done", "faults", "reached"),
    [
        (False, [Fault("DELETE", "hang")], DELETE),
        (True, [Fault("DELETE", "hang", at_byte=5)], DELETE),
        (False, [refused(False), Fault(f"GET {ITEM}", "hang")], f"GET {ITEM}{{id}}"),
        (True, [refused(True), Fault(f"GET {ITEM}", "hang")], f"GET {ITEM}{{id}}"),
        (False, [refused(False), Fault("GET /v1/history$", "hang")], "GET /v1/history"),
        (True, [refused(True), Fault("GET /v1/history$", "hang")], "GET /v1/history"),
    ],
    ids=["sent", "done", "asking", "done, asking", "listing", "done, listing"],
)
def test_a_copy_that_a_killed_mount_left_is_decided_about_by_the_next_one(
    tmp_path, binding, done, faults, reached
):
    with mounted_system(tmp_path, binding, "--listing-ttl", "60") as system:
        item, audio = fetched_item(system)
        system.simulator.counts.reset()
        system.simulator.faults.add(*faults)
        with subprocess.Popen(["rm", "-r", item], stderr=subprocess.DEVNULL) as user:
            eventually(lambda: system.simulator.counts[DELETE] and system.simulator.counts[reached])
            system.mount.kill()
            assert user.wait(20) != 0
        system.simulator.faults.clear()
        assert "(not known to be deleted)" in entries(system, id_of(item))[0]
        (path,) = (tmp_path / "trash").glob("*/entry.json")
        entry = json.loads(path.read_text())
        path.write_text(json.dumps({**entry, "archived": int(entry["archived"] - GRACE - 1)}))
        subprocess.run(["umount", "-l", system.mount.path], check=True)
        with mounted(system.simulator, tmp_path, binding):
            if done:
                eventually(lambda: "not known" not in entries(system, id_of(item))[0])
                assert in_trash(tmp_path / "trash") == {id_of(item): audio}
            else:
                eventually(lambda: entries(system, id_of(item)) == [])
                assert id_of(item) in system.simulator.library
