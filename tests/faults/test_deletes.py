"""Deletes that are done, or not, and answered with an error all the same, on a real mount."""

from __future__ import annotations

import json
import subprocess

import pytest

from histfs.mounting.reconciliation import GRACE
from histfs.simulator import Fault
from tests.faults.conftest import DELETE, audio_of, code_of, in_trash, rm, staged
from tests.support.mounts import command, id_of, mounted
from tests.support.patience import eventually

pytestmark = pytest.mark.fuse

ITEM = "/v1/history/"
#: Of the codes that refuse; tests/core/test_presence.py has all of them.
CODES = [400, 401, 404, 409, 410, 422, 429]
REFUSALS = {401: "EACCES", 403: "EACCES", 429: "EAGAIN"}


@pytest.fixture(scope="module")
def stage(tmp_path_factory, binding):
    with staged(tmp_path_factory.mktemp("stage"), binding) as stage:
        yield stage


def fetched_item(stage):
    """Return an item whose audio is here, and that audio."""
    item = stage.item()
    audio = audio_of(item).read_bytes()
    eventually(lambda: id_of(item) in stage.cached())
    return item, audio


def entries(stage, item_id):
    """Return what the trash says of an item's copies, as a person sees it."""
    line = command("trash", "list", "--trash", stage.directory / "trash")
    listed = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if item_id in line]


def answered(stage, status, done, *others):
    return stage.failing(Fault("DELETE", "status", status=status, perform=done, count=1), *others)


@pytest.mark.parametrize("code", CODES)
def test_a_delete_that_was_done_and_refused_is_found_out(stage, code):
    item, audio = fetched_item(stage)
    with answered(stage, code, True):
        assert rm(item) == 0
        assert stage.simulator.counts[DELETE] == 1
    assert in_trash(stage.directory / "trash")[id_of(item)] == audio
    assert "not known" not in entries(stage, id_of(item))[0]


@pytest.mark.parametrize("code", CODES)
def test_a_delete_that_was_refused_leaves_the_item_and_no_copy(stage, code):
    item, audio = fetched_item(stage)
    with answered(stage, code, False):
        assert code_of(audio_of(item).unlink) == REFUSALS.get(code, "EIO")
        assert stage.simulator.counts[DELETE] == 1
    assert audio_of(item).read_bytes() == audio
    assert entries(stage, id_of(item)) == []


@pytest.mark.parametrize("status", [404, 502])
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("silent", ["GET /v1/history", "GET /v1/history$", "GET /v1/history/."])
@pytest.mark.parametrize("fault", [404, 500])
def test_while_it_can_not_be_known_the_copy_is_kept_and_said_to_be_undecided(
    stage, status, done, silent, fault
):
    item, audio = fetched_item(stage)
    others = Fault(silent, "status", status=fault)
    with answered(stage, status, done, others):
        code = code_of(audio_of(item).unlink)
        assert stage.simulator.counts[DELETE] == 1
    # A list without the item is not believed while the server can't be asked for it by its id.
    gone_by_two = done and silent.endswith(".") and fault == 404
    assert code == (None if gone_by_two else "EIO")
    assert in_trash(stage.directory / "trash")[id_of(item)] == audio
    (line,) = entries(stage, id_of(item))
    assert ("(not known to be deleted)" in line) == (not gone_by_two)
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
    with staged(tmp_path, binding, "--listing-ttl", "60") as stage:
        item, audio = fetched_item(stage)
        stage.simulator.counts.reset()
        stage.simulator.faults.add(*faults)
        with subprocess.Popen(["rm", "-r", item], stderr=subprocess.DEVNULL) as user:
            eventually(lambda: stage.simulator.counts[DELETE] and stage.simulator.counts[reached])
            stage.mount.kill()
            assert user.wait(20) != 0
        stage.simulator.faults.clear()
        assert "(not known to be deleted)" in entries(stage, id_of(item))[0]
        (path,) = (tmp_path / "trash").glob("*/entry.json")
        entry = json.loads(path.read_text())
        path.write_text(json.dumps({**entry, "archived": int(entry["archived"] - GRACE - 1)}))
        subprocess.run(["umount", "-l", stage.mount.path], check=True)
        with mounted(stage.simulator, tmp_path, binding):
            if done:
                eventually(lambda: "not known" not in entries(stage, id_of(item))[0])
                assert in_trash(tmp_path / "trash") == {id_of(item): audio}
            else:
                eventually(lambda: entries(stage, id_of(item)) == [])
                assert id_of(item) in stage.simulator.library
