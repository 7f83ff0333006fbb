"""The contracts of histfs.testing notice what they are there for."""

from __future__ import annotations

import inspect
from dataclasses import replace

import pytest

from histfs.core.errors import Unreachable
from histfs.core.file_context import FileContext
from histfs.core.files import TextFile
from histfs.core.item import Details
from histfs.core.nodes import BytesFile
from histfs.core.source import SPAN, WORDS, Page, Traits
from histfs.core.times import ALWAYS, Zone
from histfs.core.views import ByDay, ByVoice
from histfs.testing import (
    FileContract,
    MemoryAudio,
    MemoryIndex,
    SourceContract,
    ViewContract,
    describe_sample,
    everything,
    sample_records,
)
from histfs.testing.view_contract import walk
from tests.support.memory import MemorySource, MemoryStream, record

#: What a contract's test fails with: an assertion, or what should have been raised and was not.
REFUSED = (AssertionError, pytest.fail.Exception)


def run(contract, test, **fixtures):
    """Run one test of a contract, with those of the fixtures that it asks for."""
    method = getattr(contract(), f"test_{test}")
    method(**{name: fixtures[name] for name in inspect.signature(method).parameters})


class Faulty(MemorySource):
    def __init__(self):
        super().__init__(record(f"id{n}", 1000 + n // 3, f"Number {n}") for n in range(12))


class OldestFirst(Faulty):
    def list(self, query):
        return Page(super().list(query).records[::-1], None)


class RoundAndRound(Faulty):
    def list(self, query):
        return Page(super().list(replace(query, after=None)).records, "next")


class Doubling(Faulty):
    """The next page begins with the second at which the last one ended."""

    def list(self, query):
        if query.after is None:
            return super().list(query)
        last = int(query.after.partition(" ")[0])
        return super().list(replace(query, after=f"{last:020d} "))


class Losing(Faulty):
    """The next page begins below the second at which the last one ended."""

    def list(self, query):
        if query.after is None:
            return super().list(query)
        last = int(query.after.partition(" ")[0])
        return super().list(replace(query, after=f"{last + 1:020d} "))


class BoundlessPages(Faulty):
    def list(self, query):
        return super().list(replace(query, limit=None))


class InclusiveSpan(Faulty):
    def list(self, query):
        span = query.span
        end = span.end + 1 if span.end < ALWAYS.end else span.end
        return super().list(replace(query, span=span._replace(end=end)))


class Forgetful(Faulty):
    def get(self, item_id):
        return self.records()[0]


class KeylessMissing(Faulty):
    def get(self, item_id):
        return {r.item.id: r for r in self.records()}[item_id]


class EasyDelete(Faulty):
    def delete(self, item_id):
        if item_id in [r.item.id for r in self.records()]:
            super().delete(item_id)


class DeletesAnother(Faulty):
    def delete(self, item_id):
        super().delete(item_id)
        self.discard(self.records()[0].item.id)


class WrongLength(Faulty):
    def audio(self, item_id):
        stream = MemoryStream(b"12345", 2, 6)
        return _Open(stream)


class Silent(Faulty):
    def audio(self, item_id):
        return _Open(MemoryStream(b"", 2, 0))


class _Open:
    def __init__(self, stream):
        self._stream = stream

    def __enter__(self):
        return self._stream

    def __exit__(self, *error):
        return None


class DescribesLess(Faulty):
    def describe(self, raw):
        return Details(b"{}", None)


class DishonestFacets(Faulty):
    def __init__(self):
        super().__init__()
        self.traits = replace(self.traits, facets=frozenset({"voice"}))


class DishonestFilter(Faulty):
    def __init__(self):
        super().__init__()
        self.traits = replace(self.traits, filters=frozenset({SPAN, WORDS}))


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (OldestFirst, "items_are_listed_newest_first"),
        (DishonestFacets, "a_record_has_all_fields_that_listings_need"),
        (InclusiveSpan, "a_span_includes_its_start_and_excludes_its_end"),
        (Forgetful, "get_returns_the_item_that_is_listed"),
        (EasyDelete, "an_unknown_item_is_missing"),
        (EasyDelete, "delete_removes_one_item"),
        (DeletesAnother, "delete_removes_one_item"),
        (WrongLength, "audio_is_complete"),
        (Silent, "audio_is_complete"),
        (DescribesLess, "details_are_parsed_without_a_request"),
        (DishonestFilter, "words_find_items_that_contain_them"),
    ],
)
def test_a_source_with_a_fault_is_refused(kind, test):
    source = kind()
    listed = everything(source)
    with pytest.raises(REFUSED):
        run(SourceContract, test, source=source, listed=listed)


@pytest.mark.parametrize("kind", [Doubling, Losing, BoundlessPages])
def test_pages_that_lose_double_or_exceed_are_refused(kind):
    source = kind()
    with pytest.raises(REFUSED):
        test = "small_pages_lose_and_repeat_nothing"
        run(SourceContract, test, source=source, listed=source.records(), limit=2)


def test_pages_without_an_end_are_refused():
    with pytest.raises(AssertionError, match="endless"):
        everything(RoundAndRound())


def test_another_error_than_missing_is_refused():
    source = KeylessMissing()
    with pytest.raises(KeyError):
        run(SourceContract, "an_unknown_item_is_missing", source=source, listed=[])


class Partial(ByDay):
    """Shows not every item, and says that it does."""

    def directory(self, item, index):
        return None if item.key < "h" else super().directory(item, index)


class Doubled(ByDay):
    """Shows an item twice."""

    def items(self, at, index):
        return (listed for listed in super().items(at, index) for _ in range(2))


class Homeless(ByVoice):
    """Says nowhere that an item of several voices has its home in one directory."""

    def linked(self, at, index):
        return frozenset()


