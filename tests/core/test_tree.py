import posixpath
import stat
from datetime import datetime, timezone

import pytest

from histfs.core.errors import (
    IsADirectory,
    NameTooLong,
    NoSuchPath,
    NotADirectory,
    NotALink,
    NotComplete,
    NotPermitted,
    Unreachable,
)
from histfs.core.filesystem import STATUS_NAME
from histfs.core.nodes import ROOT_INODE
from histfs.core.times import ALWAYS, Span
from histfs.core.views import ByDate, ByRule, ByVoice
from histfs.core.waiting import Waiter
from tests.core.conftest import BORN, STATUS, World
from tests.core.fakes import IndexCall
from tests.support.memory import record

HELLO, BYE, MUTE, OLD = 1_714_650_306, 1_714_650_400, 1_714_736_706, 1_672_531_199

DAY = "/by-date/2024/05/02"
NAME = "2024-05-02T11-45-06_hello-world_hello"
HOME = f"{DAY}/{NAME}"
LINK = f"/by-voice/Rachel/{NAME}"
STATUS_FILE = f"/{STATUS_NAME}"
OPUS = b"OggS\0\2" + bytes(20) + b"\1\x13OpusHead" + bytes(40)


def at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=timezone.utc).timestamp())


YEARS = {year: Span(at(year, 1, 1), at(year + 1, 1, 1)) for year in (2022, 2024)}
MAY = Span(at(2024, 5, 1), at(2024, 6, 1))
SECOND_OF_MAY = Span(at(2024, 5, 2), at(2024, 5, 3))
WHOLE_HISTORY = IndexCall("ensure", (ALWAYS,))


@pytest.fixture
def records():
    return [
        record("hello", HELLO),
        record("bye_-_x", BYE, "Good-bye", voice="adam", voice_name="Adam"),
        record("mute", MUTE, None, voice="", voice_name=None, content_type="audio/wav"),
        record("a/../b", OLD, "odd id"),
    ]


@pytest.fixture
def world(make_world, records) -> World:
    return make_world(*records)


@pytest.fixture(params=[True, False], ids=["links", "dir"])
def either(make_world, records, request) -> World:
    return make_world(*records, links=request.param)


def test_the_root_holds_the_views(world):
    assert world.names("/") == world.names("") == ["by-date", "by-voice"]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/by-date", ["2022", "2024"]),
        ("/by-date/2024", ["05"]),
        ("/by-date/2024/05", ["02", "03"]),
        (DAY, [NAME, "2024-05-02T11-46-40_good-bye_bye_-_x"]),
        (HOME, ["meta.json", "text.txt", "audio.mp3"]),
        ("/by-voice", ["(no voice)", "Adam", "Rachel"]),
        ("/by-voice/Rachel", ["2022-12-31T23-59-59_odd-id_a%2F%2E%2E%2Fb", NAME]),
    ],
)
def test_a_directory_lists_what_it_holds(world, path, names):
    assert world.names(path) == names


@pytest.mark.parametrize(
    ("path", "span"),
    [
        (DAY, SECOND_OF_MAY),
        (f"{HOME}/text.txt", SECOND_OF_MAY),
        ("/by-date/2024/05", MAY),
        ("/by-date", ALWAYS),
        ("/by-voice/Rachel", ALWAYS),
        ("/", ALWAYS),
        ("/nothing", ALWAYS),
    ],
)
def test_a_refresh_marks_the_span_of_its_directory(world, path, span, monkeypatch):
    marked = []
    monkeypatch.setattr(world.index, "mark_stale", marked.append)
    world.tree.refresh(path)
    assert marked == [span]


def test_slashes_too_many_change_nothing(world):
    assert world.names("//by-date//2024/") == ["05"]


