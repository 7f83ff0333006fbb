"""Which directories are remembered in the order of their listing."""

from __future__ import annotations

import pytest

from histfs.core import listed_directories
from histfs.core.index import Listed
from histfs.core.listed_directories import ListedDirectories, ListedDirectory


def listed(*keys: str) -> list[Listed]:
    return [Listed(ord(key), key, "slug") for key in keys]


def holding(directories: ListedDirectories, key: str, number: int = 9) -> list[ListedDirectory]:
    return [noted.directory for noted in directories.holding(key, number)]


def directory(keys: str) -> ListedDirectory:
    return ListedDirectory(list(keys), listed(*keys))


def keys_of(items) -> str:
    return "".join(item.key for item in items)


def test_a_directory_has_its_items_as_listed_and_as_sorted():
    held = ListedDirectory(["3", "1", "2"], listed("a", "b", "c"))
    assert keys_of(held.listed) == "abc"
    assert keys_of(held.by_name) == "bca"
    assert held.places == {"a": 0, "b": 1, "c": 2}
    ordered = directory("abc")
    assert ordered.by_name is ordered.listed, "one order is not followed twice"


def test_the_first_name_of_an_item_counts():
    held = ListedDirectory(["3", "1", "2"], listed("a", "b", "a"))
    assert keys_of(held.listed) == "ab"
    assert keys_of(held.by_name) == "ba"


def test_the_directories_that_were_listed_last_come_first():
    directories = ListedDirectories()
    held = {path: directory(path) for path in ("abc", "bcd", "cde")}
    for path, each in held.items():
        directories.note(("view", path), each)
    directories.note(("view", "abc"), held["abc"])
    assert holding(directories, "c") == [held["abc"], held["cde"], held["bcd"]]
    assert holding(directories, "c", 2) == [held["abc"], held["cde"]]
    assert holding(directories, "e") == [held["cde"]]
    assert holding(directories, "x") == []


def test_the_directories_of_a_view_come_in_the_order_in_which_they_were_listed():
    directories = ListedDirectories()
    for view, name in ["aa", "ab", "bb", "ac"]:
        directories.note((view, name), directory(name))
    directories.note(("a", "b"), directory("b"))
    (noted,) = directories.holding("a", 9)
    found = []
    while (noted := directories.after(noted)) is not None:
        found.append(noted.path)
    assert found == [("a", "c"), ("a", "b")]


def test_a_directory_that_is_listed_anew_counts_once():
    directories = ListedDirectories()
    directories.note(("view", "path"), directory("abc"))
    new = directory("xbc")
    directories.note(("view", "path"), new)
    assert holding(directories, "b") == [new]
    assert holding(directories, "a") == []


@pytest.mark.parametrize("bound", [("_DIRECTORIES", 3), ("_ITEMS", 6)])
def test_of_many_directories_those_listed_first_are_forgotten(monkeypatch, bound):
    monkeypatch.setattr(listed_directories, *bound)
    directories = ListedDirectories()
    for _ in range(3):
        for key in "abcde":
            directories.note(("view", key), directory(f"{key}-"))
    assert [key for key in "abcde" if holding(directories, key)] == ["c", "d", "e"]
    directories.note(("view", "f"), directory("fghijkl"))
    kept = [key for key in "cdef" if holding(directories, key)]
    assert kept == (["d", "e", "f"] if bound[0] == "_DIRECTORIES" else [])
