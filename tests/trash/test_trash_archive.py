"""The archive that copies items into the trash."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from histfs.core.errors import HistfsError, Unreachable
from histfs.core.nodes import BytesFile
from histfs.core.times import Zone
from histfs.core.waiting import Waiter
from histfs.trash import Trash, TrashArchive
from tests.support.memory import record

ITEM = record("one", 1_714_650_306).item


class FakeFile:
    """A file of every item, with a given content."""

    deletes = False

    def __init__(self, name: str | None, content: bytes) -> None:
        self.name = name
        self.content = content
        self.prepared = 0
        self.error: Exception | None = None

    def filename(self, item):
        return self.name

    def before_archive(self, item, waiter):
        self.prepared += 1

    def open(self, item, waiter):
        if self.error is not None:
            raise self.error
        return BytesFile(self.content)


@pytest.fixture
def files() -> list[FakeFile]:
    return [FakeFile("a", b"x" * 3_000_000), FakeFile(None, b""), FakeFile("empty", b"")]


@pytest.fixture
def trash(tmp_path) -> Trash:
    return Trash(tmp_path / "trash")


@pytest.fixture
def archive(trash, files) -> TrashArchive:
    return TrashArchive(
        trash, files, zone=Zone("UTC"), base_url="https://x",
        profile="work", timeout=5, clock=lambda: 99.9,
    )  # fmt: skip


def deletion_times(trash: Trash) -> list[int | None]:
    """Return the time of deletion of each item in the trash."""
    return [item.entry.deleted for item in trash.items()]


def test_a_copy_has_every_file_that_the_item_shows(archive, trash, files):
    archive.prepare(ITEM, Waiter(5))
    assert [file.prepared for file in files] == [1, 0, 1]
    archive.keep(ITEM)
    (item,) = trash.items()
    found = {path.name: path.read_bytes() for path in item.path.iterdir()}
    assert found.pop("entry.json")
    assert found == {"a": files[0].content, "empty": b""}
    assert (item.entry.name, item.entry.profile) == ("2024-05-02T11-45-06_hello-world_one", "work")
    assert (item.entry.archived, item.entry.deleted) == (99, None)


def keep_and(name: str) -> Callable[[TrashArchive], None]:
    return lambda archive: getattr(archive.keep(ITEM), name)()


def test_a_copy_says_what_became_of_the_item(archive, trash):
    keep_and("deleted")(archive)
    assert deletion_times(trash) == [99]
    keep_and("discard")(archive)
    assert deletion_times(trash) == [99]


def test_a_second_try_takes_the_place_of_one_of_which_nobody_knows(archive, trash):
    archive.keep(ITEM)
    archive.keep(ITEM)
    assert deletion_times(trash) == [None]
    keep_and("deleted")(archive)
    assert deletion_times(trash) == [99]


def test_nothing_is_kept_of_what_can_not_be_read(archive, trash, files):
    files[2].error = Unreachable("no network")
    with pytest.raises(Unreachable):
        archive.keep(ITEM)
    assert deletion_times(trash) == []


def test_a_file_that_ends_too_early_is_no_copy(archive, trash, files, monkeypatch):
    monkeypatch.setattr(BytesFile, "size", property(lambda self: 10_000_000))
    with pytest.raises(HistfsError, match="ended before its size"):
        archive.keep(ITEM)
    assert deletion_times(trash) == []


def test_a_note_that_can_not_be_made_is_logged_and_the_copy_stays(archive, trash, caplog):
    copy = archive.keep(ITEM)
    (item,) = trash.items()
    (item.path / ".histfs-entry.json").mkdir()
    copy.deleted()
    assert "can't be updated" in caplog.text
    assert deletion_times(trash) == [None]
    caplog.clear()


def test_an_undecided_copy_stays_says_where_it_is_and_can_be_decided_about(archive, trash):
    copy = archive.keep(ITEM)
    (item,) = trash.items()
    with trash.try_lock(item) as locked:
        assert not locked
    assert copy.undecided() == str(item.path)
    assert deletion_times(trash) == [None]
    with trash.try_lock(item) as locked:
        assert locked


@pytest.mark.parametrize("name", ["deleted", "undecided"])
def test_what_ends_a_delete_lets_go_of_its_copy(archive, trash, name):
    before = len(os.listdir("/proc/self/fd"))
    keep_and(name)(archive)
    (item,) = trash.items()
    with trash.try_lock(item) as locked:
        assert locked
    assert len(os.listdir("/proc/self/fd")) == before