def test_every_path_has_the_kind_and_the_inode_that_its_listing_tells(either):
    listed = {"": (stat.S_IFDIR, ROOT_INODE)}
    for path in ["", *either.walk()]:
        if stat.S_ISDIR(either.stat(path).kind):
            for entry in either.tree.listdir(path, Waiter(5)):
                listed[f"{path}/{entry.name}"] = (entry.kind, entry.inode)
    for path, seen in listed.items():
        attributes = either.stat(path)
        assert (attributes.kind, attributes.inode) == seen, path


def test_every_node_has_its_own_inode_and_keeps_it_after_a_remount(world, make_world, records):
    paths = ["", *world.walk()]
    inodes = [world.stat(path).inode for path in paths]
    assert len(set(inodes)) == len(paths) > 25
    again = make_world(*reversed(records))
    assert [again.stat(path).inode for path in paths] == inodes


def test_other_views_hold_relative_links_that_resolve_to_the_items_home(world):
    links = [path for path in world.walk("/by-voice") if stat.S_ISLNK(world.stat(path).kind)]
    assert len(links) == 4
    for link in links:
        target = world.tree.readlink(link, Waiter(5))
        resolved = posixpath.normpath(posixpath.join(posixpath.dirname(link), target))
        assert not target.startswith("/")
        assert posixpath.basename(target) == posixpath.basename(link)
        assert resolved.startswith("/by-date/")
        assert stat.S_ISDIR(world.stat(resolved).kind)
        assert world.stat(link).size == len(target.encode())


def test_with_placement_dir_a_file_has_one_inode_in_every_view_and_a_link_count(
    make_world, records
):
    world = make_world(*records, links=False)
    for name in world.names(HOME):
        home, other = world.stat(f"{HOME}/{name}"), world.stat(f"{LINK}/{name}")
        assert home == other
        assert home.links == 2
    assert world.stat(HOME).inode != world.stat(LINK).inode
    assert world.read(f"{LINK}/text.txt") == b"Hello World\n"


def test_with_links_a_file_has_one_link(world):
    assert world.stat(f"{HOME}/text.txt").links == 1


def test_an_item_its_files_and_its_links_are_as_old_as_the_item(either):
    for path in (HOME, LINK, f"{HOME}/meta.json", f"{HOME}/text.txt", f"{HOME}/audio.mp3"):
        assert either.stat(path).mtime == HELLO


@pytest.mark.parametrize(
    ("path", "mtime"),
    [
        ("/", MUTE),
        ("/by-date", MUTE),
        ("/by-voice", MUTE),
        ("/by-date/2024", MUTE),
        (DAY, BYE),
        ("/by-date/2022", OLD),
        ("/by-voice/Rachel", HELLO),
    ],
)
def test_a_directory_is_as_old_as_its_newest_item(world, path, mtime):
    assert world.stat(path).mtime == mtime


def test_without_items_the_views_are_there_and_empty(make_world):
    world = make_world()
    assert world.stat("/").mtime == world.stat("/by-date").mtime == BORN
    assert [world.names(view) for view in ("/by-date", "/by-voice")] == [[], []]


def test_files_are_read(world):
    assert world.read(f"{HOME}/text.txt") == b"Hello World\n"
    assert world.read(f"{HOME}/audio.mp3") == b"audio of hello"
    assert b'"history_item_id": "hello"' in world.read(f"{HOME}/meta.json")


def test_a_stat_tells_the_size_that_is_read(world):
    for name in ("text.txt", "meta.json"):
        assert world.stat(f"{HOME}/{name}").size == len(world.read(f"{HOME}/{name}"))


def test_attributes_say_whether_their_size_is_exact(world):
    audio = f"{HOME}/audio.mp3"
    exact = [world.stat(f"{HOME}/{name}").size_is_exact for name in ("text.txt", "meta.json")]
    assert (exact, world.stat(audio).size_is_exact) == ([True, True], False)
    opened, file = world.tree.open(audio, Waiter(5))
    assert (opened.size, opened.size_is_exact) == (file.size, True)
    assert world.stat(audio) == opened
    assert world.stat(HOME).size_is_exact


