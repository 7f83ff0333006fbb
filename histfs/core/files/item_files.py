"""The files of an item's directory: the `ItemFile` protocol, and the files that histfs has itself.

meta.json, text.txt, summary.json  rendered from the item's details
audio.EXTENSION                    the audio, in its own format

Attachments are in `histfs.core.files.attachment_files`.

Threads: any number at once; each `lru_cache` guards itself, and there is no other state.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Protocol

from histfs.core.audio_format import declared_extension
from histfs.core.errors import IsADirectory, NoAttachment, NoAudio
from histfs.core.file_context import FileContext
from histfs.core.item import Details, Item
from histfs.core.nodes import BytesFile, FileStream, OpenFile
from histfs.core.sizes import FileSize
from histfs.core.waiting import Waiter

#: The size in bytes that a file shows before its bytes can be known; an open file shows the exact
#: size. Never 0, which some programs take for the end of the file.
ESTIMATE = 4096
#: The same as a `FileSize`.
ESTIMATED = FileSize(ESTIMATE, is_exact=False)
#: Sizes in the cache: each stat needs one, and rendering a file to measure it costs more.
_SIZES = 16_384
#: Items of which it is cached whether they have audio.
_ITEMS = 16_384


class ItemFile(Protocol):
    """One file of every item.

    `before_archive`, `before_delete` and `open` may wait for the network. The other methods answer
    from what this machine knows. Any number of threads call a file at once.
    """

    @property
    def deletes(self) -> bool:
        """Whether unlinking the file deletes the item, or only hides the file in this mount."""

    def before_archive(self, item: Item, waiter: Waiter) -> None:
        """Ensure that all of the file's bytes are on this machine, and undamaged."""

    def before_delete(self, item: Item, waiter: Waiter) -> None:
        """Ensure that those who have the file open can read on after the item is deleted."""

    def filename(self, item: Item) -> str | None:
        """Return the name in the item's directory; None if this item has no such file."""

    def size(self, item: Item, waiter: Waiter) -> int:
        """Return the size in bytes; waits for the network only if exact sizes are promised."""

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open the file."""


class KnownSizeFile:
    """The base of an item file that tells whether its size is exact; no ABC, as each stat asks."""

    def known_size(self, item: Item, waiter: Waiter) -> FileSize:
        """Return the size, exact or estimated, as `ItemFile.size` does."""
        raise NotImplementedError

    def size(self, item: Item, waiter: Waiter) -> int:
        """Return the size in bytes, exact or estimated."""
        return self.known_size(item, waiter).size


class StreamedFile(ABC):
    """The base of an item file that can be read before its size is known."""

    @abstractmethod
    def stream(self, item: Item, waiter: Waiter) -> FileStream:
        """Open the file to be read as its bytes come."""


class ItemFolder(ABC):
    """A directory in an item's directory. Stands among the item files, as an `ItemFile`.

    Attributes:
        name: the directory's name, the same for every item.
    """

    name: str
    deletes = False

    @abstractmethod
    def ensure_members(self, item: Item, waiter: Waiter) -> None:
        """Ensure that the directory's files are known; may wait for the network.

        Raises:
            As `Index.full`.
        """

    @abstractmethod
    def members(self, item: Item) -> Mapping[str, ItemFile]:
        """Return the files by name, as far as they are known; empty if there are none."""

    def filename(self, item: Item) -> str | None:
        """Return the directory's name; None while it is not known that the item has one."""
        return self.name if self.members(item) else None

    def before_archive(self, item: Item, waiter: Waiter) -> None:
        """Ensure that all files are on this machine, except those that the server has no more."""
        self.ensure_members(item, waiter)
        for file in self.members(item).values():
            with contextlib.suppress(NoAttachment):
                file.before_archive(item, waiter)

    def before_delete(self, item: Item, waiter: Waiter) -> None:  # noqa: B027
        """Do nothing: each of the files has its own call."""

    def size(self, item: Item, waiter: Waiter) -> int:
        """Refuse: a directory has no size."""
        raise IsADirectory(self.name)

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Refuse: a directory can't be opened as a file."""
        raise IsADirectory(self.name)


