"""Clips that are read again and compared, and what is no clip."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from histfs.audio import verification as module
from histfs.audio.verification import CheckOutcome, verify
from histfs.core.errors import CacheFailed
from histfs.core.sizes import Fingerprint
from histfs.core.waiting import Waiter
from tests.audio.conftest import TIMEOUT, World


def path_of(world: World, key: str = "a") -> Path:
    (path,) = (world.disk.root / "audio").glob(f"*/{key}")
    return path


def known(world: World):
    """Tell what the store has asked the catalog to keep."""

    def fingerprint(key):
        if key not in world.sizes:
            return None
        return Fingerprint(world.sizes[key], world.checksums[key])

    return fingerprint


def verified(world: World) -> dict[str, tuple[CheckOutcome, str]]:
    return {name: (kind, why) for name, kind, why in verify(world.disk, known(world))}


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    os.truncate(path, 4)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def test_clips_are_sound_and_not_used_by_being_verified(world):
    for name in "abc":
        world.read(world.item(name))
    before = {path.name: path.stat().st_mtime_ns for path in world.disk.entries()}
    assert verified(world) == dict.fromkeys("abc", (CheckOutcome.SOUND, ""))
    assert {path.name: path.stat().st_mtime_ns for path in world.disk.entries()} == before
    assert world.fetched == 3


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: flip(path, 0), "SHA-256"),
        (lambda path: flip(path, -1), "SHA-256"),
        (cut, "4 bytes, not 10"),
        (empty, "empty"),
    ],
    ids=["first byte", "last byte", "cut", "empty"],
)
@pytest.mark.parametrize("chunk", [4, 1 << 20])
def test_a_damaged_clip_is_removed_and_fetched_again(
    world, monkeypatch, caplog, damage, said, chunk
):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    for name in "ab":
        world.read(world.item(name))
    damage(path_of(world))
    found = verified(world)
    assert found["b"] == (CheckOutcome.SOUND, "")
    kind, why = found["a"]
    assert kind is CheckOutcome.DAMAGED
    assert said in why
    assert said in caplog.text
    assert world.kept() == {"b"}
    assert world.read(world.item()) == b"audio\0of a"
    assert verified(world) == dict.fromkeys("ab", (CheckOutcome.SOUND, ""))
    assert world.fetched == 3


def test_who_has_a_damaged_clip_open_can_read_on(world):
    world.read(world.item())
    file = world.store.open(world.item(), Waiter(TIMEOUT))
    flip(path_of(world), 0)
    verified(world)
    assert world.kept() == set()
    assert file.read(1, 9, Waiter(TIMEOUT)) == b"udio\0of a"


@pytest.mark.parametrize("size", [None, 10])
def test_a_clip_without_a_checksum_is_left_alone(world, size):
    world.read(world.item())
    path_of(world).write_bytes(b"AUDIO\0OF A")
    if size is None:
        world.sizes.clear()
    else:
        world.checksums["a"] = None
    assert verified(world) == {"a": (CheckOutcome.UNKNOWN, "")}
    assert world.kept() == {"a"}


def test_a_clip_without_a_checksum_has_a_size_to_compare(world):
    world.read(world.item())
    world.checksums["a"] = None
    cut(path_of(world))
    assert verified(world)["a"][0] is CheckOutcome.DAMAGED


def test_a_clip_that_the_server_changed_is_the_new_one(world):
    world.read(world.item())
    world.disk.remove("a")
    world.source.clips["a"] = b"AUDIO\0OF A"
    assert world.read(world.item()) == b"AUDIO\0OF A"
    assert verified(world) == {"a": (CheckOutcome.SOUND, "")}


def test_a_clip_that_is_replaced_while_it_is_verified_is_looked_at_again(world):
    world.read(world.item())
    flip(path_of(world), 0)
    tell = known(world)

    def meanwhile(key):
        if world.fetched == 1:
            world.disk.remove(key)
            world.source.clips["a"] = b"AUDIO\0OF A"
            world.read(world.item())
        return tell(key)

    (result,) = verify(world.disk, meanwhile)
    assert result.kind is CheckOutcome.SOUND
    assert world.kept() == {"a"}


def test_a_clip_that_goes_while_it_is_verified_is_passed_over(world):
    for name in "ab":
        world.read(world.item(name))
    first, second = (path.name for path in world.disk.entries())
    tell = known(world)

    def meanwhile(key):
        world.disk.remove(second)
        return tell(key)

    assert [result.name for result in verify(world.disk, meanwhile)] == [first]


def test_a_file_that_the_disk_does_not_give_is_damaged(world, monkeypatch):
    world.read(world.item())

    def broken(number, size):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", broken)
        found = verified(world)
    assert found == {"a": (CheckOutcome.DAMAGED, "it can't be read: Input/output error")}
    assert world.read(world.item()) == b"audio\0of a"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["directory", "fifo"])
def test_what_is_no_file_in_a_clips_place_is_told_and_left_alone(world, make):
    world.read(world.item())
    path = path_of(world)
    path.unlink()
    make(path)
    assert verified(world) == {"a": (CheckOutcome.UNREADABLE, "it is not a file")}
    assert path.exists()


def test_a_clip_that_may_not_be_read_is_told_and_left_alone(world, bound_by_modes):
    world.read(world.item())
    path_of(world).chmod(0)
    assert verified(world) == {
        "a": (CheckOutcome.UNREADABLE, "it can't be opened: Permission denied")
    }
    assert world.kept() == {"a"}


def test_a_damaged_clip_that_can_not_be_removed_says_so(world, bound_by_modes):
    world.read(world.item())
    path = path_of(world)
    flip(path, 0)
    path.parent.chmod(0o500)
    try:
        kind, why = verified(world)["a"]
    finally:
        path.parent.chmod(0o700)
    assert kind is CheckOutcome.DAMAGED
    assert "can't be written: Permission denied" in why


def test_a_directory_that_may_not_be_read_is_an_error_of_the_cache(world, bound_by_modes):
    world.read(world.item())
    path = path_of(world)
    path.parent.chmod(0)
    try:
        with pytest.raises(CacheFailed, match="Permission denied"):
            verified(world)
    finally:
        path.parent.chmod(0o700)


def test_what_is_in_no_clips_place_is_told_and_left_alone(world):
    world.read(world.item())
    directory = path_of(world).parent
    others = [
        directory.parent / "stray", directory / os.fsdecode(b"\xff\n\x1b[2J"), directory / "ключ",
        directory.parent / "zz" / "a",
    ]  # fmt: skip
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    found = verified(world)
    assert found.pop("a") == (CheckOutcome.SOUND, "")
    assert set(found) == {str(path.relative_to(world.disk.root)) for path in others}
    assert {kind for kind, _ in found.values()} == {CheckOutcome.FOREIGN}
    assert all(path.exists() for path in others)