def test_a_file_is_opened_with_what_a_stat_tells_of_it(world):
    attributes, _ = world.tree.open(f"{HOME}/text.txt", Waiter(5))
    assert attributes == world.stat(f"{HOME}/text.txt")


def test_all_files_of_an_item_can_be_stat_at_once(either):
    for item in (HOME, LINK):
        found = either.tree.stat_files(item, Waiter(5))
        files = either.names(item) if found else []
        assert found == {name: either.stat(f"{item}/{name}") for name in files}
    assert either.tree.stat_files(HOME, Waiter(5)).keys() == {"audio.mp3", "text.txt", "meta.json"}
    assert either.tree.stat_files("/by-voice", Waiter(5)) == {}


def test_audio_that_turns_out_to_be_something_else_has_its_right_name_and_keeps_the_former(either):
    either.audio.clips["hello"] = OPUS
    before = either.stat(f"{HOME}/audio.mp3")
    assert either.names(HOME)[-1] == "audio.mp3"
    assert either.read(f"{HOME}/audio.mp3") == OPUS
    assert either.names(HOME)[-1] == "audio.opus"
    after = before._replace(size=len(OPUS), size_is_exact=True, is_lasting=True)
    for name in ("audio.mp3", "audio.opus"):
        assert either.read(f"{HOME}/{name}") == OPUS
        assert either.stat(f"{HOME}/{name}") == after
    (entry,) = (e for e in either.tree.listdir(HOME, Waiter(5)) if e.name.startswith("audio"))
    assert entry.inode == before.inode
    assert "audio.mp3" not in either.tree.stat_files(HOME, Waiter(5))
    with pytest.raises(NoSuchPath):
        either.stat(f"{HOME}/audio.ogg")


def test_looking_at_everything_opens_no_audio_and_asks_the_source_nothing(either):
    for path in either.walk():
        either.stat(path)
    assert either.audio.opened == []
    assert either.source.calls == []


def test_a_stat_of_what_is_known_asks_for_nothing(world):
    for path in ("/", "/by-voice/Rachel", HOME, LINK, f"{HOME}/text.txt"):
        world.stat(path)
    assert world.index.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "/by-moon",
        "/by-date/2023",
        "/by-date/2024/06",
        "/by-date/2024/05/04",
        "/by-date/2024/5",
        "/by-date/text",
        "/by-date/2024/02/30/x",
        "/by-voice/Nobody",
        f"{DAY}/.Trash",
        f"{DAY}/{NAME}x",
        f"{DAY}/2024-05-02T11-45-06_hello-world_nobody",
        f"{DAY}/2024-05-02T11-45-06_other-text_hello",
        f"{DAY}/2024-05-02T11-45-07_hello-world_hello",
        f"/by-date/2024/05/03/{NAME}",
        f"/by-date/2023/01/01/{NAME}",
        f"/by-voice/Adam/{NAME}",
        f"/by-voice/Nobody/{NAME}",
        f"{HOME}/audio.wav",
        f"{HOME}/text",
        "/by-date/\udcff",
        f"/by-voice/\udcff/{NAME}",
        f"{DAY}/2024-05-02T11-45-06_hello-world_\udcff",
    ],
)
def test_what_is_not_there_is_not_found(either, path):
    for ask in (either.stat, either.names, either.read, either.unlink, either.rmdir):
        with pytest.raises(NoSuchPath):
            ask(path)


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize(
    "stamp",
    ["0001-01-01T00-00-00", "9999-12-31T23-59-59", "0000-00-00T00-00-00", "2024-02-30T00-00-00",
     "2024-05-02T24-00-00", "2024-05-02T11-45.06", "x" * 19],
)  # fmt: skip
def test_a_time_that_no_item_can_have_is_not_found(make_world, records, zone, stamp):
    world = make_world(*records, zone=zone)
    with pytest.raises(NoSuchPath):
        world.stat(f"/by-voice/Rachel/{stamp}_hello-world_hello")


