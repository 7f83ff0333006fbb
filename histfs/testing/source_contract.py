"""The contract of a source, as a test suite."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import accumulate
from typing import cast

import pytest

from histfs.core.errors import Missing, NoAudio, NotReady, SourceError
from histfs.core.item import Record
from histfs.core.name_forms import key_in
from histfs.core.names import is_component, item_name, key_of
from histfs.core.source import SPAN, WORDS, AttachmentSource, Page, Query, Source, Traits
from histfs.core.times import ALWAYS, EARLIEST, LATEST, Span, Zone

#: Pages of a listing; more of them count as endless.
_MAX_PAGES = 10_000
#: Items that are tested one by one.
_SAMPLE = 5
_THREADS = 8
_UNKNOWN_ID = "no-such-item"


def everything(source: Source, query: Query | None = None) -> list[Record]:
    """Return all records that a source lists, page by page, as histfs reads them.

    Args:
        source: the source.
        query: the filters; None for all items.
    """
    return [record for page in _pages(source, query or Query()) for record in page.records]


def _pages(source: Source, query: Query) -> Iterator[Page]:
    """Yield the pages of a listing."""
    page_query = query
    cursors = set[str]()
    while len(cursors) < _MAX_PAGES:
        page = source.list(page_query)
        yield page
        if page.cursor is None:
            return
        assert page.cursor not in cursors, "a cursor was repeated: the listing is endless"
        cursors.add(page.cursor)
        page_query = replace(query, after=page.cursor)
    raise AssertionError(f"the listing is endless: {_MAX_PAGES} pages were read")


def _found(source: Source, words: str) -> set[str]:
    """Return the ids of all items that match words."""
    pages = list(_pages(source, Query(words=words)))
    found = [record.item.id for page in pages for record in page.records]
    return {*found, *(named.id for page in pages for named in page.named)}


class SourceContract:
    """The tests of a source; a subclass provides a fixture `source`.

    The source needs at least three items of at least two dates, one or more of them with audio. The
    fixture makes a source for each test: one of them deletes an item.
    """

    @pytest.fixture
    def source(self) -> Source:
        """Return the source under test."""
        raise NotImplementedError("provide a fixture `source`")

    @pytest.fixture
    def listed(self, source: Source) -> list[Record]:
        """Return all items of the source."""
        records = everything(source)
        assert len(records) >= 3, "the source under test needs at least three items"
        assert len({record.item.date for record in records}) > 1, "the items need two dates"
        return records

    def test_traits_are_valid(self, source: Source) -> None:
        """Test the traits, which select the catalog, the views and the files."""
        traits = source.traits
        assert isinstance(traits, Traits)
        assert source.traits == traits
        assert traits.filters <= {SPAN, WORDS}
        assert traits.page_size >= 1
        for names in (traits.facets, traits.views, traits.files):
            assert not isinstance(names, str)
            assert all(isinstance(name, str) and name for name in names)

    def test_a_record_has_all_fields_that_listings_need(
        self, source: Source, listed: list[Record]
    ) -> None:
        """Test the fields of records; `Record.of` makes valid ones."""
        kinds = source.traits.facets
        for record in listed:
            item = record.item
            assert isinstance(item.id, str)
            assert item.id
            assert item.key == key_of(item.id), "use Record.of, or names.key_of"
            assert isinstance(item.date, int), "dates must be whole seconds"
            assert EARLIEST <= item.date <= LATEST
            name = item_name(item.date, item.slug, item.key, Zone("UTC"))
            assert is_component(name)
            assert key_in(name) == item.key, "use Record.of, or names.slug_of"
            assert item.estimate >= 1
            assert item.content_type == item.content_type.lower()
            assert ";" not in item.content_type, "a media type without parameters"
            assert isinstance(json.loads(record.raw), dict), "raw must be a JSON object"
            facets = record.facets.keys()
            assert facets <= kinds if source.traits.summaries else facets == kinds
            for values in record.facets.values():
                assert isinstance(values, tuple), "use Record.of"
                for value, label in values:
                    assert isinstance(value, str)
                    assert label is None or isinstance(label, str)
                distinct = {value for value, _ in values}
                assert len(distinct) == len(values) > 0, "use Record.of"
                assert "" not in distinct or len(values) == 1, "use Record.of"

    def test_no_item_is_listed_twice(self, listed: list[Record]) -> None:
        """Test that ids are unique."""
        counts = Counter(record.item.id for record in listed)
        assert {item_id: count for item_id, count in counts.items() if count > 1} == {}

    def test_items_are_listed_newest_first(self, source: Source, listed: list[Record]) -> None:
        """Test the order of dates: the last date of a page bounds what is completely known."""
        dates = [record.item.date for record in listed if record.dated]
        lowest = list(accumulate(dates, min))
        disorder = max(date - low for date, low in zip(dates, lowest, strict=True))
        assert disorder <= source.traits.disorder

    def test_listing_again_returns_the_same(self, source: Source, listed: list[Record]) -> None:
        """Test that raw objects and revisions differ only after a change."""
        assert everything(source) == listed

    @pytest.mark.parametrize("limit", [1, 2, 3])
    def test_small_pages_lose_and_repeat_nothing(
        self, source: Source, listed: list[Record], limit: int
    ) -> None:
        """Test page ends, also between two items of one second."""
        assert len(source.list(Query(limit=limit)).records) <= limit
        assert _ids(everything(source, Query(limit=limit))) == _ids(listed)

    def test_a_page_holds_no_more_than_the_page_size(self, source: Source) -> None:
        """Test it with and without a limit."""
        size = source.traits.page_size
        assert len(source.list(Query()).records) <= size
        assert len(source.list(Query(limit=size)).records) <= size

    def test_a_span_includes_its_start_and_excludes_its_end(
        self, source: Source, listed: list[Record]
    ) -> None:
        """Test spans: an item must be in exactly one of two adjacent days."""
        if SPAN not in source.traits.filters:
            pytest.skip("the source has no filter for spans")
        dates = sorted({record.item.date for record in listed})
        samples = {dates[0], dates[len(dates) // 2], dates[-1]}
        spans = [Span(date, date + 1) for date in samples]
        spans += [Span(ALWAYS.start, date) for date in samples]
        spans += [Span(date, ALWAYS.end) for date in samples]
        spans += [Span(dates[0], dates[-1]), Span(dates[-1] + 1, dates[-1] + 2)]
        for span in spans:
            expected = [record for record in listed if span.holds(record.item.date)]
            for limit in (None, 1):
                found = everything(source, Query(span, limit=limit))
                assert _ids(found) == _ids(expected), (span, limit)

    def test_words_find_items_that_contain_them(self, source: Source, listed: list[Record]) -> None:
        """Test the results of the server, which ``search`` shows."""
        if WORDS not in source.traits.filters:
            pytest.skip("the source has no filter for words")
        summaries = source.traits.summaries
        records = [source.get(r.item.id) for r in listed[:_SAMPLE]] if summaries else listed
        texts = [(record, source.describe(record.raw).text or "") for record in records]
        record, word = next(
            (record, word)
            for record, text in texts
            for word in text.split()
            if len(word) > 4 and word.isalpha() and word.isascii()
        )
        found = _found(source, word)
        assert record.item.id in found
        assert found <= set(_ids(listed))
        assert _found(source, "qxzvjkwyqx") == set()

    def test_get_returns_the_item_that_is_listed(
        self, source: Source, listed: list[Record]
    ) -> None:
        """Test that an item has the same path whether it was listed or got."""
        for record in listed[:_SAMPLE]:
            got = source.get(record.item.id)
            assert (got.item.id, got.item.key) == (record.item.id, record.item.key)
            assert got.item.date == record.item.date
            assert got.facets.keys() <= source.traits.facets
            for kind, values in record.facets.items():
                assert [each.value for each in got.facets[kind]] == [each.value for each in values]
            if not source.traits.summaries:
                assert json.loads(got.raw) == json.loads(record.raw), "say summaries=True"

    def test_details_are_parsed_without_a_request(
        self, source: Source, listed: list[Record]
    ) -> None:
        """Test `describe` on a closed source: the catalog is shown without a network."""
        got = [source.get(record.item.id) for record in listed[:_SAMPLE]]
        source.close()
        for record in [*listed, *got]:
            details = source.describe(record.raw)
            assert source.describe(record.raw) == details
            assert json.loads(details.raw) == json.loads(record.raw), "every field, unchanged"
            assert details.text is None or isinstance(details.text, str)
            assert isinstance(details.final, bool)
            assert details.has_audio in (True, False, None)

    def test_what_was_listed_can_be_read_anew(self, source: Source, listed: list[Record]) -> None:
        """A catalog that an older version wrote is read anew, without asking anybody."""
        parser = source.traits.parser
        if parser is None:
            pytest.skip("the source has never read its objects otherwise")
        assert parser.version >= 1
        for record in listed:
            again = parser.parse(record.raw)
            assert (again.item.slug, again.facets) == (record.item.slug, record.facets)

    def test_an_unknown_item_is_missing(self, source: Source, listed: list[Record]) -> None:
        """Test the exception; any other one would be a failure of the source."""
        with pytest.raises(Missing):
            source.get(_UNKNOWN_ID)
        with pytest.raises(Missing):
            source.delete(_UNKNOWN_ID)
        with pytest.raises(Missing), source.audio(_UNKNOWN_ID) as stream:
            list(stream.chunks())
        assert everything(source) == listed

    def test_audio_is_complete(self, source: Source, listed: list[Record]) -> None:
        """Test that the length is exact or None, and that two reads return the same bytes."""
        with_audio = 0
        for record in listed[:_SAMPLE]:
            try:
                content = _audio(source, record.item.id)
            except (NoAudio, NotReady):
                assert source.describe(source.get(record.item.id).raw).has_audio is not True
                continue
            assert content, "audio without a byte is no audio: raise NoAudio"
            assert _audio(source, record.item.id) == content
            with_audio += 1
        assert with_audio, f"none of the newest {_SAMPLE} items has audio"

    def test_abandoned_audio_has_no_effect_on_later_reads(
        self, source: Source, listed: list[Record]
    ) -> None:
        """Test streams that are not read to their end, as when a download is cancelled."""
        item_id = next(each.item.id for each in listed if _try_audio(source, each.item.id))
        content = _audio(source, item_id)
        with source.audio(item_id):
            pass
        with source.audio(item_id) as stream:
            next(iter(stream.chunks()))
        assert _audio(source, item_id) == content

    def test_attachments_are_complete_and_each_has_an_id(
        self, source: Source, listed: list[Record]
    ) -> None:
        """Test all attachments: they are archived by their ids before an item is deleted."""
        if not source.traits.attachments:
            pytest.skip("the source has no attachments")
        opened = cast(AttachmentSource, source).attachment
        found = 0
        for record in listed:
            attachments = source.describe(source.get(record.item.id).raw).attachments
            for attachment in attachments:
                assert attachment.id, "an attachment without an id can't be fetched"
                with opened(record.item.id, attachment.id) as stream:
                    length, content = stream.length, b"".join(stream.chunks())
                assert content
                assert length in (None, len(content))
                found += 1
            with pytest.raises(SourceError), opened(record.item.id, _UNKNOWN_ID) as stream:
                list(stream.chunks())
        assert found, "the source under test needs an item with an attachment"
        with pytest.raises(Missing), opened(_UNKNOWN_ID, _UNKNOWN_ID) as stream:
            list(stream.chunks())

    def test_delete_removes_one_item(self, source: Source, listed: list[Record]) -> None:
        """Test that the item is missing afterwards, and only that one."""
        deleted = listed[1].item.id
        source.delete(deleted)
        assert _ids(everything(source)) == [id_ for id_ in _ids(listed) if id_ != deleted]
        for method in (source.get, source.delete):
            with pytest.raises(Missing):
                method(deleted)

    def test_concurrent_threads_get_the_same(self, source: Source, listed: list[Record]) -> None:
        """Test concurrent listings, gets and downloads, as of a mount."""
        sample = [record.item.id for record in listed[:_SAMPLE]]
        audible = {item_id: audio for item_id in sample if (audio := _try_audio(source, item_id))}

        def work(_: int) -> tuple[list[Record], list[str], dict[str, bytes | None]]:
            got = [source.get(item_id).item.id for item_id in sample]
            audio = {item_id: _try_audio(source, item_id) for item_id in audible}
            return everything(source), got, audio

        with ThreadPoolExecutor(_THREADS) as pool:
            for found in pool.map(work, range(_THREADS)):
                assert found == (listed, sample, audible)


def _ids(records: list[Record]) -> list[str]:
    return [record.item.id for record in records]


def _audio(source: Source, item_id: str) -> bytes:
    """Return the audio of an item."""
    with source.audio(item_id) as stream:
        assert isinstance(stream.throttled, bool)
        length = stream.length
        chunks = list(stream.chunks())
    assert all(isinstance(chunk, bytes) for chunk in chunks)
    content = b"".join(chunks)
    assert length in (None, len(content))
    return content


def _try_audio(source: Source, item_id: str) -> bytes | None:
    """Return the audio of an item; None when it has none now."""
    try:
        return _audio(source, item_id)
    except (NoAudio, NotReady):
        return None