def size_for(file: ItemFile, item: Item, waiter: Waiter) -> FileSize:
    """Return the size of a file that the caller of stat gets.

    A caller that believes the size gets the exact one: the file is opened to know it.

    Raises:
        As `ItemFile.open`, for such a caller.
    """
    if isinstance(file, KnownSizeFile):
        size = file.known_size(item, waiter)
    else:
        size = FileSize(file.size(item, waiter), is_exact=False)
    if size.is_exact or not waiter.needs_size():
        return size
    opened = file.open(item, waiter)
    try:
        return FileSize(opened.size, is_exact=True)
    finally:
        opened.close()


def flattened(named: Mapping[str, ItemFile], item: Item) -> dict[str, ItemFile]:
    """Return an item's files, and those in its folders, by their paths in its directory."""
    flat: dict[str, ItemFile] = {}
    for name, file in named.items():
        if isinstance(file, ItemFolder):
            members = file.members(item)
            flat.update({f"{name}/{member}": each for member, each in members.items()})
        else:
            flat[name] = file
    return flat


def by_name(files: Iterable[ItemFile], item: Item) -> dict[str, ItemFile]:
    """Return the files that an item has by name, in the given order.

    Of several files with the same name the one that deletes the item counts, else the first.
    """
    named: dict[str, ItemFile] = {}
    for file in files:
        name = file.filename(item)
        if name is not None and (name not in named or file.deletes):
            named[name] = file
    return named


def meta_bytes(details: Details) -> bytes:
    """Return the content of ``meta.json``."""
    return details.raw + b"\n"


def text_bytes(details: Details) -> bytes:
    """Return the content of ``text.txt``."""
    return b"" if details.text is None else f"{details.text}\n".encode("utf-8", "replace")


class Rendered(KnownSizeFile, ABC):
    """The base of an item file that is rendered from the item's details. Implements `ItemFile`.

    Where the source lists less than all details, they are fetched when the file is opened.

    Args:
        context: has the details.

    Attributes:
        name: the file's name, the same for every item.
    """

    name: str
    deletes = False

    def __init__(self, context: FileContext) -> None:
        self._index = context.index
        self._sizes = lru_cache(_SIZES)(self._measure)
        # The code of other packages may change with no notice.
        is_own = type(self).__module__.partition(".")[0] == "histfs"
        self._rendered_sizes = context.sizes if is_own else None
        if self._rendered_sizes is not None:
            self._rendered_sizes.add(self)

    @abstractmethod
    def render(self, details: Details) -> bytes:
        """Return the file's bytes."""

    def before_archive(self, item: Item, waiter: Waiter) -> None:
        """Fetch the details, unless they are stored."""
        self._index.full(item, waiter)

    def before_delete(self, item: Item, waiter: Waiter) -> None:
        """Do nothing: an open file has all of its bytes."""

    def filename(self, item: Item) -> str | None:
        """Return the file's name."""
        return self.name

    def known_size(self, item: Item, waiter: Waiter) -> FileSize:
        """Return the size of what `render` returns; an estimate while the details are unknown."""
        kept = None if self._rendered_sizes is None else self._rendered_sizes.size(item, self.name)
        if kept is not None:
            return FileSize(kept, is_exact=True)
        revision = self._index.full_revision(item)
        return ESTIMATED if revision is None else self._sizes(item, revision)

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open what `render` returns for the details as they are now."""
        content = self.render(self._index.full(item, waiter))
        if self._rendered_sizes is not None:
            self._rendered_sizes.check(item, self.name, len(content))
        return BytesFile(content)

    def _measure(self, item: Item, revision: int) -> FileSize:
        details = self._index.known(item)
        return ESTIMATED if details is None else FileSize(len(self.render(details)), is_exact=True)


class MetaFile(Rendered):
    """``meta.json``: the API's own object, every field in its order, indented by two spaces."""

    name = "meta.json"

    def render(self, details: Details) -> bytes:
        """Return the object and a final newline."""
        return meta_bytes(details)