@pytest.mark.parametrize(
    "path",
    [f"/by-date/2023/01/01/{NAME}", f"{DAY}/.Trash", f"{DAY}/2024-05-02_hello-world_hello",
     f"{DAY}/2024-05-02T11-45-06_hello-world_é"],
)  # fmt: skip
def test_a_name_that_no_item_of_a_day_can_have_is_not_asked_for(world, path):
    with pytest.raises(NoSuchPath):
        world.stat(path)
    assert world.index.asked == []


def test_an_hour_that_clocks_show_twice_holds_the_items_of_both(make_world):
    first, second = at(2024, 10, 27, 0, 30), at(2024, 10, 27, 1, 30)
    world = make_world(record("a", first), record("b", second), zone="Europe/Berlin")
    day = "/by-date/2024/10/27"
    names = [f"2024-10-27T02-30-00_hello-world_{key}" for key in "ab"]
    assert world.names(day) == names
    assert [world.stat(f"{day}/{name}").mtime for name in names] == [first, second]


def test_a_link_of_another_placement_is_no_directory(world):
    with pytest.raises(NotADirectory):
        world.stat(f"{LINK}/text.txt")
    with pytest.raises(NotADirectory):
        world.names(LINK)


def test_there_is_nothing_below_a_file(either):
    with pytest.raises(NotADirectory):
        either.stat(f"{HOME}/text.txt/more")
    with pytest.raises(NotADirectory):
        either.names(f"{HOME}/text.txt")


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128, "\udcff" * 256])
@pytest.mark.parametrize("place", ["/{}", "/by-date/{}", DAY + "/{}", HOME + "/{}", "/{}/below"])
def test_a_component_of_more_than_255_bytes_is_too_long(world, place, name):
    with pytest.raises(NameTooLong):
        world.stat(place.format(name))
    with pytest.raises(NoSuchPath):
        world.stat(place.format(name[:127]))


@pytest.mark.parametrize("path", ["/", "/by-date", "/by-date/2024", DAY, HOME])
def test_a_directory_is_not_opened_as_a_file_nor_read_as_a_link(either, path):
    with pytest.raises(IsADirectory):
        either.read(path)
    with pytest.raises(NotALink):
        either.tree.readlink(path, Waiter(5))


def test_a_file_is_no_link(world):
    with pytest.raises(NotALink):
        world.tree.readlink(f"{HOME}/text.txt", Waiter(5))


@pytest.mark.parametrize("path", ["/", "/by-voice", "/by-voice/Rachel", LINK, DAY, HOME])
def test_neither_directories_nor_links_are_unlinked(world, path):
    with pytest.raises(NotPermitted):
        world.unlink(path)
    assert world.source.calls == []


@pytest.mark.parametrize("error", [Unreachable("down"), NotComplete("wait")])
@pytest.mark.parametrize(
    "path",
    ["/by-date", "/by-date/2024", "/by-date/2024/05", DAY, "/by-voice", "/by-voice/Rachel"],
)
def test_what_is_not_completely_known_is_not_listed_at_all(either, path, error):
    either.names(path)
    either.index.error = error
    with pytest.raises(type(error)):
        either.names(path)


@pytest.mark.parametrize(
    "path",
    ["/by-date/2024", "/by-date/2024/05", DAY, HOME, "/by-voice/Nobody",
     LINK.replace("_hello", "_nobody")],
)  # fmt: skip
def test_a_stat_of_what_is_not_known_waits_for_it_and_fails_with_it(make_world, path):
    world = make_world()
    world.index.unknown = ALWAYS
    world.index.error = Unreachable("down")
    with pytest.raises(Unreachable):
        world.stat(path)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/by-date/2024", IndexCall("ensure_newest", (YEARS[2024],))),
        ("/by-date/2024/05", IndexCall("ensure_newest", (MAY,))),
        (DAY, IndexCall("ensure", (SECOND_OF_MAY,))),
        (HOME, IndexCall("ensure", (SECOND_OF_MAY,))),
        (f"{HOME}/text.txt", IndexCall("ensure", (SECOND_OF_MAY,))),
        ("/by-voice/Rachel", WHOLE_HISTORY),
        (LINK, WHOLE_HISTORY),
    ],
)
def test_what_is_not_known_yet_is_asked_for_and_found(make_world, records, path, asked):
    world = make_world()
    world.index.unknown = ALWAYS
    world.index.arriving = records
    assert world.stat(path)
    assert world.index.asked == [asked]


