"""The calls of programs that remove (tests/support/removers.py), on a tree in memory."""

from __future__ import annotations

import pytest

from histfs.core.errors import HistfsError, Unreachable
from tests.core.conftest import World
from tests.support.memory import record
from tests.support.removers import PROGRAMS, Trace

DAY = 86_400
MOMENT = 1_714_650_306
IDS = ["one", "two", "three", "four"]
FILES = ["meta.json", "text.txt", "audio.mp3"]


class WorldDirectory:
    """The tree of a world, as a trace calls it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.names, self.unlink, self.rmdir = world.names, world.unlink, world.rmdir

    def is_dir(self, path: str) -> bool:
        return self._world.stat(path).kind == 0o040000


@pytest.fixture(params=PROGRAMS)
def remove(request):
    """The trace of each program in turn: it removes a path, and says whether all has gone."""

    def remove(world: World, path: str) -> bool:
        return PROGRAMS[request.param](Trace(WorldDirectory(world), HistfsError), path)

    return remove


@pytest.fixture
def make(make_world):
    """Make a world of four items: two of one day, two voices."""

    def make(**more) -> World:
        dates = (MOMENT, MOMENT + 1, MOMENT + DAY, MOMENT + 40 * DAY)
        voices = ("rachel", "adam", "rachel", "adam")
        return make_world(
            *(
                record(key, date, voice=voice, voice_name=voice.title())
                for key, date, voice in zip(IDS, dates, voices, strict=True)
            ),
            **more,
        )

    return make


def shown(world: World) -> list[set[str]]:
    """Return the ids of the items in each view; an item in which a file is missing fails."""
    items = [set(), set()]
    for found, view in zip(items, ("/by-date", "/by-voice"), strict=True):
        for path in world.walk(view):
            name = path.rpartition("/")[2]
            if (item := name.rpartition("_")[2]) in IDS:
                found.add(item)
                if world.stat(path).kind == 0o040000:
                    assert world.names(path) == FILES
    return items


def deleted(world: World) -> list[str]:
    return [call.argument for call in world.source.calls if call.method == "delete"]


def item_path(world: World, item_id: str) -> str:
    return next(path for path in world.walk("/by-date") if path.endswith(f"_{item_id}"))


@pytest.mark.parametrize("path", ["/by-date/2024", "/by-date/2024/05", "/by-date/2024/05/02"])
def test_a_directory_goes_with_one_delete_an_item_of_which_a_copy_was_kept(make, remove, path):
    world = make()
    doomed = {below.rpartition("_")[2] for below in world.walk(path)} & set(IDS)
    assert remove(world, path)
    assert sorted(deleted(world)) == sorted(doomed)
    assert shown(world) == [set(IDS) - doomed] * 2
    for item in doomed:
        done = [name for name, kept in world.archive.calls if kept == item]
        assert done == ["prepare", "keep", "deleted"]


def test_when_a_delete_fails_the_rest_is_left_complete_and_goes_the_next_time(make, remove):
    world = make()
    delete, failing = world.source.delete, ["three"]

    def sometimes(item_id: str) -> None:
        if item_id in failing:
            failing.remove(item_id)
            raise Unreachable("down")
        delete(item_id)

    world.source.delete = sometimes
    assert not remove(world, "/by-date/2024")
    left = set(IDS) - set(deleted(world))
    assert "three" in left
    assert shown(world) == [left] * 2
    assert world.read(f"{item_path(world, 'three')}/audio.mp3") == b"audio of three"
    assert remove(world, "/by-date/2024")
    assert sorted(deleted(world)) == sorted(IDS)
    assert shown(world) == [set(), set()]


def test_a_voice_goes_where_views_hold_directories(make, remove):
    world = make(links=False)
    assert remove(world, "/by-voice/Rachel")
    assert sorted(deleted(world)) == ["one", "three"]
    assert world.names("/by-voice") == ["Adam"]
    assert shown(world) == [{"two", "four"}] * 2


def test_an_item_whose_audio_can_not_be_fetched_can_not_be_deleted(make, remove):
    world = make()
    world.archive.errors["prepare"] = Unreachable("cut")
    assert not remove(world, item_path(world, "one"))
    assert deleted(world) == []
    assert "keep" not in [name for name, _ in world.archive.calls]
    assert shown(world) == [set(IDS)] * 2
