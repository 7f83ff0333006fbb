"""The contract of an item file: what histfs relies on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from histfs.core.errors import HistfsError, Unreachable
from histfs.core.file_context import FileContext
from histfs.core.files import ItemFile
from histfs.core.item import Details, Item, Record
from histfs.core.names import is_component
from histfs.core.nodes import OpenFile
from histfs.core.source import Traits
from histfs.core.waiting import Waiter
from histfs.testing.memory_audio import MemoryAudio
from histfs.testing.memory_index import MemoryIndex
from histfs.testing.sample_items import describe_sample, sample_records

#: Bytes in a read: most files take several reads.
_PIECE = 7
_OFFLINE = Unreachable("no network")


class FileContract:
    """Inherit it, and override the fixture `make`.

    The items are samples. For a file that needs the items of another source, override `records`
    (``everything(source)``) and `describe` (``source.describe``), too; for a file that reads the
    audio, `clips`.
    """

    @pytest.fixture
    def make(self) -> Callable[[FileContext], ItemFile]:
        """Return the constructor of the file, as the entry point names it."""
        raise NotImplementedError("override the fixture `make`")

    @pytest.fixture
    def records(self) -> list[Record]:
        """Return the records of the items."""
        return sample_records()

    @pytest.fixture
    def describe(self) -> Callable[[bytes], Details]:
        """Return the function that parses the details of these items."""
        return describe_sample

    @pytest.fixture
    def clips(self) -> Mapping[str, bytes]:
        """Return the audio of items by their ids; ``audio of ID`` for any other item."""
        return {}

    @pytest.fixture
    def library(
        self,
        records: list[Record],
        describe: Callable[[bytes], Details],
        clips: Mapping[str, bytes],
    ) -> FileContext:
        """Return the file's context for a source that lists all there is."""
        return FileContext(Traits(), MemoryIndex(records, describe), MemoryAudio(clips))

    @pytest.fixture
    def summaries(
        self,
        records: list[Record],
        describe: Callable[[bytes], Details],
        clips: Mapping[str, bytes],
    ) -> FileContext:
        """Return the file's context for a source that lists summaries; no details are fetched."""
        raw = {record.item.key: record.raw for record in records}

        def fetch(item: Item) -> Details:
            return describe(raw[item.key])

        index = MemoryIndex(records, describe, fetch)
        return FileContext(Traits(summaries=True), index, MemoryAudio(clips))

    def test_the_name_is_one_and_stays(
        self, make: Callable[[FileContext], ItemFile], library: FileContext
    ) -> None:
        """It has at most 255 bytes, no slash, and is not hidden; or it is None."""
        file, again = make(library), make(library)
        names = {item.key: file.filename(item) for item in _items(library)}
        assert any(names.values()), "no item has the file: override `records`"
        for name in filter(None, names.values()):
            assert is_component(name)
            assert not name.startswith(".")
        assert {item.key: again.filename(item) for item in _items(library)} == names
        assert isinstance(file.deletes, bool)

    @pytest.mark.parametrize("listing", ["library", "summaries"])
    def test_the_size_is_what_is_read_once_the_file_was_open(
        self, make: Callable[[FileContext], ItemFile], listing: str, request: pytest.FixtureRequest
    ) -> None:
        """Programs that copy a file read exactly as many bytes as fstat(2) returns."""
        library: FileContext = request.getfixturevalue(listing)
        file = make(library)
        for item in _having(file, library):
            opened = file.open(item, Waiter(5))
            assert file.size(item, Waiter(5)) == opened.size == len(_content(opened))

    @pytest.mark.parametrize("listing", ["library", "summaries"])
    def test_looking_asks_nobody(
        self, make: Callable[[FileContext], ItemFile], listing: str, request: pytest.FixtureRequest
    ) -> None:
        """The size before the first open is exact or estimated; 0 only if the file is empty."""
        library: FileContext = request.getfixturevalue(listing)
        _disconnect(library)
        file = make(library)
        sizes = {item: file.size(item, Waiter(5)) for item in _having(file, library)}
        _disconnect(library, error=None)
        for item, size in sizes.items():
            assert size > 0 or not _content(file.open(item, Waiter(5)))

    def test_bytes_are_the_same_each_time_and_in_pieces(
        self, make: Callable[[FileContext], ItemFile], library: FileContext
    ) -> None:
        """A read may start at any offset, and ends at the end of the file."""
        file, again = make(library), make(library)
        for item in _having(file, library):
            opened = file.open(item, Waiter(5))
            content = _content(opened)
            pieces = [
                opened.read(start, _PIECE, Waiter(5)) for start in range(0, len(content), _PIECE)
            ]
            assert b"".join(pieces) == content
            assert opened.read(len(content), _PIECE, Waiter(5)) == b""
            assert opened.read(len(content) + 1, _PIECE, Waiter(5)) == b""
            opened.close()
            assert _content(file.open(item, Waiter(5))) == content
            assert _content(again.open(item, Waiter(5))) == content

    def test_an_item_that_changed_has_its_new_bytes(
        self, make: Callable[[FileContext], ItemFile], library: FileContext
    ) -> None:
        """Another revision means another item; nothing that is cached outlives it."""
        file = make(library)
        one, *others = (_record(library, item) for item in _having(file, library))
        for other in others:
            changed = replace(one, item=replace(one.item, revision=other.item.revision))
            changed = replace(changed, raw=other.raw)
            _index(library).add(changed)
            fresh = make(library)
            if fresh.filename(changed.item) is None:
                continue
            content = _content(fresh.open(changed.item, Waiter(5)))
            assert file.size(changed.item, Waiter(5)) == len(content)
            assert _content(file.open(changed.item, Waiter(5))) == content

    def test_an_open_file_outlives_its_item(
        self, make: Callable[[FileContext], ItemFile], library: FileContext
    ) -> None:
        """A file that is open when its item is deleted can be read to its end."""
        file = make(library)
        for item in _having(file, library):
            content = _content(file.open(item, Waiter(5)))
            opened = file.open(item, Waiter(5))
            file.before_delete(item, Waiter(5))
            _index(library).discard(item.key)
            _disconnect(library)
            assert _content(opened) == content
            _disconnect(library, error=None)

    def test_without_its_details_a_file_fails_as_it_should(
        self, make: Callable[[FileContext], ItemFile], library: FileContext
    ) -> None:
        """An item may be deleted elsewhere during a call; the error must be a `HistfsError`."""
        file = make(library)
        for item in _having(file, library):
            _index(library).discard(item.key)
            for method in (file.size, file.open, file.before_archive, file.before_delete):
                try:
                    method(item, Waiter(5))
                except HistfsError:
                    continue

    @pytest.mark.parametrize("listing", ["library", "summaries"])
    def test_what_is_to_be_archived_is_here(
        self, make: Callable[[FileContext], ItemFile], listing: str, request: pytest.FixtureRequest
    ) -> None:
        """The trash copies the file without the network."""
        library: FileContext = request.getfixturevalue(listing)
        file = make(library)
        for item in _having(file, library):
            _disconnect(library, error=None)
            file.before_archive(item, Waiter(5))
            _disconnect(library)
            opened = file.open(item, Waiter(5))
            assert len(_content(opened)) == opened.size == file.size(item, Waiter(5))


def _index(library: FileContext) -> MemoryIndex:
    assert isinstance(library.index, MemoryIndex)
    return library.index


def _record(library: FileContext, item: Item) -> Record:
    return _index(library).rows[item.key]


def _items(library: FileContext) -> list[Item]:
    return [record.item for record in _index(library).rows.values()]


def _having(file: ItemFile, library: FileContext) -> list[Item]:
    """Return the items that have the file."""
    return [item for item in _items(library) if file.filename(item) is not None]


def _disconnect(library: FileContext, error: Exception | None = _OFFLINE) -> None:
    """Make all calls that need the network fail; None connects it again."""
    assert isinstance(library.audio, MemoryAudio)
    _index(library).error = library.audio.error = error


def _content(file: OpenFile) -> bytes:
    return file.read(0, 1 << 30, Waiter(5))
