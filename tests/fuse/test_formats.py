"""Clips whose content type is wrong: their file names, and programs that stat before they read."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from histfs.fuse.reported_sizes import TIMEOUT
from histfs.simulator import Fault, Simulator, SimulatorSettings
from histfs.trash import Trash
from tests.support.eventually import eventually
from tests.support.mounts import Mount, id_of, mounted

pytestmark = pytest.mark.fuse

AUDIO = "GET /v1/history/{id}/audio"
DELETE = "DELETE /v1/history/{id}"


@pytest.fixture
def untold() -> Iterator[Simulator]:
    with Simulator(SimulatorSettings(items=12, formats="untold")) as simulator:
        yield simulator


def rsync(source: Path, target: Path) -> list[str]:
    """Copy as a backup does, and return the lines of rsync about changes."""
    time.sleep(1.1 * TIMEOUT)  # the kernel caches the sizes from before the last copy
    command = ["rsync", "-aiHO", "--delete", f"{source}/", target]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def extension(item: Path) -> str:
    (audio,) = item.glob("audio.[!s]*")
    return audio.suffix


def signature(simulator: Simulator, item: Path) -> str:
    """Return the extension that a clip's bytes call for."""
    content = bytes(simulator.library.clip(id_of(item)))
    return {b"OggS": ".opus", b"RIFF": ".wav"}.get(content[:4], ".mp3")


def first(mount: Mount, simulator: Simulator, suffix: str) -> Path:
    return next(item for item in mount.items() if signature(simulator, item) == suffix)


def test_names_follow_the_output_format_before_anything_is_fetched(tmp_path, binding):
    with (
        Simulator(SimulatorSettings(items=12, formats="told")) as simulator,
        mounted(simulator, tmp_path, binding) as mount,
    ):
        for item in mount.items():
            output_format = simulator.library.item(id_of(item))["output_format"]
            assert extension(item) == f".{str(output_format).partition('_')[0]}"
        assert simulator.counts[AUDIO] == 0
        before = sorted(mount.audio())
        for audio in before:
            assert audio.read_bytes() == bytes(simulator.library.clip(id_of(audio.parent)))
        assert sorted(mount.audio()) == before


@pytest.mark.parametrize("placement", ["links", "dir"])
def test_a_backup_is_whole_renamed_once_and_then_silent(untold, tmp_path, binding, placement):
    arguments = ("-o", f"placement={placement}")
    copy = tmp_path / "copy"
    with mounted(untold, tmp_path, binding, *arguments) as mount:
        items = mount.items()
        assert {extension(item) for item in items} == {".mp3"}
        inodes = {item.name: (item / "audio.mp3").stat().st_ino for item in items}
        rsync(mount.path, copy)
        for item in items:
            home = copy / item.relative_to(mount.path)
            (audio,) = home.glob("audio.[!s]*")
            assert audio.read_bytes() == bytes(untold.library.clip(id_of(item)))
            assert extension(item) == signature(untold, item)
        second = rsync(mount.path, copy)
        assert rsync(mount.path, copy) == []
        names = {path.name for path in copy.rglob("audio.[!s]*")}
        assert names == {"audio.mp3", "audio.opus", "audio.wav"}
        deleted = [line for line in second if line.startswith("*deleting")]
        if placement == "links":
            renamed = [item for item in items if signature(untold, item) != ".mp3"]
            assert len(deleted) == len(renamed) > 0
        assert untold.counts[AUDIO] == len(items)
    with mounted(untold, tmp_path, binding, *arguments) as mount:
        for item in mount.items():
            assert extension(item) == signature(untold, item)
            assert next(item.glob("audio.[!s]*")).stat().st_ino == inodes[item.name]
        assert rsync(mount.path, copy) == []
        assert untold.counts[AUDIO] == len(items)


def test_what_was_listed_under_the_former_name_is_read_to_its_end(untold, tmp_path, binding):
    with mounted(untold, tmp_path, binding) as mount:
        item = first(mount, untold, ".opus")
        former, content = item / "audio.mp3", bytes(untold.library.clip(id_of(item)))
        with former.open("rb") as file:
            assert file.read(10) == content[:10]
            assert {*os.listdir(item)} - {"audio.srt"} == {"meta.json", "text.txt", "audio.opus"}
            assert former.read_bytes() == (item / "audio.opus").read_bytes() == content
            one, other = former.stat(), (item / "audio.opus").stat()
            assert (one.st_ino, one.st_size) == (other.st_ino, other.st_size)
            assert file.read() == content[10:]
        assert untold.counts[AUDIO] == 1


@pytest.mark.parametrize("name", ["audio.mp3", "audio.opus"])
def test_either_name_deletes_the_item_once_and_the_trash_has_the_right_one(
    untold, tmp_path, binding, name
):
    with mounted(untold, tmp_path, binding) as mount:
        item = first(mount, untold, ".opus")
        content = (item / "audio.mp3").read_bytes()
        (item / name).unlink()
        with pytest.raises(FileNotFoundError):
            (item / "audio.mp3").unlink()
        assert untold.counts[DELETE] == 1
    (stored,) = Trash(tmp_path / "trash").items()
    assert (stored.path / "audio.opus").read_bytes() == content
    assert "audio.mp3" not in stored.entry.files


def test_an_item_is_removed_whose_audio_is_renamed_by_that(untold, tmp_path, binding):
    with mounted(untold, tmp_path, binding) as mount:
        items = mount.items()
        for item in items:
            # rm reads the directory first, and its unlink of the audio fetches for the trash.
            subprocess.run(["rm", "-r", item], check=True)
        assert untold.counts[DELETE] == len(items)
        eventually(lambda: mount.items() == [])
    kept = {path.name for path in (tmp_path / "trash").rglob("audio.[!s]*")}
    assert kept == {"audio.mp3", "audio.opus", "audio.wav"}


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with its length"])
def test_an_answer_that_is_labelled_as_audio_and_is_none_is_no_clip(
    simulator, tmp_path, binding, chunked
):
    json = {"detail": {"status": "quota_exceeded"}}
    bodies = (None, json, "<html><p>Sign in", "Service Unavailable\n")
    simulator.chunked = chunked
    with mounted(simulator, tmp_path, binding) as mount:
        items = mount.items()[: len(bodies)]
        for number, (item, body) in enumerate(zip(items, bodies, strict=True), 1):
            simulator.faults.add(Fault("/audio", "disguise", body=body))
            audio = next(item.glob("audio.[!s]*"))
            for call in (audio.read_bytes, audio.unlink):
                with pytest.raises(OSError) as caught:
                    call()
                assert errno.errorcode[caught.value.errno] == "EIO"
            assert mount.log.read_text().count("not audio but") >= number
            simulator.faults.clear()
        assert simulator.counts[DELETE] == 0
        assert not list((tmp_path / "cache").rglob("audio/*/*"))
        for item in items:
            audio = next(item.glob("audio.[!s]*"))
            assert audio.read_bytes() == bytes(simulator.library.clip(id_of(item)))
