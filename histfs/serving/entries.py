"""The tree as clients without symbolic links see it: directories, and files with their tags."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import posixpath
import stat
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from histfs.core.errors import HistfsError, NoSuchPath
from histfs.core.name_forms import is_audio_name
from histfs.core.nodes import Attributes
from histfs.core.waiting import Waiter
from histfs.mounting import DirectTree

#: Seconds in which audio that was fetched should be in the cache.
_FLUSH_TIMEOUT = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServedTree(DirectTree):
    """A tree whose waits end when the server stops.

    Attributes:
        stopping: set when it stops.
    """

    stopping: threading.Event = field(default_factory=threading.Event)

    def waiter(self) -> Waiter:
        """Return the deadline of one call."""
        return Waiter(self.timeout, self.stopping.is_set)


def served(tree: DirectTree) -> ServedTree:
    """Return a tree as a server uses it."""
    return ServedTree(tree.filesystem, tree.zone, tree.timeout, tree.probe, tree.sources)


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands at a path. A link counts as the directory that it leads to.

    Attributes:
        path: as the client named it, or below that; links may be on its way.
        home: the same without links on its way.
        attributes: of it.
    """

    path: str
    home: str
    attributes: Attributes

    @property
    def name(self) -> str:
        """Its name; empty for the root."""
        return self.path.rpartition("/")[2]

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory, or a link to one."""
        return self.attributes.kind != stat.S_IFREG

    @property
    def size(self) -> int | None:
        """The size of a file in bytes; None where it is not known, and for a directory."""
        is_known = not self.is_directory and self.attributes.size_is_exact
        return self.attributes.size if is_known else None

    @property
    def mtime(self) -> int:
        """When the item was created, in seconds since the epoch."""
        return self.attributes.mtime


def find(tree: DirectTree, path: str) -> Entry:
    """Return what stands at a path; links are followed.

    Raises:
        As `DirectTree.resolve`.
    """
    path = posixpath.normpath(f"/{path.strip('/')}")
    try:
        return Entry(path, *tree.resolve(path))
    except NoSuchPath:
        renamed = _renamed_audio(tree, path)
        if renamed is None:
            raise
        return Entry(path, *renamed)


def _renamed_audio(tree: DirectTree, path: str) -> tuple[str, Attributes] | None:
    """Return the audio that a client knows by another extension.

    The first bytes of a clip may show that it has another format than its item says. It is renamed
    then, and a client that has listed it before goes on to ask for it, or for ranges of it.
    """
    above, name = posixpath.split(path)
    if not is_audio_name(name):
        return None
    item, _ = tree.resolve(above)
    if tree.filesystem.item(item, tree.waiter()) is None:
        return None
    now = [entry.name for entry in tree.listdir(item) if is_audio_name(entry.name)]
    return tree.resolve(posixpath.join(item, now[0])) if len(now) == 1 else None


def entries_of(tree: DirectTree, directory: Entry) -> Iterator[Entry]:
    """Yield what a directory holds, in its order; fetches no audio.

    Raises:
        As `DirectTree.listdir`: the listing is complete, or it fails.
    """
    known = tree.filesystem.stat_files(directory.home, tree.waiter())
    path_above, home_above = (each.rstrip("/") for each in (directory.path, directory.home))
    for entry in tree.listdir(directory.home):
        home = f"{home_above}/{entry.name}"
        attributes = known.get(entry.name, entry.attributes)
        if attributes is None:
            try:
                attributes = tree.filesystem.stat(home, tree.waiter())
            except NoSuchPath:
                continue  # it has been deleted meanwhile
        yield Entry(f"{path_above}/{entry.name}", home, attributes)


def sized_entries_of(tree: DirectTree, directory: Entry) -> Iterable[Entry]:
    """Return what a directory holds; audio is fetched where the server doesn't tell its size.

    A directory that holds the clips of many items, such as one of ``listen``, fetches none. One
    that can't be fetched has no size; to read it is an error.

    Raises:
        As `entries_of`.
    """
    if tree.filesystem.item(directory.home, tree.waiter()) is None:
        return entries_of(tree, directory)
    entries = list(entries_of(tree, directory))
    if not any(map(_lacks_size, entries)):
        return entries
    for entry in entries:
        try_size(tree, entry)
    # A clip that was just fetched is in the cache, with its size, then.
    for mounted in tree.sources:
        mounted.audio.flush(tree.waiter().at_most(_FLUSH_TIMEOUT))
    # Again, because the names of what was fetched may have changed.
    return [try_size(tree, entry) for entry in entries_of(tree, directory)]


def _lacks_size(entry: Entry) -> bool:
    return not entry.is_directory and entry.size is None


def try_size(tree: DirectTree, entry: Entry) -> Entry:
    """Return a file with its size, or as it is."""
    try:
        return with_size(tree, entry)
    except HistfsError as error:
        log.warning("%s has no size: %s", entry.path, error)
        return entry


def with_size(tree: DirectTree, entry: Entry) -> Entry:
    """Return a file with its exact size; audio is fetched where the server doesn't tell its size.

    Raises:
        As `Filesystem.stream`.
    """
    if not _lacks_size(entry):
        return entry
    size = tree.told_size(entry.home)
    if size is None:
        # Not `open`, which may know the size before all has come: the client is about to read it.
        with contextlib.closing(tree.filesystem.stream(entry.home, tree.waiter())) as stream:
            size = stream.wait_until_whole(tree.waiter())
    exact = entry.attributes._replace(size=size, size_is_exact=True)
    return Entry(entry.path, entry.home, exact)


def entity_tag(tree: DirectTree, entry: Entry) -> str | None:
    """Return the entity tag of a file, with its quotes; None where there is none yet.

    That of audio is its SHA-256, once it was fetched. Others have a weak one.
    """
    if entry.is_directory:
        return None
    if is_audio_name(entry.name):
        try:
            known = tree.sha256(entry.home)
        except NoSuchPath:
            return None  # it has been renamed, or deleted, meanwhile
        return None if known is None else f'"{known}"'
    attributes = entry.attributes
    facts = f"{attributes.inode} {attributes.mtime} {attributes.size}"
    return f'W/"{hashlib.sha256(facts.encode()).hexdigest()[:32]}"'
