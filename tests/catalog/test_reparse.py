"""A catalog whose items were parsed by an older version."""

from __future__ import annotations

import json

import pytest

from histfs.catalog.reparse import reparse
from histfs.catalog.text_index import FullTextIndex
from histfs.core.errors import BadAnswer
from histfs.core.item import Record
from histfs.core.names import Labelled
from histfs.core.source import ObjectParser
from histfs.core.times import ALWAYS, Span
from histfs.core.waiting import Waiter

BOTH = (Labelled("k", "Karin"), Labelled("a", "Adam"))


def raw(n: int, **fields: object) -> bytes:
    return json.dumps({"id": f"i{n:04}", "date": n, "words": f"word{n}", **fields}).encode()


def old(content: bytes, date: int | None = None) -> Record:
    """Parse an object as an older version did."""
    fields = json.loads(content)
    date = fields["date"] if date is None else date
    return Record.of(
        fields["id"], date, content, title=f"karin {fields['words']}", facets={"voice": []}
    )


def new(content: bytes) -> Record:
    """Parse an object as this version does."""
    fields = json.loads(content)
    return Record.of(
        fields["id"], fields["date"], content, title=fields["words"], facets={"voice": BOTH}
    )


def fill(store, numbers, span=ALWAYS) -> None:
    store.replace(span, [old(raw(n)) for n in reversed(numbers)])


def shown(store) -> dict[str, tuple[str, ...]]:
    return {
        item.slug: tuple(has.value for has in store.facets(item.key, item.date)["voice"])
        for item in store.items(ALWAYS)
    }


def values(store) -> list[str]:
    return [value.value for value in store.facet_values("voice")]


def having(store, value) -> list[str]:
    return [listed.slug for listed in store.having("voice", value)]


def test_items_are_shown_as_they_are_read_now(store):
    fill(store, [1, 2])
    assert values(store) == [""]
    assert reparse(store, ObjectParser(1, new)) == 2
    assert shown(store) == {"word1": ("k", "a"), "word2": ("k", "a")}
    assert values(store) == ["a", "k"]
    assert having(store, "a") == having(store, "k") == ["word1", "word2"]
    assert having(store, "") == []
    assert store.total() == 2


def test_what_else_is_known_stays(store):
    store.replace(Span(1, 3), [old(raw(1))])
    store.set_audio("i0001", 77, b"x" * 32)
    before = store.find("i0001", 1)
    reparse(store, ObjectParser(1, new))
    after = store.find("i0001", 1)
    assert (after.revision, after.date) == (before.revision, before.date)
    assert store.fingerprint("i0001") == (77, b"x" * 32)
    assert store.raw("i0001", 1) == raw(1)
    assert store.coverage().spans() == [Span(1, 3)]


def test_facets_that_only_the_details_tell_stay_with_the_item(store):
    fill(store, [1])
    item = store.find("i0001", 1)
    full = Record.of(item.id, 1, b"{}", facets={"call": Labelled("CA1", None)})
    store.store_details(item, full, requested_at=0)
    assert reparse(store, ObjectParser(1, new)) == 1
    assert store.facets("i0001", 1) == {"voice": BOTH, "call": (Labelled("CA1", None),)}


def test_a_date_that_was_a_neighbours_stays(store):
    store.replace(ALWAYS, [old(raw(5), date=8)])
    reparse(store, ObjectParser(1, new))
    assert [(item.date, item.slug) for item in store.items(ALWAYS)] == [(8, "word5")]


def test_it_is_done_once_and_again_for_a_newer_version(store, open_store):
    fill(store, [1])
    assert reparse(store, ObjectParser(1, new)) == 1
    fill(store, [2], Span(2, 3))
    assert reparse(open_store(), ObjectParser(1, new)) == 0
    assert reparse(open_store(), ObjectParser(2, new)) == 1
    fill(store, [3], Span(3, 4))
    assert reparse(store, ObjectParser(1, new)) == 0, "an older version leaves it alone"


def test_what_is_read_as_before_is_not_written(store):
    fill(store, [1, 2])
    version = store.version
    assert reparse(store, ObjectParser(1, old)) == 0
    assert store.version == version


def test_after_an_interruption_it_goes_on_from_where_it_was(store, open_store):
    fill(store, range(1200))
    read = []

    def interrupted(content):
        read.append(content)
        if len(read) == 700:
            raise KeyboardInterrupt
        return new(content)

    with pytest.raises(KeyboardInterrupt):
        reparse(store, ObjectParser(1, interrupted))
    read.clear()
    assert (
        reparse(open_store(), ObjectParser(1, lambda content: read.append(1) or new(content)))
        == 700
    )
    assert len(read) == 700
    assert set(shown(store)) == {f"word{n}" for n in range(1200)}


def test_an_object_that_can_not_be_read_stays_as_it_is_and_is_told(store, caplog):
    fill(store, [1, 2])

    def fail(content):
        if json.loads(content)["id"] == "i0001":
            raise BadAnswer("no sense in it")
        return new(content)

    assert reparse(store, ObjectParser(1, fail)) == 1
    assert set(shown(store)) == {"karin-word1", "word2"}
    assert "i0001" in caplog.text


def test_an_item_that_is_written_meanwhile_is_left_alone(store):
    fill(store, [1])

    def read(content):
        store.replace(ALWAYS, [old(raw(1, words="another"))])
        return new(content)

    assert reparse(store, ObjectParser(1, read)) == 1
    assert set(shown(store)) == {"karin-another"}


def test_its_words_are_indexed_anew(store):
    fill(store, [1])
    before = FullTextIndex(store, lambda key, content: f"karin {json.loads(content)['words']}")
    assert [listed.key for listed in before.find("karin", Waiter(5))] == ["i0001"]
    reparse(store, ObjectParser(1, new))
    after = FullTextIndex(store, lambda key, content: json.loads(content)["words"])
    assert after.find("karin", Waiter(5)) == []
    assert [listed.key for listed in after.find("word1", Waiter(5))] == ["i0001"]
