"""The filesystem for a front end without a kernel: following links, and the items of paths."""

from __future__ import annotations

import stat

import pytest

from histfs.core.errors import NoSuchPath, NotADirectory
from histfs.core.filesystem import STATUS_NAME, Subtree, UnionFilesystem, resolve_links
from histfs.core.waiting import Waiter
from tests.core.conftest import BORN, World
from tests.support.memory import record

HELLO = 1_714_650_306
NAME = "2024-05-02T11-45-06_hello-world_hello"
HOME = f"/by-date/2024/05/02/{NAME}"
LINK = f"/by-voice/Rachel/{NAME}"


@pytest.fixture
def world(make_world) -> World:
    return make_world(record("hello", HELLO))


@pytest.mark.parametrize(
    ("path", "last", "leads_to"),
    [
        ("/", False, "/"),
        (HOME, True, HOME),
        (LINK, False, LINK),
        (LINK, True, HOME),
        (f"{LINK}/text.txt", False, f"{HOME}/text.txt"),
        (f"{LINK}/text.txt", True, f"{HOME}/text.txt"),
        (f"{LINK}//text.txt/", True, f"{HOME}/text.txt"),
    ],
)
def test_links_are_followed_as_the_kernel_does(world, path, last, leads_to):
    found, attributes = resolve_links(world.tree, path, Waiter(5), last=last)
    assert found == leads_to
    assert attributes == world.stat(leads_to)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (f"{HOME}/text.txt/below", NotADirectory),
        (f"{LINK}/text.txt/below", NotADirectory),
        (f"/{STATUS_NAME}/below", NotADirectory),
        (f"{LINK}/nothing", NoSuchPath),
        (f"/by-voice/Adam/{NAME}/text.txt", NoSuchPath),
    ],
)
def test_a_path_that_leads_nowhere_raises_the_error_of_the_kernel(world, path, error):
    with pytest.raises(error):
        resolve_links(world.tree, path, Waiter(5))


@pytest.mark.parametrize("path", [HOME, LINK, f"{HOME}/text.txt", f"{HOME}/audio.mp3"])
def test_the_paths_of_an_item_return_the_item(world, path):
    item, facets = world.tree.item(path, Waiter(5))
    assert (item.id, item.date) == ("hello", HELLO)
    assert facets["voice"] == (("rachel-id", "Rachel"),)
    assert world.index.asked == []


@pytest.mark.parametrize("path", ["/", "/by-date", "/by-voice/Rachel", f"/{STATUS_NAME}"])
def test_other_paths_are_no_items(world, path):
    assert world.tree.item(path, Waiter(5)) is None


def test_whether_a_folder_exists_is_asked_with_the_waiter_of_the_call(world):
    asked = []
    waiter = Waiter(5)

    def shown(by: Waiter) -> bool:
        asked.append(by)
        return len(asked) > 1

    union = UnionFilesystem(None, {"calls": Subtree(world.tree, shown)}, born=BORN)
    with pytest.raises(NoSuchPath):
        union.item("/calls/by-date", waiter)
    assert union.stat("/calls/by-date", waiter).kind == stat.S_IFDIR
    assert asked == [waiter, waiter]
    with pytest.raises(NoSuchPath):
        union.stat("/other", waiter)
    assert len(asked) == 2, "another folder was looked up"
