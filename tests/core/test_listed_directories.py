"""Which directories are remembered in the order of their listing."""

from __future__ import annotations

import pytest

from histfs.core import listed_directories
from histfs.core.index import Listed
from histfs.core.listed_directories import ListedDirectories, ListedDirectory


def listed(*keys: str) -> list[Listed]:
    return [Listed(ord(key), key, "slug") for key in keys]


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
        directories.note(path, each)
    directories.note("abc", held["abc"])
    assert directories.holding("c", 9) == [held["abc"], held["cde"], held["bcd"]]
    assert directories.holding("c", 2) == [held["abc"], held["cde"]]
    assert directories.holding("e", 9) == [held["cde"]]
    assert directories.holding("x", 9) == []


def test_a_directory_that_is_listed_anew_counts_once():
    directories = ListedDirectories()
    directories.note("path", directory("abc"))
    new = directory("xbc")
    directories.note("path", new)
    assert directories.holding("b", 9) == [new]
    assert directories.holding("a", 9) == []


@pytest.mark.parametrize("bound", [("_DIRECTORIES", 3), ("_ITEMS", 6)])
def test_of_many_directories_those_listed_first_are_forgotten(monkeypatch, bound):
    monkeypatch.setattr(listed_directories, *bound)
    directories = ListedDirectories()
    for _ in range(3):
        for key in "abcde":
            directories.note(key, directory(f"{key}-"))
    assert [key for key in "abcde" if directories.holding(key, 9)] == ["c", "d", "e"]
    directories.note("f", directory("fghijkl"))
    kept = [key for key in "cdef" if directories.holding(key, 9)]
    assert kept == (["d", "e", "f"] if bound[0] == "_DIRECTORIES" else [])
