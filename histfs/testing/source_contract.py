"""What histfs relies on of a source."""

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
from histfs.core.names import is_component, item_name, key_in, key_of
from histfs.core.source import SPAN, WORDS, AttachmentSource, Page, Query, Source, Traits
from histfs.core.times import ALWAYS, EARLIEST, LATEST, Span, Zone

#: Pages after which a listing has no end.
_ENDLESS = 10_000
#: Items of which each is looked at alone.
_SOME = 5
_THREADS = 8
_ID_OF_NOTHING = "no-such-item"


def everything(source: Source, query: Query | None = None) -> list[Record]:
    """Return all that a source lists, page by page, as histfs reads it.

    Args:
        source: the source.
        query: what to ask for; None for all items.
    """
    return [record for page in _pages(source, query or Query()) for record in page.records]


def _pages(source: Source, query: Query) -> Iterator[Page]:
    """Yield the pages of an answer."""
    asked = query
    cursors = set[str]()
    while len(cursors) < _ENDLESS:
        page = source.list(asked)
        yield page
        if page.cursor is None:
            return
        assert page.cursor not in cursors, "a cursor came twice: these pages have no end"
        cursors.add(page.cursor)
        asked = replace(query, after=page.cursor)
    raise AssertionError(f"these pages have no end: {_ENDLESS} were read")


def _found(source: Source, words: str) -> set[str]:
    """Return the ids of all items that words find."""
    pages = list(_pages(source, Query(words=words)))
    found = [record.item.id for page in pages for record in page.records]
    return {*found, *(named.id for page in pages for named in page.named)}