class Scattered(ByVoice):
    """Lists an item under each of its voices, and knows of one."""

    def places(self, item, index):
        return super().places(item, index)[:1]


class Slashed(ByDay):
    def subdirectories(self, at, index):
        return [f"{name}/" for name in super().subdirectories(at, index)]


class Rootless(ByDay):
    """Lists what it doesn't find."""

    def holds(self, at, item, index):
        return False


class NewestFirst(ByDay):
    def items(self, at, index):
        return iter(list(super().items(at, index))[::-1])


class Ageless(ByDay):
    def newest(self, at, index):
        return super().newest((), index)


class Numbered(ByDay):
    """Calls directories in the order in which it was asked."""

    def __init__(self, zone):
        super().__init__(zone)
        self._numbers = {}

    def directory(self, item, index):
        day = super().directory(item, index)
        return str(self._numbers.setdefault(day, len(self._numbers)))


class Arrived(ByDay):
    """Calls directories in the order in which items became known."""

    def directory(self, item, index):
        return str(list(index.rows).index(item.key) % 3)


class Ranked(ByDay):
    """Says of an item how many come before it."""

    def directory(self, item, index):
        return str(sorted(index.rows).index(item.key) // 5 if item.key in index.rows else None)


class Hasty(ByDay):
    """Lists what is known so far."""

    def complete(self, at, index):
        return True


class Trusting(ByDay):
    """Takes a failure for the end."""

    def ensure(self, at, index, waiter):
        index.complete(ALWAYS)


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (Partial, "a_total_view_shows_every_item"),
        (Doubled, "an_item_stands_once_in_a_directory"),
        (Homeless, "an_item_has_one_home"),
        (Scattered, "what_is_listed_is_found_and_nothing_else"),
        (Slashed, "names_are_names"),
        (Rootless, "what_is_listed_is_found_and_nothing_else"),
        (NewestFirst, "items_come_oldest_first"),
        (Ageless, "a_directory_is_as_new_as_its_newest_item"),
        (Ageless, "there_is_no_directory_but_those_that_are_listed"),
        (Arrived, "the_order_in_which_items_became_known_tells_nothing"),
        (Numbered, "the_next_mount_shows_the_same"),
        (Ranked, "an_item_that_goes_leaves_the_others_where_they_are"),
        (Hasty, "nothing_is_listed_before_all_of_it_is_known"),
        (Trusting, "a_source_that_fails_makes_a_listing_fail"),
    ],
)
def test_a_view_with_a_fault_is_refused(kind, test):
    view, records = kind(Zone("UTC")), sample_records()
    index = MemoryIndex(records)
    given = {
        "view": view,
        "index": index,
        "shown": walk(view, index),
        "unlisted": (),
        "fresh": lambda: kind(Zone("UTC")),
        "records": records,
        "describe": describe_sample,
    }
    with pytest.raises(REFUSED):
        run(ViewContract, test, **given)


class Padded(TextFile):
    def size(self, item, waiter):
        return super().size(item, waiter) + 1


class Hidden(TextFile):
    name = ".text"


class Empty(TextFile):
    """Looks empty before it is opened."""

    def size(self, item, waiter):
        return 0


class Stale(TextFile):
    """Keeps what it has rendered, whatever becomes of the item."""

    def __init__(self, library):
        super().__init__(library)
        self._kept = {}

    def open(self, item, waiter):
        if item.key not in self._kept:
            self._kept[item.key] = super().open(item, waiter)
        return self._kept[item.key]


class Lazy(TextFile):
    """Reads its item when it is read itself."""

    def open(self, item, waiter):
        opened, file = super().open(item, waiter), self

        class Late(BytesFile):
            def read(self, offset, size, waiter):
                return file.render(file._index.details(item))[offset : offset + size]

        return Late(opened.read(0, opened.size, waiter))


class Clumsy(TextFile):
    """Raises what nobody foresaw when an item is gone."""

    def open(self, item, waiter):
        return BytesFile(self._index.rows[item.key].raw)


@pytest.mark.parametrize(
    ("kind", "test", "error"),
    [
        (Hidden, "the_name_is_one_and_stays", REFUSED),
        (Stale, "an_item_that_changed_has_its_new_bytes", REFUSED),
        (Lazy, "an_open_file_outlives_its_item", Exception),
        (Clumsy, "without_its_details_a_file_fails_as_it_should", KeyError),
    ],
)
def test_a_file_with_a_fault_is_refused(kind, test, error):
    library = FileContext(Traits(), MemoryIndex(sample_records()), MemoryAudio())
    with pytest.raises(error):
        run(FileContract, test, make=kind, library=library)


class Online(TextFile):
    """Fetches the item to tell its size."""

    def size(self, item, waiter):
        return len(self.render(self._index.full(item, waiter)))


class Unprepared(TextFile):
    """Has nothing fetched for the copy of an item."""

    def before_archive(self, item, waiter):
        assert item


@pytest.mark.parametrize(
    ("kind", "test", "error"),
    [
        (Padded, "the_size_is_what_is_read_once_the_file_was_open", REFUSED),
        (Empty, "looking_asks_nobody", REFUSED),
        (Online, "looking_asks_nobody", Unreachable),
        (Unprepared, "what_is_to_be_archived_is_here", Unreachable),
    ],
)
def test_a_file_that_needs_what_was_not_fetched_is_refused(kind, test, error):
    records = {record.item.key: record for record in sample_records()}
    index = MemoryIndex(records.values(), fetch=lambda item: describe_sample(records[item.key].raw))
    library = FileContext(Traits(summaries=True), index, MemoryAudio())

    class Request:
        def getfixturevalue(self, name):
            return library

    with pytest.raises(error):
        run(FileContract, test, make=kind, listing="summaries", request=Request())
