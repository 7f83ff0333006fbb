"""Beyond the contract: the names of conversations; only those with a known id are shown."""

from __future__ import annotations

import pytest

from histfs.core.times import Zone
from histfs.core.views import ByCall
from histfs.testing import MemoryIndex, sample


@pytest.fixture
def view():
    return ByCall(Zone("UTC"))


def names(view, *records):
    index = MemoryIndex(records)
    return {name: listed.key for name, listed in view.aliases((), index)}


def test_a_conversation_is_called_by_its_call_and_shown_once_that_is_known(view):
    known = sample("a", 1, call="CA1")
    assert names(view, known, sample("b", 2)) == {"CA1": "a"}
    assert view.newest((), MemoryIndex([sample("b", 2)])) is None


def test_of_several_with_one_call_the_oldest_has_its_name(view):
    calls = [sample("b", 2, call="CA1"), sample("a", 1, call="CA1"), sample("c", 3, call="CA1")]
    assert names(view, *calls) == {"CA1": "a", "CA1 (b)": "b", "CA1 (c)": "c"}


def test_a_name_is_safe_and_short_enough_also_with_the_key_behind_it(view):
    calls = [sample("a" * 300, 1, call="../" + "x" * 300), sample("b", 2, call="../" + "x" * 300)]
    first, second = names(view, *calls)
    assert first.startswith("-x") or first.startswith("x")
    assert second.endswith("x (b)")
    assert max(len(first), len(second)) <= 255


def test_a_call_that_is_deleted_while_it_is_listed_is_left_out(view):
    index = MemoryIndex([sample("a", 1, call="CA1"), sample("b", 2, call="CA2")])
    listing = view.aliases((), index)
    assert next(listing)[0] == "CA1"
    index.discard("b")
    assert list(listing) == []