class TextFile(Rendered):
    """``text.txt``: the spoken text and a final newline; empty if the item has no text."""

    name = "text.txt"

    def render(self, details: Details) -> bytes:
        """Return the text in UTF-8; a lone surrogate, which UTF-8 can't hold, becomes ``?``."""
        return text_bytes(details)


class SummaryFile(MetaFile):
    """``summary.json``: the object of the list, where that is less than all there is.

    Its bytes are in the catalog: it is exact, and costs no request.
    """

    name = "summary.json"

    def before_archive(self, item: Item, waiter: Waiter) -> None:
        """Do nothing: the listed object is stored."""

    def known_size(self, item: Item, waiter: Waiter) -> FileSize:
        """Return the exact size."""
        return self._sizes(item, item.revision)

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open the object as it is listed now."""
        return BytesFile(self.render(self._index.details(item)))

    def _measure(self, item: Item, revision: int) -> FileSize:
        return FileSize(len(self.render(self._index.details(item))), is_exact=True)


class AudioPresence:
    """Says whether an item may have audio, by its listed object and its stored details.

    Args:
        context: has the details.
    """

    def __init__(self, context: FileContext) -> None:
        self._index = context.index
        # Only a source that lists summaries has items without audio.
        self._may_be_silent = context.traits.summaries
        self._has_audio = lru_cache(_ITEMS)(self._load)

    def __call__(self, item: Item) -> bool:
        """Return False for an item that is known to have no audio."""
        return not self._may_be_silent or self._has_audio(item, self._index.full_revision(item))

    def _load(self, item: Item, revision: int | None) -> bool:
        if self._index.details(item).has_audio is False:
            return False
        known = None if revision is None else self._index.known(item)
        # A conversation that was not finished when it was fetched may have audio by now.
        return known is None or not known.lacks_audio


class AudioFile(KnownSizeFile, StreamedFile):
    """The item's audio; unlinking it deletes the item.

    Args:
        context: has the audio.
    """

    deletes = True

    def __init__(self, context: FileContext) -> None:
        self._store = context.audio
        self._index = context.index
        self._has_audio = AudioPresence(context)

    def before_archive(self, item: Item, waiter: Waiter) -> None:
        """Fetch the audio, unless the cache has it undamaged."""
        self._store.ensure_verified(item, waiter)

    def before_delete(self, item: Item, waiter: Waiter) -> None:
        """Fetch what those who have the audio open have not read yet."""
        self._store.fetch_for_open_files(item, waiter)

    def filename(self, item: Item) -> str | None:
        """Return ``audio.`` and the extension that its first bytes, or else its fields, call for.

        None where the item is known to have no audio.
        """
        if not self._has_audio(item):
            return None
        return f"audio.{self._store.extension(item)}"

    def lasting_name(self, item: Item) -> str:
        """Return the name by the item's fields alone, which it may have until it is fetched."""
        return f"audio.{declared_extension(item.content_type, item.output_format)}"

    def known_size(self, item: Item, waiter: Waiter) -> FileSize:
        """Return the exact size once it is known, before that an estimate."""
        return self._store.size(item, waiter)

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open the audio; fetches it if its exact size is not known."""
        with self._absence_noted(item, waiter):
            return self._store.open(item, waiter)

    def stream(self, item: Item, waiter: Waiter) -> FileStream:
        """Open the audio to be read as it comes."""
        with self._absence_noted(item, waiter):
            return self._store.stream(item, waiter)

    @contextlib.contextmanager
    def _absence_noted(self, item: Item, waiter: Waiter) -> Iterator[None]:
        try:
            yield
        except NoAudio:
            # The details say so: once they are stored, the file is not listed any more.
            self._index.full(item, waiter)
            raise
