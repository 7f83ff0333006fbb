"""The outcome of a failed DELETE for the item and its copy, for every combination of answers."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus

import pytest

from histfs.core.errors import (
    BadAnswer,
    DeleteUnconfirmed,
    HistfsError,
    Missing,
    NotComplete,
    ServerFailed,
    Unreachable,
    errno_of,
)
from histfs.core.presence import is_listed
from histfs.sources.elevenlabs.error_responses import error_from_response
from tests.core.fakes import TableIndex
from tests.support.memory import record

MOMENT = 1_714_650_306
AUDIO = "/by-date/2024/05/02/2024-05-02T11-45-06_hello-world_one/audio.mp3"
REFUSALS = {
    int(status): error_from_response(status, None) for status in HTTPStatus if 400 <= status < 500
}
LOST = {"no answer": Unreachable("?"), "502": ServerFailed("?"), "html": BadAnswer("?")}
ERRORS = {**REFUSALS, **LOST}
HONEST, FAILS, LIES = "honest", "fails", "lies"


def deletes(world, error: HistfsError, done: bool, get: str, listing: str) -> None:
    """Make a DELETE fail, done or not; GET and lists then are honest, fail or lie."""
    source, index = world.source, world.index
    records = source.records()

    def delete(item_id: str) -> None:
        source._called("delete", item_id)
        if done:
            source.discard(item_id)
        raise error

    source.delete = delete
    if get is FAILS:
        source.fail("get", ServerFailed("get"))
    elif get is LIES:
        source.fail("get", Missing("get"))

    def listed() -> None:
        shown = source.records()
        if listing is LIES:
            shown = records if done else []
        for key in set(index.rows) - {each.item.key for each in shown}:
            index.discard(key)

    index.on_asked = listed
    index.error = Unreachable("list") if listing is FAILS else None


@pytest.mark.parametrize("listing", [HONEST, FAILS, LIES])
@pytest.mark.parametrize("get", [HONEST, FAILS, LIES])
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("error", ERRORS.values(), ids=map(str, ERRORS))
def test_no_answer_to_a_delete_loses_an_item(make_world, error, done, get, listing):
    world = make_world(record("one", MOMENT), record("two", MOMENT + 1))
    deletes(world, error, done, get, listing)
    raised = None
    try:
        world.unlink(AUDIO)
    except HistfsError as failure:
        raised = failure
    there = any(each.item.id == "one" for each in world.source.records())
    state = world.archive.calls[-1][0]
    assert there or state != "discard"
    assert world.source.count("delete") == 1
    assert raised is None or errno_of(raised) != 2, "rm -f takes ENOENT for success"
    if get is HONEST and listing is HONEST:
        if done:
            assert (raised, state) == (None, "deleted")
        else:
            # A server that has not answered may still be working on the request.
            assert state == ("undecided" if error in LOST.values() else "discard")
            kind = BadAnswer if isinstance(error, Missing) else type(error)
            assert type(raised) is kind
    elif raised is None:
        # Gone by two answers, and the list is one of them.
        assert state == "deleted"
        assert (done and listing is HONEST) or (not done and get is not HONEST and listing is LIES)
    else:
        assert state == "undecided"
        assert type(raised) is DeleteUnconfirmed


def test_a_log_line_says_where_the_copy_is(make_world, caplog):
    world = make_world(record("one", MOMENT))
    deletes(world, REFUSALS[409], True, HONEST, FAILS)
    with pytest.raises(DeleteUnconfirmed):
        world.unlink(AUDIO)
    assert "whether item one is deleted is not known" in caplog.text
    assert "a copy of it is in the trash" in caplog.text
    caplog.clear()


def test_a_server_that_can_not_be_asked_is_not_asked_for_lists(make_world):
    world = make_world(record("one", MOMENT))
    deletes(world, REFUSALS[401], False, FAILS, HONEST)
    with pytest.raises(DeleteUnconfirmed):
        world.unlink(AUDIO)
    assert world.index.asked == []


class LateIndex(TableIndex):
    """An index whose first lists were requested too early.

    Attributes:
        early: the number of these lists.
    """

    early = 1

    def asked_after(self, span, moment):
        self.early -= 1
        return self.early < 0


@pytest.mark.parametrize("early", [0, 1, 2, 3])
def test_a_list_that_was_requested_before_is_not_believed(early):
    index, slept = LateIndex([record("one", MOMENT)]), []
    index.early = early
    item = index.rows["one"].item
    found = None
    with suppress(NotComplete):
        found = is_listed(
            index, "one", MOMENT, after=99.5, stale=item, clock=lambda: 100.25,
            sleep=slept.append,
        )  # fmt: skip
    assert found is (True if early < 3 else None)
    assert len(index.asked) == min(early + 1, 3)
    assert slept == [0.75] * min(early, 2)
