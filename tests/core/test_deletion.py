from contextlib import suppress

import pytest

from histfs.core.deletion import TOMBSTONE_TTL
from histfs.core.errors import (
    BadAnswer,
    DeadlineExceeded,
    DirectoryNotEmpty,
    HistfsError,
    Interrupted,
    IsADirectory,
    Missing,
    MissingPermission,
    NoSpace,
    NoSuchPath,
    NotADirectory,
    NotArchived,
    NotPermitted,
    RateLimited,
    Rejected,
    ServerFailed,
    Unreachable,
)
from histfs.core.times import ALWAYS, Span
from histfs.core.waiting import Waiter
from tests.core.conftest import World
from tests.support.memory import Call, record

DAY = "/by-date/2024/05/02"
HOME = f"{DAY}/2024-05-02T11-45-06_hello-world_one"
AUDIO = f"{HOME}/audio.mp3"
OTHER = f"{DAY}/2024-05-02T11-45-07_hello-world_two"
THIRD = "/by-date/2024/05/03/2024-05-03T11-45-06_hello-world_three"
MOMENT = 1_714_650_306
FILES = ["meta.json", "text.txt", "audio.mp3"]


@pytest.fixture
def records():
    return [
        record("one", MOMENT),
        record("two", MOMENT + 1),
        record("three", MOMENT + 86_400, voice="adam", voice_name="Adam"),
    ]


@pytest.fixture
def world(make_world, records) -> World:
    return make_world(*records)


def rm_r(world: World, path: str, backwards: bool = False) -> None:
    """Remove a tree as rm(1) does: what a directory holds is read once."""
    attributes = world.stat(path)
    if attributes.kind != 0o040000:
        world.unlink(path)
        return
    names = world.names(path)
    for name in reversed(names) if backwards else names:
        rm_r(world, f"{path}/{name}", backwards)
    world.rmdir(path)


def assert_gone(world: World, *paths: str) -> None:
    for path in paths:
        with pytest.raises(NoSuchPath):
            world.stat(path)


@pytest.mark.parametrize("backwards", [False, True], ids=["audio last", "audio first"])
def test_rm_r_of_an_item_sends_one_delete(world, backwards):
    rm_r(world, HOME, backwards)
    assert world.source.calls == [Call("delete", "one")]
    assert_gone(world, HOME, AUDIO)
    assert world.names(DAY) == [OTHER.rpartition("/")[2]]


@pytest.mark.parametrize("backwards", [False, True], ids=["audio last", "audio first"])
def test_rm_r_of_a_year_sends_one_delete_an_item_and_takes_the_directories_with_it(
    world, backwards
):
    rm_r(world, "/by-date/2024", backwards)
    assert sorted(call.argument for call in world.source.calls) == ["one", "three", "two"]
    assert_gone(world, "/by-date/2024", "/by-date/2024/05", DAY, HOME)
    assert world.names("/by-date") == world.names("/by-voice") == []


@pytest.mark.parametrize("path", [HOME, AUDIO])
def test_an_item_can_be_deleted_at_once(world, path):
    world.tree.delete(path, Waiter(5))
    assert world.source.calls == [Call("delete", "one")]
    assert world.archive.calls == [("prepare", "one"), ("keep", "one"), ("deleted", "one")]
    assert_gone(world, HOME, AUDIO, f"{HOME}/text.txt")
    with pytest.raises(NoSuchPath):
        world.tree.delete(path, Waiter(5))


def test_what_was_unlinked_already_is_not_deleted_again(world):
    world.unlink(AUDIO)
    with pytest.raises(NoSuchPath):
        world.tree.delete(HOME, Waiter(5))
    assert world.source.calls == [Call("delete", "one")]


def test_an_item_that_can_not_be_copied_is_not_deleted_at_once_either(world):
    world.archive.errors["keep"] = NoSpace("full")
    with pytest.raises(NotArchived):
        world.tree.delete(HOME, Waiter(5))
    assert world.source.calls == []
    assert world.names(HOME) == FILES


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/", IsADirectory),
        ("/by-date", IsADirectory),
        (DAY, IsADirectory),
        ("/by-voice/Rachel", IsADirectory),
        (f"{HOME}/text.txt", NotPermitted),
        (f"/by-voice/Rachel/{HOME.rpartition('/')[2]}", NotPermitted),
        (f"{DAY}/nothing", NoSuchPath),
        ("/.histfs", NotPermitted),
    ],
)
def test_what_is_no_item_is_not_deleted_at_once(world, path, error):
    with pytest.raises(error):
        world.tree.delete(path, Waiter(5))
    assert world.source.calls == world.archive.calls == []