@pytest.mark.parametrize("path", ["/by-date/2024", "/by-date/2024/05", DAY])
def test_a_directory_is_not_as_old_as_an_item_that_may_not_be_its_newest(world, path):
    world.index.discard("mute")
    world.index.unknown = Span(BYE + 1, SECOND_OF_MAY.end)
    world.index.arriving = [record("new", BYE + 60)]
    assert world.stat(path).mtime == BYE + 60


@pytest.mark.parametrize("path", ["/by-voice/Rachel", LINK])
def test_the_name_of_a_voice_is_not_told_before_the_whole_history_is_known(world, path):
    world.index.unknown = Span(0, OLD)
    world.index.arriving = [record("first", OLD - 1, voice="first-rachel")]
    if path == LINK:
        with pytest.raises(NoSuchPath):
            world.stat(path)
    else:
        assert world.stat(path).mtime == OLD - 1
    assert world.index.asked[0] == WHOLE_HISTORY


@pytest.mark.parametrize("path", ["/by-date/2024", "/by-date/2024/05", DAY])
def test_a_directory_whose_newest_item_is_known_is_there_whatever_else_is_not(world, path):
    world.index.unknown = Span(ALWAYS.start, HELLO)
    world.index.error = Unreachable("down")
    assert world.stat(path)


@pytest.mark.parametrize(
    ("path", "date"),
    [
        ("/by-date/2023", at(2023, 6, 6)),
        ("/by-date/2024/06", at(2024, 6, 6)),
        ("/by-date/2024/05/04", at(2024, 5, 4)),
    ],
)
def test_what_was_not_there_may_have_come_and_is_asked_for(world, path, date):
    world.index.arriving = [record("new", date)]
    assert world.stat(path).mtime == date
    assert len(world.index.asked) == 1


def test_a_day_is_all_that_is_asked_for_to_list_it(world):
    world.names(DAY)
    assert world.index.asked == [IndexCall("ensure", (SECOND_OF_MAY,))]


def test_a_month_asks_for_the_newest_item_of_each_day_and_a_year_of_each_month(world):
    for path, whole, parts in (("/by-date/2024/05", MAY, 31), ("/by-date/2024", YEARS[2024], 12)):
        world.index.asked.clear()
        world.names(path)
        ((method, spans),) = world.index.asked
        assert method == "ensure_newest"
        assert len(spans) == parts
        assert (spans[0].start, spans[-1].end) == whole


def test_the_years_are_asked_for_from_one_that_has_items_to_the_next_one(world):
    world.names("/by-date")
    before = [Span(ALWAYS.start, YEARS[year].start) for year in (2024, 2022)]
    assert world.index.asked == [IndexCall("ensure_newest", (span,)) for span in (ALWAYS, *before)]


@pytest.mark.parametrize("path", ["/by-voice", "/by-voice/Rachel"])
def test_other_views_ask_for_the_whole_history(world, path):
    world.names(path)
    assert world.index.asked == [WHOLE_HISTORY]


def test_a_listing_shows_what_came_and_what_went(world):
    assert len(world.names(DAY)) == 2
    world.index.add(record("new", BYE + 1))
    assert len(world.names(DAY)) == 3
    world.index.discard("hello")
    assert NAME not in world.names(DAY)
    assert world.names("/by-voice/Rachel")[-1].endswith("_new")


