"""A hostile library on real mounts: it is listed, copied and deleted like any other."""

from __future__ import annotations

import errno
import os
import subprocess
from urllib.parse import unquote

import pytest

from histfs.core.names import key_of
from histfs.simulator import Simulator, SimulatorSettings
from histfs.trash import Trash
from tests.support.mounts import command, id_of, mounted

pytestmark = pytest.mark.fuse

VIEWS = ("by-date", "by-voice", "by-source")
IDS = [
    "../../x", "/etc/passwd", "a/b", "a%2Fb", "a%252Fb", "%-" + "0" * 64, "-rf", ".histfs", "...",
    "a\nb", "\x1b]0;owned\x07", "\x9b31m", "\u202egpj", "\u200b", "é", "e\u0301", "A", "a", "CON",
    "x" * 300, "é" * 100, "a?b#c", "a b", "\0",
]  # fmt: skip
#: For a voice's id and name, a source and a text: each id is one in turn, too.
FIELDS = ("voice_id", "voice_name", "source", "text", "output_format", "a_field_of_tomorrow")


@pytest.fixture
def simulator():
    with Simulator(SimulatorSettings(items=3, days=2)) as running:
        for number, item_id in enumerate(IDS):
            odd = {name: IDS[(number + n) % len(IDS)] for n, name in enumerate(FIELDS)}
            running.library.add(ids=[item_id], fields=odd)
        yield running


def listed(mount, view):
    return sorted(id_of(item) for item in mount.items(view))


def output_of(*words, **options):
    """Return the output of a command, which must be printable."""
    done = subprocess.run(command(*words), capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == 0, done.stderr
    assert_printable(done.stdout + done.stderr)
    return done.stdout


def assert_printable(text):
    assert [line for line in text.splitlines() if not line.isprintable()] == []


def test_it_is_listed_copied_and_deleted_and_nothing_lies_elsewhere(simulator, tmp_path, binding):
    clips = {key_of(i): bytes(simulator.library.clip(i)) for i in simulator.library.ids()}
    ids = set(simulator.library.ids())
    place = tmp_path / "deep" / "down"
    with mounted(simulator, place, binding) as mount:
        for view in VIEWS:
            assert listed(mount, view) == sorted(clips)
        assert_printable("\n".join(map(str, mount.path.rglob("*"))))
        line = ["rsync", "-a", f"{mount.path}/", place / "backup"]
        assert subprocess.run(line, timeout=60).returncode == 0
        copies = {
            id_of(audio.parent): audio.read_bytes()
            for audio in place.glob("backup/by-date/*/*/*/*/audio.[!s]*")
        }
        assert copies == clips
        for link in place.glob("backup/by-*/*/*"):
            assert link.resolve().is_relative_to(place / "backup" / "by-date")
        output_of("status", mount.path)
        for year in (mount.path / "by-date").iterdir():
            assert subprocess.run(["rm", "-r", year], timeout=60).returncode == 0
        assert [listed(mount, view) for view in VIEWS] == [[], [], []]
    log = simulator.counts.log
    asked = [r.target.removeprefix("/v1/history/") for r in log if r.method == "DELETE"]
    assert sorted(map(unquote, asked)) == sorted(ids)
    assert len(simulator.library) == 0
    kept = output_of("trash", "list", "--trash", place / "trash").splitlines()
    assert len(kept) == len(ids) == len(os.listdir(place / "trash"))
    trash = Trash(place / "trash")
    for stored in trash.items():
        trash.export(stored, place / "exported")
    assert len(os.listdir(place / "exported")) == len(ids)
    assert_printable(mount.log.read_text())
    assert set(os.listdir(place)) == {"mnt", "cache", "log", "trash", "backup", "exported"}
    assert os.listdir(tmp_path) == ["deep"]
    assert os.listdir(tmp_path / "deep") == ["down"]


@pytest.mark.parametrize(
    ("item_id", "fields"),
    [("..", {}), (".", {}), ("plain", {"content_type": "text/\x1b[31m"})],
    ids=["dots", "dot", "media type"],
)
def test_what_can_not_be_asked_for_stays_and_says_so_on_one_printable_line(
    tmp_path, binding, item_id, fields
):
    with Simulator(SimulatorSettings(items=2)) as simulator:
        simulator.library.add(ids=[item_id], fields=fields)
        with mounted(simulator, tmp_path, binding) as mount:
            before = listed(mount, "by-date")
            item = next(i for i in mount.items() if i.name.endswith(f"_{key_of(item_id)}"))
            audio = next(item.glob("audio.[!s]*"))
            with pytest.raises(OSError) as caught:
                audio.read_bytes()
            assert caught.value.errno == errno.EIO
            assert (item / "meta.json").read_bytes()
            assert subprocess.run(["rm", "-r", item], capture_output=True).returncode == 1
            assert [listed(mount, view) for view in VIEWS] == [before] * 3
        assert [r for r in simulator.counts.log if r.method == "DELETE"] == []
        assert "WARNING" in mount.log.read_text()
        assert_printable(mount.log.read_text())