def test_rm_r_of_an_item_needs_nothing_else_of_the_history(world):
    world.index.unknown = Span(ALWAYS.start, MOMENT - 1)
    rm_r(world, HOME)
    assert world.index.asked == []
    assert world.source.calls == [Call("delete", "one")]


def test_rm_r_through_another_view_with_placement_dir_deletes_too(make_world, records):
    world = make_world(*records, links=False)
    rm_r(world, "/by-voice/Rachel")
    assert sorted(call.argument for call in world.source.calls) == ["one", "two"]
    assert world.names("/by-voice") == ["Adam"]
    assert world.names("/by-date/2024/05") == ["03"]


@pytest.mark.parametrize("name", ["text.txt", "meta.json"])
def test_unlinking_another_file_hides_it_and_sends_nothing(world, name):
    world.unlink(f"{HOME}/{name}")
    assert world.names(HOME) == [file for file in FILES if file != name]
    assert_gone(world, f"{HOME}/{name}")
    assert world.names(OTHER) == FILES
    assert world.source.calls == []


@pytest.mark.parametrize("name", ["audio.mp3", "audio.flac"])
@pytest.mark.parametrize("other", ["audio.mp3", "audio.flac"])
def test_by_its_former_name_or_the_new_one_audio_is_deleted_once(world, name, other):
    world.audio.clips["one"] = b"fLaC"
    world.read(AUDIO)
    world.unlink(f"{HOME}/{name}")
    assert world.source.calls == [Call("delete", "one")]
    with pytest.raises(NoSuchPath):
        world.unlink(f"{HOME}/{other}")
    assert world.names(HOME) == FILES[:-1]
    rm_r(world, HOME)
    assert_gone(world, HOME)
    assert world.source.calls == [Call("delete", "one")]


@pytest.mark.parametrize("backwards", [False, True])
def test_audio_that_gets_another_name_while_it_is_deleted_leaves_nothing(world, backwards):
    world.audio.clips["one"] = b"fLaC"
    prepare = world.archive.prepare

    def fetching(item, waiter):
        world.audio.ensure_verified(item, waiter)
        prepare(item, waiter)

    world.archive.prepare = fetching
    rm_r(world, HOME, backwards)
    assert_gone(world, HOME, f"{HOME}/audio.flac", AUDIO)
    assert world.source.calls == [Call("delete", "one")]


def test_an_item_whose_files_are_hidden_is_still_an_item(world):
    world.unlink(f"{HOME}/text.txt")
    world.unlink(f"{HOME}/meta.json")
    with pytest.raises(DirectoryNotEmpty):
        world.rmdir(HOME)
    assert world.read(AUDIO) == b"audio of one"


def test_after_a_failed_delete_the_item_is_complete_where_it_was(world):
    world.source.fail("delete", MissingPermission("speech_history_write"))
    world.unlink(f"{HOME}/meta.json")
    world.unlink(f"{HOME}/text.txt")
    with pytest.raises(MissingPermission):
        world.unlink(AUDIO)
    assert world.names(HOME) == FILES
    assert world.read(f"{HOME}/text.txt") == b"Hello World\n"
    assert len(world.names(DAY)) == 2
    with pytest.raises(DirectoryNotEmpty):
        world.rmdir(HOME)


def test_a_delete_that_failed_can_be_asked_for_again(world):
    world.source.fail("delete", MissingPermission("speech_history_write"))
    with pytest.raises(MissingPermission):
        world.unlink(AUDIO)
    world.source.recover()
    rm_r(world, HOME)
    assert_gone(world, HOME)


def test_what_was_deleted_elsewhere_already_is_deleted_here_too(world):
    world.source.discard("one")
    world.index.on_asked = lambda: "one" in world.index.rows and world.index.discard("one")
    rm_r(world, HOME)
    assert_gone(world, HOME)


def test_a_deleted_item_is_listed_nowhere_but_the_rest_of_it_is_there_to_be_removed(world):
    world.unlink(AUDIO)
    assert len(world.names(DAY)) == 1
    assert len(world.names("/by-voice/Rachel")) == 1
    assert world.names(HOME) == ["meta.json", "text.txt"]
    assert_gone(world, AUDIO)
    assert world.stat(f"{HOME}/text.txt").mtime == MOMENT
    with pytest.raises(DirectoryNotEmpty):
        world.rmdir(HOME)


