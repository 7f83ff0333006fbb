"""``listen``: real files with readable names, whose bytes and inodes are those of the items."""

from __future__ import annotations

import stat

import pytest

from histfs.core.errors import (
    IsADirectory,
    NameTooLong,
    NoSuchPath,
    NotADirectory,
    NotALink,
    NotPermitted,
    Unreachable,
)
from histfs.core.listen.contents import STEADY
from histfs.core.times import ALWAYS
from histfs.core.waiting import Waiter
from tests.core.listen.conftest import BORN
from tests.support.memory import record

MOMENT = 1_714_650_306  # 2024-05-02T11:45:06Z
MONTH = 31 * 86_400
HOME = "/by-date/2024/05/02/2024-05-02T11-45-06_hello-world_one"
STEM = "2024-05-02 11.45 Hello world"
CLIP = f"/listen/by-voice/Rachel/{STEM}.mp3"
PLAYLIST = "/listen/by-voice/Rachel/playlist.m3u8"

ONE = record("one", MOMENT, "Hello world")
TALK = record("talk", MOMENT + MONTH, "Good day", voice=("ben", "ann"))
WAV = record("wav", MOMENT + 5, "Good morning", content_type="audio/wav")


def test_each_clip_is_a_file_by_its_first_voice_and_by_its_month_with_what_stands_beside_it(
    listened,
):
    world = listened(ONE, TALK, WAV)
    assert world.ls("/") == ["by-date"]
    assert world.ls("/listen") == ["by-voice", "by-date"]
    assert world.ls("/listen/by-voice") == ["Ben", "Rachel"]
    assert world.ls("/listen/by-date") == ["2024-05", "2024-06"]
    morning = "2024-05-02 11.45 Good morning"
    files = [f"{STEM}.srt", f"{STEM}.mp3", f"{morning}.srt", f"{morning}.wav", "playlist.m3u8"]
    assert world.ls("/listen/by-voice/Rachel") == files
    assert world.ls("/listen/by-date/2024-05") == files


def test_the_order_of_a_listing_is_noted_for_read_ahead(listened):
    early = record("early", MOMENT - 1, "Zebra")
    world = listened(ONE, early)
    world.ls("/listen/by-voice")
    assert world.listed.holding("one", 9) == []
    for _ in range(2):  # anew, and from the cache
        world.ls("/listen/by-voice/Rachel")
        (noted,) = world.listed.holding("one", 9)
        assert [item.key for item in noted.directory.listed] == ["early", "one"]
        assert [item.key for item in noted.directory.by_name] == ["one", "early"]


def test_listed_and_looked_up_agree(listened):
    world = listened(ONE, TALK, WAV)
    for folder in (
        "/listen",
        "/listen/by-voice",
        "/listen/by-voice/Rachel",
        "/listen/by-date/2024-06",
    ):
        for entry in world.root.listdir(folder, Waiter(5)):
            attributes = world.stat(f"{folder}/{entry.name}")
            assert (attributes.kind, attributes.inode) == (entry.kind, entry.inode)


def test_a_clip_is_the_file_at_home_by_another_name(listened):
    world = listened(ONE)
    for here, home in ((CLIP, f"{HOME}/audio.mp3"), (f"{CLIP[:-3]}srt", f"{HOME}/audio.srt")):
        assert world.stat(here) == world.stat(home)._replace(is_lasting=False)
        assert world.read(here) == world.read(home)
        assert world.stat(here) == world.stat(home)._replace(is_lasting=False)
    assert world.stat(CLIP).links == 3
    assert world.audio.opened == ["one", "one"]


def test_looking_opens_no_clip(listened):
    world = listened(ONE, TALK)
    for path in (CLIP, PLAYLIST, "/listen/by-voice", "/listen/by-voice/Rachel", "/listen"):
        world.stat(path)
    world.read(PLAYLIST)
    assert world.audio.opened == []


def test_a_playlist_has_the_clips_of_its_folder_and_how_long_they_are_once_that_is_known(listened):
    world = listened(ONE, record("two", MOMENT + 60, "Bye"))
    unknown = "#EXTM3U\n#EXTINF:-1,Rachel - Hello world\n2024-05-02 11.45 Hello world.mp3\n"
    bye = "#EXTINF:-1,Rachel - Bye\n2024-05-02 11.46 Bye.mp3\n"
    assert world.read(PLAYLIST).decode() == unknown + bye
    assert world.stat(PLAYLIST).mtime == MOMENT + 60
    world.audio.clips["one"] = bytes(64_000)
    world.read(CLIP)
    assert world.read(PLAYLIST).decode() == unknown + bye  # its size was shown a moment ago
    world.clock.now += STEADY
    assert world.read(PLAYLIST).decode() == unknown.replace("-1", "4") + bye
    assert world.stat(PLAYLIST).size == len(world.read(PLAYLIST))


