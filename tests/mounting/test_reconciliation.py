"""Copies that are undecided are decided about later, and none is lost thereby."""

from __future__ import annotations

import pytest

from histfs.core.errors import ServerFailed, Unreachable
from histfs.mounting.reconciliation import GRACE, DeleteReconciler, SourceItems
from histfs.trash import Trash, TrashEntry
from tests.core.fakes import TableIndex
from tests.support.memory import MemorySource, record

DATE, ARCHIVED = 1_714_650_306, 1_714_660_000
URL = "https://api.elevenlabs.io"


class World:
    """A trash, and the server that its items were deleted at."""

    def __init__(self, directory):
        self.trash = Trash(directory / "trash")
        self.records = [record(name, DATE + n) for n, name in enumerate("abc")]
        self.source = MemorySource(self.records)
        self.index = TableIndex(self.records)
        self.index.on_asked = self.listed
        self.now = ARCHIVED + GRACE + 60

    def listed(self):
        there = {each.item.key for each in self.source.records()}
        for key in set(self.index.rows) - there:
            self.index.discard(key)

    def copy(self, name="a", **more):
        item = next(each.item for each in self.records if each.item.id == name)
        given = {
            "id": item.id, "key": item.key, "name": f"name-{name}", "date": item.date,
            "archived": ARCHIVED, "deleted": None, "base_url": URL, "profile": "default",
            "files": {}, "source": "history", "account": "this",
        }  # fmt: skip
        return self.trash.add(TrashEntry(**{**given, **more}), {"audio.mp3": [b"audio"]})

    def reconcile(self):
        items = {("this", "history"): SourceItems(self.source, self.index)}
        return tuple(DeleteReconciler(self.trash, URL, items, lambda: self.now).reconcile())

    def kept(self):
        """Return when the item of each copy was deleted, by its id."""
        return {stored.entry.id: stored.entry.deleted for stored in self.trash.items()}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_a_copy_goes_when_the_server_has_the_item_and_stays_as_the_last_one_when_not(world):
    world.copy("a")
    world.copy("b")
    world.source.discard("b")
    assert world.reconcile() == (1, 1, 0)
    assert world.kept() == {"b": int(world.now)}
    assert world.reconcile() == (0, 0, 0)


def nothing():
    """Let a list show what it has shown before."""


@pytest.mark.parametrize("gone", [False, True], ids=["there", "gone"])
@pytest.mark.parametrize(
    "fault",
    [
        lambda world: world.source.fail("get", ServerFailed("500")),
        lambda world: setattr(world.index, "error", Unreachable("no list")),
        lambda world: setattr(world.index, "asked_after", lambda span, moment: False),
        lambda world: setattr(world, "now", ARCHIVED + GRACE - 1),
    ],
    ids=["no item", "no list", "old list", "too soon"],
)
def test_what_is_not_known_stays_undecided(world, fault, gone):
    world.copy()
    if gone:
        world.source.discard("a")
    fault(world)
    assert world.reconcile() == (0, 0, 1)
    assert world.kept() == {"a": None}


def test_a_stale_list_decides_nothing_against_the_item_itself(world):
    world.copy()
    world.source.discard("a")
    world.index.on_asked = nothing
    assert world.reconcile() == (0, 0, 1)
    assert world.kept() == {"a": None}


def test_a_copy_is_left_alone_while_its_item_is_being_deleted(world):
    release = world.trash.lock_for_delete(world.copy())
    assert world.reconcile() == (0, 0, 1)
    assert world.source.calls == []
    release()
    assert world.reconcile() == (1, 0, 0)


@pytest.mark.parametrize(
    "more", [{"account": "other"}, {"source": "plugin"}, {"account": "", "base_url": "http://x"}]
)
def test_copies_of_other_accounts_and_sources_are_left_alone(world, more):
    world.copy(**more)
    assert world.reconcile() == (0, 0, 0)
    assert world.kept() == {"a": None}
    assert world.source.calls == []


def test_of_an_older_entry_only_what_is_there_is_believed(world):
    world.copy("a", account="", source="")
    world.copy("b", account="", source="")
    world.source.discard("b")
    assert world.reconcile() == (1, 0, 1)
    assert world.kept() == {"b": None}


def test_one_item_that_fails_does_not_keep_others_undecided_but_a_server_that_is_away_does(world):
    world.copy("a")
    world.copy("b")
    world.source.fail("get", ServerFailed("500"))
    assert world.reconcile() == (0, 0, 2)
    assert world.source.count("get") == 2
    world.source.recover()
    world.source.fail("get", Unreachable("down"))
    assert world.reconcile() == (0, 0, 2)
    assert world.source.count("get") == 3
