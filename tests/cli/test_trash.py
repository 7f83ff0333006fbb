"""`histfs trash`, over a mount from which items were deleted."""

from __future__ import annotations

import io
import json
import subprocess

import pytest

from histfs.simulator import Fault
from tests.support.mounts import id_of, mounted

pytestmark = pytest.mark.fuse


@pytest.fixture
def deleted(simulator, tmp_path, binding) -> dict[str, bytes]:
    """Delete two items through a mount; return their audio by id, in the order of deletion."""
    with mounted(simulator, tmp_path, binding) as mount:
        items = mount.items()[3:5]
        ids = [id_of(item) for item in items]
        clips = {key: bytes(simulator.library.clip(key)) for key in ids}
        for item in items:
            subprocess.run(["rm", "-r", item], check=True)
    return clips


@pytest.fixture
def in_trash(run, tmp_path):
    """Run a command on the trash of that mount; no key is needed."""

    def in_trash(*arguments, **env):
        return run("trash", *arguments, "--trash", tmp_path / "trash", key=None, **env)

    return in_trash


def listed(in_trash) -> list[dict]:
    return [json.loads(line)["entry"] for line in in_trash("list", "--json").out.splitlines()]


def test_what_was_deleted_is_listed_shown_and_exported(deleted, in_trash, tmp_path):
    assert [entry["id"] for entry in listed(in_trash)] == list(deleted)
    assert all(entry["deleted"] for entry in listed(in_trash))
    (first, second), lines = deleted, in_trash("list").out.splitlines()
    assert [first in lines[0], second in lines[1]] == [True, True]
    shown = in_trash("show", first).out
    assert listed(in_trash)[0]["files"]["audio.mp3"]["sha256"] in shown
    done = in_trash("export", first, tmp_path / "out")
    (place,) = (tmp_path / "out").iterdir()
    assert (done.status, done.out) == (0, f"{place}\n")
    assert next(place.glob("audio.[!s]*")).read_bytes() == deleted[first]
    assert in_trash("export", first, tmp_path / "out").status == 78
    assert len(listed(in_trash)) == 2


def test_damage_is_told_when_it_comes_out(deleted, in_trash, tmp_path):
    for audio in (tmp_path / "trash").glob("*/audio.[!s]*"):
        audio.write_bytes(b"x")
    done = in_trash("export", next(iter(deleted)), tmp_path / "out")
    assert (done.status, "SHA-256" in done.line) == (65, True)


def test_it_is_emptied_of_what_is_old_enough(deleted, in_trash):
    assert in_trash("empty", "--older-than", "1d").out.startswith("0 items removed")
    assert len(listed(in_trash)) == 2
    assert in_trash("empty").out.splitlines()[-1].startswith("2 items removed")
    assert in_trash("list").out == ""


def test_the_name_that_is_listed_is_understood(deleted, in_trash, tmp_path):
    name = in_trash("list").out.split()[4]
    assert listed(in_trash)[0]["name"] == name
    assert f" {name}\n" in in_trash("show", name).out
    assert in_trash("export", name, tmp_path / "out").out == f"{tmp_path}/out/{name}\n"


def test_on_a_terminal_it_asks_before_it_is_emptied(deleted, in_trash, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    done = in_trash("empty")
    assert done.status == 1
    assert "nothing is removed" in done.err
    assert "Remove 2 items, " in done.out
    assert len(listed(in_trash)) == 2
    monkeypatch.setattr("sys.stdin", Terminal(""))
    assert in_trash("empty", "--yes").out.splitlines()[-1].startswith("2 items removed")


def test_what_is_not_there_is_said_in_a_line(in_trash):
    assert in_trash("list").out == ""
    for command in (("show", "x"), ("export", "x", "out")):
        done = in_trash(*command)
        assert (done.status, "x is not in the trash" in done.line) == (2, True)
    assert in_trash("empty", "--older-than", "soon").status == 2


def test_an_item_whose_audio_can_not_be_had_is_deleted_without_the_trash_alone(
    simulator, tmp_path, binding
):
    simulator.faults.add(Fault("/audio", "status", status=404))
    for arguments, status, left in (((), 1, 60), (("--no-trash",), 0, 59)):
        with mounted(simulator, tmp_path, binding, *arguments, may_log="404") as mount:
            done = subprocess.run(["rm", "-rf", mount.items()[0]], capture_output=True, text=True)
            assert (done.returncode, "Input/output error" in done.stderr) == (status, status == 1)
            assert len(mount.items()) == len(simulator.library) == left
    assert not (tmp_path / "trash").exists() or list((tmp_path / "trash").iterdir()) == []