def test_a_playlist_takes_the_time_that_the_item_tells(listened):
    world = listened(ONE, seconds=12.4)
    assert b"#EXTINF:12,Rachel - Hello world\n" in world.read(PLAYLIST)
    assert b"#EXTINF:1," in listened(ONE, seconds=0.2).read(PLAYLIST)


def test_what_is_deleted_at_home_is_gone_and_what_is_new_is_there(listened):
    world = listened(ONE, WAV)
    assert world.read(CLIP)
    world.root.unlink(f"{HOME}/audio.mp3", Waiter(5))
    with pytest.raises(NoSuchPath):
        world.stat(CLIP)
    assert not [name for name in world.ls("/listen/by-voice/Rachel") if STEM in name]
    assert STEM.encode() not in world.read(PLAYLIST)
    world.index.arriving.append(record("new", MOMENT + 60, "Brand new"))
    assert world.read("/listen/by-voice/Rachel/2024-05-02 11.46 Brand new.mp3")
    world.index.discard("wav")
    world.index.discard("new")
    with pytest.raises(NoSuchPath):
        world.stat("/listen/by-voice/Rachel")
    assert world.ls("/listen/by-voice") == []


def test_nothing_can_be_removed(listened):
    world = listened(ONE)
    for path in ("/listen", "/listen/by-voice", "/listen/by-voice/Rachel"):
        with pytest.raises(NotPermitted):
            world.root.rmdir(path, Waiter(5))
        with pytest.raises(IsADirectory):
            world.root.delete(path, Waiter(5))
    for path in (CLIP, f"{CLIP[:-3]}srt", PLAYLIST):
        with pytest.raises(NotPermitted):
            world.root.unlink(path, Waiter(5))
        with pytest.raises(NotPermitted):
            world.root.delete(path, Waiter(5))
        with pytest.raises(NotADirectory):
            world.root.rmdir(path, Waiter(5))
    assert world.read(CLIP)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/listen/by-voice/Rachel/cover.jpg", NoSuchPath),
        (f"/listen/by-voice/Rachel/{STEM}.ogg", NoSuchPath),
        (f"/listen/by-voice/Rachel/{STEM}", NoSuchPath),
        (f"/listen/by-date/2024-06/{STEM}.mp3", NoSuchPath),
        ("/listen/by-date/2024-04", NoSuchPath),
        ("/listen/by-date/2024-13", NoSuchPath),
        ("/listen/by-date/2024-5", NoSuchPath),
        ("/listen/by-voice/Adam", NoSuchPath),
        ("/listen/other", NoSuchPath),
        (f"{CLIP}/x", NotADirectory),
        (f"{PLAYLIST}/x", NotADirectory),
        (f"/listen/by-voice/{'x' * 256}", NameTooLong),
    ],
)
def test_a_path_that_nothing_has(listened, path, error):
    with pytest.raises(error):
        listened(ONE).stat(path)


def test_there_are_no_links_and_files_are_no_directories(listened):
    world = listened(ONE)
    for path in ("/listen/by-voice", CLIP, PLAYLIST):
        with pytest.raises(NotALink):
            world.root.readlink(path, Waiter(5))
    with pytest.raises(NotADirectory):
        world.ls(CLIP)
    with pytest.raises(IsADirectory):
        world.root.open("/listen/by-voice/Rachel", Waiter(5))


def test_a_clip_leads_to_its_item(listened):
    world = listened(ONE)
    item, facets = world.root.item(CLIP, Waiter(5))
    assert (item.key, facets["voice"][0].label) == ("one", "Rachel")
    assert world.root.item(PLAYLIST, Waiter(5)) is None


def test_audio_of_another_format_than_declared_has_both_names(listened):
    world = listened(ONE)
    world.audio.clips["one"] = b"RIFF\x24\0\0\0WAVEfmt "
    assert world.read(CLIP) == world.read(f"{CLIP[:-3]}wav")
    world.clock.now += STEADY
    assert f"{STEM}.wav" in world.read(PLAYLIST).decode()
    assert world.stat(CLIP).inode == world.stat(f"{CLIP[:-3]}wav").inode


def test_a_listing_is_complete_or_fails(listened):
    world = listened(ONE)
    world.index.unknown, world.index.error = ALWAYS, Unreachable("no server")
    for path in ("/listen/by-voice", "/listen/by-voice/Rachel", "/listen/by-date/2024-05"):
        with pytest.raises(Unreachable):
            world.ls(path)
    for path in (CLIP, PLAYLIST):
        with pytest.raises(Unreachable):
            world.read(path)


def test_the_folder_has_the_time_of_its_newest_clip(listened):
    world = listened(ONE, TALK)
    assert world.stat("/listen").mtime == MOMENT + MONTH
    assert world.stat("/listen/by-voice").mtime == MOMENT + MONTH
    assert world.stat("/listen/by-voice/Rachel").mtime == MOMENT
    assert stat.S_ISDIR(world.stat("/listen").kind)
    assert listened().stat("/listen").mtime == BORN