def test_a_listing_is_read_once_and_cached_until_something_in_its_span_changes(world):
    first = world.tree.listdir(DAY, Waiter(5))
    reads = world.index.reads
    world.index.add(record("far", OLD + 1))
    assert world.tree.listdir(DAY, Waiter(5)) is first
    assert world.index.reads == reads
    world.index.add(record("near", BYE + 1))
    second = world.tree.listdir(DAY, Waiter(5))
    assert len(second) == len(first) + 1
    assert world.tree.listdir(DAY, Waiter(5)) is second


def test_any_change_may_change_what_another_view_shows(world):
    before = len(world.names("/by-voice/Rachel"))
    world.index.add(record("far", OLD + 1))
    assert len(world.names("/by-voice/Rachel")) == before + 1


def test_a_cached_listing_is_still_refreshed(world):
    world.names(DAY)
    world.index.arriving = [record("new", BYE + 1)]
    assert len(world.names(DAY)) == 3


def test_what_changed_while_it_was_read_is_read_again(world):
    def meanwhile() -> None:
        world.index.on_read = lambda: None
        world.index.add(record("new", BYE + 1))

    world.index.on_read = meanwhile
    assert len(world.names(DAY)) == 3
    # Twice the day, and the seconds around its items for their inodes.
    assert world.index.reads == 3


def test_what_changes_elsewhere_while_a_directory_is_read_does_not_matter(world):
    world.index.on_read = lambda: world.index.add(record("far", OLD + world.index.version))
    assert len(world.names(DAY)) == 2
    assert world.index.reads == 2  # once the day, once the seconds around its items


def test_a_part_is_not_listed_when_the_rest_is_lost_while_the_listing_is_read(world):
    def lose() -> None:
        # A refresh in another thread has stored its first page: there is a gap below it.
        world.index.on_asked = lambda: None
        world.index.arriving = [world.index.rows["hello"]]
        world.index.discard("hello")
        world.index.unknown = SECOND_OF_MAY

    world.index.on_asked = lose
    assert len(world.names(DAY)) == 2


@pytest.mark.parametrize("path", [DAY, "/by-voice/Rachel"])
def test_a_directory_that_never_stands_still_is_not_listed(world, path):
    world.index.on_read = lambda: world.index.add(record("new", BYE + world.index.version))
    with pytest.raises(NotComplete):
        world.names(path)


def test_the_status_is_read_though_it_is_not_listed(either):
    assert STATUS_NAME not in either.names("/")
    assert either.read(STATUS_FILE) == STATUS
    attributes = either.stat(STATUS_FILE)
    assert either.tree.open(STATUS_FILE, Waiter(5))[0] == attributes
    assert (attributes.kind, attributes.size) == (stat.S_IFREG, len(STATUS))
    assert attributes.inode not in {either.stat(path).inode for path in ["", *either.walk()]}


def test_the_status_stays_and_is_neither_directory_nor_link(world):
    with pytest.raises(NotPermitted):
        world.unlink(STATUS_FILE)
    with pytest.raises(NotADirectory):
        world.rmdir(STATUS_FILE)
    with pytest.raises(NotADirectory):
        world.names(STATUS_FILE)
    with pytest.raises(NotALink):
        world.tree.readlink(STATUS_FILE, Waiter(5))
    assert world.index.asked == []


class Backwards(ByRule):
    """Lists the items in one directory, the newest first."""

    name = "backwards"

    def directory(self, item, index):
        return "all"

    def items(self, at, index):
        return iter([*super().items(at, index)][::-1])


def test_the_order_of_a_listing_is_noted_unless_it_is_that_of_dates(make_world, records):
    world = make_world(*records, views=[ByDate, ByVoice, Backwards])
    world.names(DAY)
    world.names("/by-voice")
    world.names("/backwards")
    assert world.listed.holding("hello", 9) == []
    for _ in range(2):  # anew, and from the cache
        names = world.names("/backwards/all")
        (noted,) = world.listed.holding("hello", 9)
        assert [item.date for item in noted.directory.listed] == [MUTE, BYE, HELLO, OLD]
        assert [item.date for item in noted.directory.by_name] == [OLD, HELLO, BYE, MUTE]
        assert names == sorted(names, reverse=True)
