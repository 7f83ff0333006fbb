"""A search with too many hits shows a file beside the links which says so."""

from __future__ import annotations

import stat

import pytest

from histfs.core.errors import NoSuchPath, NotADirectory, NotALink, NotPermitted
from histfs.core.views import MORE_NAME, ByDate, Search, search_view
from histfs.core.waiting import Waiter
from tests.support.memory import record

NOON = 1_714_650_300
FOX = "/search/fox"
MORE = f"{FOX}/{MORE_NAME}"


@pytest.fixture
def world(make_world, monkeypatch):
    monkeypatch.setattr(search_view, "SEARCH_LIMIT", 3)
    records = [record(f"fox{n}", NOON + n, "fox") for n in range(5)]
    return make_world(*records, record("hen", NOON, "hen"), views=[ByDate, Search])


def test_the_file_is_listed_beside_the_newest_links(world):
    *links, more = world.tree.listdir(FOX, Waiter(5))
    assert [link.name[-4:] for link in links] == ["fox2", "fox3", "fox4"]
    assert (more.name, more.kind) == (MORE_NAME, stat.S_IFREG)
    found = world.stat(MORE)
    assert (found.kind, found.inode, found.size) == (more.kind, more.inode, len(world.read(MORE)))
    assert b"Add words" in world.read(MORE)


def test_a_link_that_is_not_listed_does_not_resolve(world):
    listed, *_ = world.names(FOX)
    assert world.stat(f"{FOX}/{listed}").kind == stat.S_IFLNK
    with pytest.raises(NoSuchPath):
        world.stat(f"{FOX}/{listed.replace('05-02', '05-01')}".replace("fox2", "fox1"))
    (day,) = (path for path in world.walk("/by-date") if path.endswith("fox1"))
    with pytest.raises(NoSuchPath):
        world.stat(f"{FOX}/{day.rpartition('/')[2]}")


def test_the_file_is_nothing_but_read(world):
    for call, error in [
        (world.unlink, NotPermitted),
        (world.rmdir, NotADirectory),
        (lambda path: world.tree.delete(path, Waiter(5)), NotPermitted),
        (lambda path: world.tree.readlink(path, Waiter(5)), NotALink),
        (world.names, NotADirectory),
        (lambda path: world.stat(f"{path}/x"), NotADirectory),
    ]:
        with pytest.raises(error):
            call(MORE)
    assert world.tree.item(MORE, Waiter(5)) is None
    assert world.tree.stat_files(MORE, Waiter(5)) == {}


@pytest.mark.parametrize("place", ["/search/hen", "/by-date"])
def test_where_all_is_shown_there_is_no_such_file(world, place):
    assert MORE_NAME not in world.names(place)
    with pytest.raises(NoSuchPath):
        world.stat(f"{place}/{MORE_NAME}")