def test_an_item_stays_complete_when_its_open_files_could_not_be_read_on(world):
    def fail(item, waiter):
        raise Unreachable("down")

    names = world.names(HOME)
    world.audio.fetch_for_open_files = fail
    with pytest.raises(Unreachable):
        rm_r(world, HOME)
    assert world.names(HOME) == names
    assert world.source.count("delete") == 0


def test_the_other_files_of_a_deleted_item_stay_as_they_were(world):
    def seen():
        paths = (f"{HOME}/meta.json", f"{HOME}/text.txt")
        return [(world.stat(path), world.read(path)) for path in paths]

    before = seen()
    world.unlink(AUDIO)
    assert seen() == before


def test_the_files_of_a_deleted_item_can_be_unlinked_though_its_details_are_gone(world):
    world.index.forget = lambda item: world.index.discard(item.key)
    world.unlink(AUDIO)
    for name in world.names(HOME):
        assert world.stat(f"{HOME}/{name}").size == 0
        with pytest.raises(NoSuchPath):
            world.read(f"{HOME}/{name}")
    rm_r(world, HOME)
    assert_gone(world, HOME)


def test_a_tombstone_resolves_at_the_items_own_path_alone(world):
    world.unlink(AUDIO)
    for path in (HOME.replace("02/2024", "03/2024"), HOME.replace("11-45-06", "11-45-07")):
        assert_gone(world, path)


def test_the_link_to_a_deleted_item_is_gone_at_once(world):
    link = f"/by-voice/Rachel/{HOME.rpartition('/')[2]}"
    assert world.stat(link).kind == 0o120000
    world.unlink(AUDIO)
    assert_gone(world, link)
    with pytest.raises(NoSuchPath):
        world.unlink(link)


def test_a_tombstone_expires(world):
    world.unlink(AUDIO)
    world.clock.now += TOMBSTONE_TTL - 1
    assert world.names(HOME) == ["meta.json", "text.txt"]
    world.clock.now += 2
    assert_gone(world, HOME, f"{HOME}/text.txt")


def test_an_emptied_directory_stays_until_it_is_removed(world):
    rm_r(world, THIRD)
    assert world.names("/by-date/2024/05") == ["02"]
    assert world.names("/by-date/2024/05/03") == []
    assert world.stat("/by-date/2024/05/03").mtime == MOMENT + 86_400
    world.rmdir("/by-date/2024/05/03")
    assert_gone(world, "/by-date/2024/05/03")


def test_the_tombstone_of_an_emptied_directory_expires(world):
    rm_r(world, THIRD)
    world.clock.now += TOMBSTONE_TTL + 1
    assert_gone(world, "/by-date/2024/05/03", "/by-voice/Adam")


def test_an_emptied_directory_that_gets_an_item_is_not_removed(world):
    rm_r(world, THIRD)
    world.index.add(record("four", MOMENT + 86_401))
    with pytest.raises(DirectoryNotEmpty):
        world.rmdir("/by-date/2024/05/03")
    assert len(world.names("/by-date/2024/05/03")) == 1


@pytest.mark.parametrize("path", ["/by-date", "/by-voice", "/by-date/2024", DAY, HOME])
def test_a_directory_with_something_in_it_is_not_removed(world, path):
    with pytest.raises(DirectoryNotEmpty):
        world.rmdir(path)


def test_the_views_and_the_root_are_not_removed_even_when_they_are_empty(make_world):
    world = make_world()
    with pytest.raises(DirectoryNotEmpty):
        world.rmdir("/by-date")
    with pytest.raises(NotPermitted):
        world.rmdir("/")


def test_a_file_or_a_link_is_not_removed_as_a_directory(world):
    for path in (AUDIO, HOME.replace(DAY, "/by-voice/Rachel")):
        with pytest.raises(NotADirectory):
            world.rmdir(path)


def test_unlinks_at_the_same_time_share_one_delete(world):
    with world.source.held("delete") as gate:
        for _ in range(3):
            with pytest.raises(DeadlineExceeded):
                world.tree.unlink(AUDIO, Waiter(0.01))
        gate.wait_until_reached()
    with suppress(NoSuchPath):
        world.unlink(AUDIO)
    assert world.source.count("delete") == 1
    assert world.names(HOME) == ["meta.json", "text.txt"]