class SourceContract:
    """Inherit it, and give a fixture `source`.

    The source has at least three items, of at least two dates, of which one or more have audio. It
    is made for each test: one of them deletes an item.
    """

    @pytest.fixture
    def source(self) -> Source:
        """Return the source that is tested."""
        raise NotImplementedError("give a fixture `source`")

    @pytest.fixture
    def listed(self, source: Source) -> list[Record]:
        """Return all items of the source."""
        records = everything(source)
        assert len(records) >= 3, "the source that is tested needs at least three items"
        assert len({record.item.date for record in records}) > 1, "they need two dates"
        return records

    def test_traits_say_what_the_source_is_like(self, source: Source) -> None:
        """The catalog, the views and the files are chosen by them."""
        traits = source.traits
        assert isinstance(traits, Traits)
        assert source.traits == traits
        assert traits.filters <= {SPAN, WORDS}
        assert traits.page_size >= 1
        for names in (traits.facets, traits.views, traits.files):
            assert not isinstance(names, str)
            assert all(isinstance(name, str) and name for name in names)

    def test_a_record_has_all_that_listings_need(
        self, source: Source, listed: list[Record]
    ) -> None:
        """`Record.of` makes one that has."""
        kinds = source.traits.facets
        for record in listed:
            item = record.item
            assert isinstance(item.id, str)
            assert item.id
            assert item.key == key_of(item.id), "use Record.of, or names.key_of"
            assert isinstance(item.date, int), "dates are whole seconds"
            assert EARLIEST <= item.date <= LATEST
            name = item_name(item.date, item.slug, item.key, Zone("UTC"))
            assert is_component(name)
            assert key_in(name) == item.key, "use Record.of, or names.slug_of"
            assert item.estimate >= 1
            assert item.content_type == item.content_type.lower()
            assert ";" not in item.content_type, "a media type without parameters"
            assert isinstance(json.loads(record.raw), dict), "raw is an object in JSON"
            has = record.facets.keys()
            assert has <= kinds if source.traits.summaries else has == kinds
            for values in record.facets.values():
                assert isinstance(values, tuple), "use Record.of"
                for value, label in values:
                    assert isinstance(value, str)
                    assert label is None or isinstance(label, str)
                distinct = {value for value, _ in values}
                assert len(distinct) == len(values) > 0, "use Record.of"
                assert "" not in distinct or len(values) == 1, "use Record.of"

    def test_no_item_is_listed_twice(self, listed: list[Record]) -> None:
        """An id tells one item from all others."""
        counts = Counter(record.item.id for record in listed)
        assert {item_id: count for item_id, count in counts.items() if count > 1} == {}

    def test_items_are_listed_newest_first(self, source: Source, listed: list[Record]) -> None:
        """How far down a page reaches is how much is known completely."""
        dates = [record.item.date for record in listed if record.dated]
        lowest = list(accumulate(dates, min))
        late = max(date - low for date, low in zip(dates, lowest, strict=True))
        assert late <= source.traits.disorder

    def test_listing_again_gives_the_same(self, source: Source, listed: list[Record]) -> None:
        """What has changed is told by the raw object and the revision."""
        assert everything(source) == listed

    @pytest.mark.parametrize("limit", [1, 2, 3])
    def test_small_pages_lose_and_double_nothing(
        self, source: Source, listed: list[Record], limit: int
    ) -> None:
        """Also where a page ends between two items of one second."""
        assert len(source.list(Query(limit=limit)).records) <= limit
        assert _ids(everything(source, Query(limit=limit))) == _ids(listed)

    def test_a_page_holds_no_more_than_is_said(self, source: Source) -> None:
        """Whatever limit is asked for."""
        size = source.traits.page_size
        assert len(source.list(Query()).records) <= size
        assert len(source.list(Query(limit=size)).records) <= size

    def test_a_span_holds_its_start_and_not_its_end(
        self, source: Source, listed: list[Record]
    ) -> None:
        """A day that had an item of the next one would lose it there."""
        if SPAN not in source.traits.filters:
            pytest.skip("histfs itself looks for the items of a span")
        dates = sorted({record.item.date for record in listed})
        some = {dates[0], dates[len(dates) // 2], dates[-1]}
        spans = [Span(date, date + 1) for date in some]
        spans += [Span(ALWAYS.start, date) for date in some]
        spans += [Span(date, ALWAYS.end) for date in some]
        spans += [Span(dates[0], dates[-1]), Span(dates[-1] + 1, dates[-1] + 2)]
        for span in spans:
            expected = [record for record in listed if span.holds(record.item.date)]
            for limit in (None, 1):
                found = everything(source, Query(span, limit=limit))
                assert _ids(found) == _ids(expected), (span, limit)

    def test_words_find_items_that_have_them(self, source: Source, listed: list[Record]) -> None:
        """What the server finds, or names, is what ``search`` shows."""
        if WORDS not in source.traits.filters:
            pytest.skip("histfs itself looks for words")
        summaries = source.traits.summaries
        whole = [source.get(r.item.id) for r in listed[:_SOME]] if summaries else listed
        texts = [(record, source.describe(record.raw).text or "") for record in whole]
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

    def test_an_item_that_is_got_is_the_one_that_is_listed(
        self, source: Source, listed: list[Record]
    ) -> None:
        """It stands in the same place, under the same name."""
        for record in listed[:_SOME]:
            got = source.get(record.item.id)
            assert (got.item.id, got.item.key) == (record.item.id, record.item.key)
            assert got.item.date == record.item.date
            assert got.facets.keys() <= source.traits.facets
            for kind, values in record.facets.items():
                assert [has.value for has in got.facets[kind]] == [has.value for has in values]
            if not source.traits.summaries:
                assert json.loads(got.raw) == json.loads(record.raw), "say summaries=True"

    def test_details_are_read_without_asking_anybody(
        self, source: Source, listed: list[Record]
    ) -> None:
        """What is in the catalog is shown without a network."""
        got = [source.get(record.item.id) for record in listed[:_SOME]]
        source.close()
        for record in [*listed, *got]:
            details = source.describe(record.raw)
            assert source.describe(record.raw) == details
            assert json.loads(details.raw) == json.loads(record.raw), "every field, as it came"
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

    def test_what_is_not_there_is_missing(self, source: Source, listed: list[Record]) -> None:
        """Another error would say that the source has failed."""
        with pytest.raises(Missing):
            source.get(_ID_OF_NOTHING)
        with pytest.raises(Missing):
            source.delete(_ID_OF_NOTHING)
        with pytest.raises(Missing), source.audio(_ID_OF_NOTHING) as stream:
            list(stream.chunks())
        assert everything(source) == listed

    def test_audio_is_whole(self, source: Source, listed: list[Record]) -> None:
        """Its length is exact, or not told; twice the same bytes."""
        heard = 0
        for record in listed[:_SOME]:
            try:
                content = _audio(source, record.item.id)
            except (NoAudio, NotReady):
                assert source.describe(source.get(record.item.id).raw).has_audio is not True
                continue
            assert content, "audio without a byte is no audio: raise NoAudio"
            assert _audio(source, record.item.id) == content
            heard += 1
        assert heard, f"none of the newest {_SOME} items has audio"

    def test_audio_that_is_not_read_to_its_end_harms_nobody(
        self, source: Source, listed: list[Record]
    ) -> None:
        """A download is given up when nobody waits for it any more."""
        item_id = next(record.item.id for record in listed if _heard(source, record.item.id))
        content = _audio(source, item_id)
        with source.audio(item_id):
            pass
        with source.audio(item_id) as stream:
            next(iter(stream.chunks()))
        assert _audio(source, item_id) == content

    def test_attachments_are_whole_and_each_has_an_id(
        self, source: Source, listed: list[Record]
    ) -> None:
        """They are copied before an item is deleted, and none is taken for another one."""
        if not source.traits.attachments:
            pytest.skip("the source has no attachments")
        opened = cast(AttachmentSource, source).attachment
        found = 0
        for record in listed:
            attachments = source.describe(source.get(record.item.id).raw).attachments
            for attachment in attachments:
                assert attachment.id, "what has no id can't be asked for"
                with opened(record.item.id, attachment.id) as stream:
                    length, content = stream.length, b"".join(stream.chunks())
                assert content
                assert length in (None, len(content))
                found += 1
            with pytest.raises(SourceError), opened(record.item.id, _ID_OF_NOTHING) as stream:
                list(stream.chunks())
        assert found, "the source that is tested needs an item with an attachment"
        with pytest.raises(Missing), opened(_ID_OF_NOTHING, _ID_OF_NOTHING) as stream:
            list(stream.chunks())

    def test_delete_takes_one_item_away(self, source: Source, listed: list[Record]) -> None:
        """Once; and no other one."""
        gone = listed[1].item.id
        source.delete(gone)
        assert _ids(everything(source)) == [item_id for item_id in _ids(listed) if item_id != gone]
        for act in (source.get, source.delete):
            with pytest.raises(Missing):
                act(gone)

    def test_several_threads_get_what_one_gets(self, source: Source, listed: list[Record]) -> None:
        """A mount lists, gets and downloads at once."""
        some = [record.item.id for record in listed[:_SOME]]
        heard = {item_id: content for item_id in some if (content := _heard(source, item_id))}

        def work(_: int) -> tuple[list[Record], list[str], dict[str, bytes | None]]:
            got = [source.get(item_id).item.id for item_id in some]
            return everything(source), got, {item_id: _heard(source, item_id) for item_id in heard}

        with ThreadPoolExecutor(_THREADS) as pool:
            for found in pool.map(work, range(_THREADS)):
                assert found == (listed, some, heard)


def _ids(records: list[Record]) -> list[str]:
    return [record.item.id for record in records]


def _audio(source: Source, item_id: str) -> bytes:
    """Return an item's audio, as it comes."""
    with source.audio(item_id) as stream:
        assert isinstance(stream.throttled, bool)
        length = stream.length
        chunks = list(stream.chunks())
    assert all(isinstance(chunk, bytes) for chunk in chunks)
    content = b"".join(chunks)
    assert length in (None, len(content))
    return content


def _heard(source: Source, item_id: str) -> bytes | None:
    """Return an item's audio, None where there is none now."""
    try:
        return _audio(source, item_id)
    except (NoAudio, NotReady):
        return None
