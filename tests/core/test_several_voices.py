"""An item with several voices in the tree."""

from __future__ import annotations

import posixpath
import stat

import pytest

from histfs.core.deletion import TOMBSTONE_TTL
from histfs.core.errors import DirectoryNotEmpty, NoSuchPath, NotPermitted
from histfs.core.views import ByDate, BySource, ByVoice
from histfs.core.waiting import Waiter
from tests.core.conftest import World
from tests.support.memory import Call, record

MOMENT = 1_714_650_306
TALK = "2024-05-02T11-45-06_hello-world_talk"
SOLO = "2024-05-02T11-45-07_hello-world_solo"
HOME = f"/by-date/2024/05/02/{TALK}"
BEN, ANN = f"/by-voice/Ben/{TALK}", f"/by-voice/Ann/{TALK}"
BY_DATE, BY_VOICE = (ByDate, ByVoice), (ByVoice, BySource)


@pytest.fixture
def records():
    return [
        record("talk", MOMENT, voice=("ben", "ann")),
        record("solo", MOMENT + 1, voice=("ann",)),
    ]


@pytest.fixture(params=[BY_DATE, BY_VOICE], ids=["home by date", "home by voice"])
def views(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["links", "dir"])
def either(make_world, records, views, request) -> World:
    return make_world(*records, links=request.param, views=views)


@pytest.fixture
def by_voice(make_world, records) -> World:
    """Items have their home under the first voice."""
    return make_world(*records, views=BY_VOICE)


def kind(world: World, path: str) -> int:
    return world.stat(path).kind


def resolved(world: World, path: str) -> str:
    return posixpath.normpath(
        posixpath.join(posixpath.dirname(path), world.tree.readlink(path, Waiter(5)))
    )


def test_it_is_listed_under_each_of_its_voices(either):
    assert either.names("/by-voice") == ["Ann", "Ben"]
    assert either.names("/by-voice/Ben") == [TALK]
    assert either.names("/by-voice/Ann") == [TALK, SOLO]


def test_listings_and_paths_agree_and_no_two_directories_share_an_inode(either):
    seen = {}
    for path in either.walk("/by-voice"):
        for entry in either.tree.listdir(posixpath.dirname(path), Waiter(5)):
            if entry.name == posixpath.basename(path):
                attributes = either.stat(path)
                assert (attributes.kind, attributes.inode) == (entry.kind, entry.inode), path
                seen[path] = entry
    others = [entry.inode for entry in seen.values() if entry.kind != stat.S_IFREG]
    assert len(set(others)) == len(others)


def test_where_items_live_by_date_each_voice_has_a_link(make_world, records):
    world = make_world(*records)
    assert resolved(world, BEN) == resolved(world, ANN) == HOME


def test_where_items_live_by_voice_the_first_voice_has_it_and_the_others_link_there(by_voice):
    assert kind(by_voice, BEN) == stat.S_IFDIR
    assert resolved(by_voice, ANN) == resolved(by_voice, f"/by-source/TTS/{TALK}") == BEN
    assert by_voice.tree.readlink(ANN, Waiter(5)) == f"../Ben/{TALK}"
    assert kind(by_voice, f"/by-voice/Ann/{SOLO}") == stat.S_IFDIR
    assert by_voice.stat(f"{BEN}/text.txt").links == 1


def test_with_placement_dir_its_files_count_each_directory(make_world, records):
    world = make_world(*records, links=False)
    paths = [f"{where}/text.txt" for where in (HOME, BEN, ANN)]
    assert len({world.stat(path).inode for path in paths}) == 1
    assert [world.stat(path).links for path in paths] == [3] * 3
    assert world.stat(f"/by-voice/Ann/{SOLO}/text.txt").links == 2


@pytest.mark.parametrize("where", [HOME, BEN, ANN])
def test_with_placement_dir_it_goes_from_everywhere_with_one_delete(make_world, records, where):
    world = make_world(*records, links=False)
    for name in world.names(where):
        world.unlink(f"{where}/{name}")
    world.rmdir(where)
    assert world.source.calls == [Call("delete", "talk")]
    assert world.names("/by-voice") == ["Ann"]
    assert world.names("/by-voice/Ann") == [SOLO]
    for path in (HOME, BEN, ANN):
        with pytest.raises(NoSuchPath):
            world.stat(path)
    world.rmdir("/by-voice/Ben")


def test_where_it_lives_by_voice_it_is_deleted_at_home_and_its_links_go_at_once(by_voice):
    with pytest.raises(NotPermitted):
        by_voice.unlink(ANN)
    by_voice.unlink(f"{BEN}/audio.mp3")
    with pytest.raises(NoSuchPath):
        by_voice.stat(ANN)
    assert by_voice.names(BEN) == ["meta.json", "text.txt"]
    for name in by_voice.names(BEN):
        by_voice.unlink(f"{BEN}/{name}")
    by_voice.rmdir(BEN)
    by_voice.rmdir("/by-voice/Ben")
    assert by_voice.source.calls == [Call("delete", "talk")]


def test_directories_of_all_its_voices_stay_until_they_are_removed(make_world):
    world = make_world(record("talk", MOMENT, voice=("ben", "ann")), links=False)
    world.unlink(f"{HOME}/audio.mp3")
    for voice in ("Ben", "Ann"):
        assert world.names(f"/by-voice/{voice}") == []
        world.rmdir(f"/by-voice/{voice}")


def test_a_directory_of_links_is_not_empty(by_voice):
    with pytest.raises(DirectoryNotEmpty):
        by_voice.rmdir("/by-voice/Ann")


def test_a_tombstone_expires(by_voice):
    by_voice.unlink(f"{BEN}/audio.mp3")
    by_voice.clock.now += TOMBSTONE_TTL + 1
    with pytest.raises(NoSuchPath):
        by_voice.stat(BEN)