def test_an_unlink_that_another_one_overtook_sends_nothing(world):
    overtaken = []

    def overtake() -> None:
        # The index is asked where the item stands between finding it and deleting it.
        if not overtaken:
            overtaken.append(True)
            world.unlink(AUDIO)

    world.index.on_complete = overtake
    world.unlink(AUDIO)
    assert overtaken
    assert world.source.calls == [Call("delete", "one")]


def test_a_delete_goes_on_when_its_caller_stops_waiting(world):
    with world.source.held("delete") as gate:
        with pytest.raises(DeadlineExceeded):
            world.tree.unlink(AUDIO, Waiter(0.01))
        gate.wait_until_reached()
    with suppress(NoSuchPath):
        world.unlink(AUDIO)
    assert_gone(world, AUDIO)
    assert world.source.count("delete") == 1


def test_a_file_that_is_open_is_read_to_the_end_after_its_item_is_deleted(world):
    _, file = world.tree.open(AUDIO, Waiter(5))
    world.unlink(AUDIO)
    assert file.read(0, 100, Waiter(5)) == b"audio of one"


def test_a_voices_directory_name_is_not_given_to_another_voice_after_rm_r(make_world):
    world = make_world(
        record("one", MOMENT, voice="first-rachel"),
        record("two", MOMENT + 1, voice="other-rachel"),
        links=False,
    )
    rm_r(world, "/by-voice/Rachel")
    assert_gone(world, "/by-voice/Rachel")
    assert world.names("/by-voice") == ["Rachel (other-ra)"]
    assert [call.argument for call in world.source.calls] == ["one"]


# The archive


def asked(world: World) -> list[str]:
    return [name for name, _ in world.archive.calls]


def test_an_item_is_copied_before_it_is_deleted(world):
    with world.source.held("delete") as gate:
        with pytest.raises(DeadlineExceeded):
            world.tree.unlink(AUDIO, Waiter(0.01))
        gate.wait_until_reached()
        assert asked(world) == ["prepare", "keep"]
    with suppress(NoSuchPath):
        world.unlink(AUDIO)
    assert asked(world)[-1] == "deleted"


@pytest.mark.parametrize("call", ["prepare", "keep"])
@pytest.mark.parametrize("error", [Unreachable, RateLimited, NoSpace, HistfsError])
def test_what_can_not_be_copied_is_not_deleted(world, call, error):
    world.archive.errors[call] = error("why")
    world.unlink(f"{HOME}/text.txt")
    with pytest.raises(NotArchived, match=r"one is not deleted.*why.*--no-trash"):
        world.unlink(AUDIO)
    assert world.source.calls == []
    assert world.names(HOME) == FILES


@pytest.mark.parametrize("error", [Interrupted, DeadlineExceeded])
def test_a_caller_that_does_not_wait_for_the_copy_deletes_nothing(world, error):
    world.archive.errors["prepare"] = error("why")
    with pytest.raises(error):
        world.unlink(AUDIO)
    assert world.source.calls == []


@pytest.mark.parametrize("error", [MissingPermission, RateLimited, Rejected])
def test_the_copy_of_what_the_server_refuses_to_delete_is_discarded(world, error):
    world.source.fail("delete", error("no"))
    with pytest.raises(error):
        world.unlink(AUDIO)
    assert asked(world) == ["prepare", "keep", "discard"]


@pytest.mark.parametrize("error", [Unreachable, ServerFailed, BadAnswer])
def test_the_copy_of_what_may_have_been_deleted_stays(world, error):
    world.source.fail("delete", error("who knows"))
    with pytest.raises(error):
        world.unlink(AUDIO)
    assert asked(world) == ["prepare", "keep", "undecided"]
    assert world.names(HOME) == FILES


def test_an_item_without_its_audio_is_not_deleted_unless_it_is_gone(world):
    world.archive.errors["prepare"] = Missing("no audio")
    with pytest.raises(NotArchived):
        world.unlink(AUDIO)
    assert world.source.count("delete") == 0
    assert world.names(HOME) == FILES
    world.source.discard("one")
    world.index.on_asked = lambda: world.index.discard("one")
    world.unlink(AUDIO)
    assert_gone(world, AUDIO)
    assert world.source.count("delete") == 0


def test_an_item_that_the_server_lists_is_not_deleted_though_it_says_that_it_is_not_there(world):
    world.source.fail("delete", Missing("no such item"))
    with pytest.raises(BadAnswer, match="has item one"):
        world.unlink(AUDIO)
    assert asked(world) == ["prepare", "keep", "discard"]
    assert world.names(HOME) == FILES
