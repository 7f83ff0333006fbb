"""One folder of ``listen``: the clips of a view as files with readable names.

    /                                       the directories of the view, such as voices or months
    /DIRECTORY/playlist.m3u8                the clips in the directory
    /DIRECTORY/2024-05-02 11.45 Hello.mp3   an item's audio
    /DIRECTORY/2024-05-02 11.45 Hello.srt   another file of the item whose name begins with audio

Each item stands in one directory: a dialogue in that of its first voice. The files are those of the
item's home, with the same inodes; only audio with a tag is a file of its own. Nothing can be
removed here: what is gone from the home is gone here.

The extension of audio may change when it is fetched. As at home, a directory lists the new name,
and the old one still leads there.

Threads: any number at once; the caches guard themselves, and there is no other state.
"""

from __future__ import annotations

import math
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from histfs.core.errors import (
    IsADirectory,
    NameTooLong,
    NoSuchPath,
    NotADirectory,
    NotALink,
    NotPermitted,
)
from histfs.core.files import StreamedFile, size_for
from histfs.core.generational_cache import GenerationalCache
from histfs.core.index import Listed
from histfs.core.item import Facets, Item
from histfs.core.listed_directories import ListedDirectories, ListedDirectory
from histfs.core.listen.clip_files import ClipFile, ClipFiles
from histfs.core.listen.clip_names import speaker_of
from histfs.core.listen.contents import Content, ContentCache
from histfs.core.listen.playlist import PLAYLIST, Entry, playlist
from histfs.core.names import LISTEN, NAME_MAX
from histfs.core.nodes import (
    Attributes,
    BytesFile,
    DirEntry,
    FileStream,
    OpenFile,
    WholeFile,
    directory,
)
from histfs.core.path_nodes import Path
from histfs.core.size_estimate import seconds_in
from histfs.core.sizes import FileSize
from histfs.core.times import ALWAYS
from histfs.core.views import View
from histfs.core.waiting import Waiter

#: Directories in a generation of the cache of their newest items.
_DIRECTORIES = 1024


class _Directory(NamedTuple):
    """A directory of the view, and the date of its newest item."""

    name: str
    newest: int


class _Playlist(NamedTuple):
    """The playlist of a directory."""

    directory: _Directory


_Node = _Directory | _Playlist | ClipFile | None


class _Known(NamedTuple):
    """The date of the newest item of a directory, and the index version of that knowledge."""

    version: int
    newest: int | None


@dataclass(frozen=True, slots=True)
class Library:
    """What the folders of one source share.

    Attributes:
        files: of the clips.
        contents: what the directories hold.
        check: raises the error that keeps the source from being listed, if there is one.
        born: mtime of a folder without items, in seconds since the epoch.
        listed: notes in which order directories list their clips.
    """

    files: ClipFiles
    contents: ContentCache
    check: Callable[[Waiter], None]
    born: int
    listed: ListedDirectories


class ListenFolder:
    """The clips of a view as files. Implements `Filesystem`.

    Args:
        library: the clips.
        view: decides which directory shows a clip; it has one level of directories.
        path: of the folder, from the root of the source.
    """

    def __init__(self, library: Library, view: View, path: Path) -> None:
        self._library = library
        self._files = library.files
        self._index = library.files.index
        self._view = view
        self._path = path
        self._newest = GenerationalCache[str, _Known](math.inf, max_entries=_DIRECTORIES)

    def stat(self, path: str, waiter: Waiter) -> Attributes:
        """Return the attributes of a path."""
        node = self._resolve(path, waiter)
        match node:
            case None:
                newest = self._index.newest(ALWAYS)
                return directory(self._inode(), self._library.born if newest is None else newest)
            case _Directory(name=name, newest=newest):
                return directory(self._inode(name), newest)
            case _Playlist(directory=parent):
                return self._playlist_attributes(parent, len(self._playlist(parent, waiter)))
            case ClipFile(node=home, file=file):
                return self._files.attributes(node, size_for(file, home.item, waiter))

    def stat_files(self, path: str, waiter: Waiter) -> Mapping[str, Attributes]:
        """Return nothing: a directory is no item's."""
        return {}

    def listdir(self, path: str, waiter: Waiter) -> Sequence[DirEntry]:
        """Return all entries of a directory."""
        node = self._resolve(path, waiter)
        match node:
            case None:
                self._library.check(waiter)
                return self._read((), self._directories, waiter).entries
            case _Directory(name=name):
                content = self._read((name,), lambda: self._entries(name), waiter)
                if content.items is not None:
                    folder = "/".join((LISTEN, *self._path))
                    self._library.listed.note((folder, name), content.items)
                return content.entries
        raise NotADirectory(path)

    def readlink(self, path: str, waiter: Waiter) -> str:
        """Raise `NotALink`: there are no links here."""
        self._resolve(path, waiter)
        raise NotALink(path)

    def item(self, path: str, waiter: Waiter) -> tuple[Item, Facets] | None:
        """Return the item of a clip, with its facets; None for a directory and a playlist."""
        node = self._resolve(path, waiter)
        if not isinstance(node, ClipFile):
            return None
        return node.node.item, self._index.facets(node.node.item)

    def open(self, path: str, waiter: Waiter) -> tuple[Attributes, OpenFile]:
        """Open a file for reading, and return its attributes."""
        node = self._resolve(path, waiter)
        if isinstance(node, _Playlist):
            content = BytesFile(self._playlist(node.directory, waiter))
            return self._playlist_attributes(node.directory, content.size), content
        if not isinstance(node, ClipFile):
            raise IsADirectory(path)
        file = node.file.open(node.node.item, waiter)
        return self._files.attributes(node, FileSize(file.size, is_exact=True)), file

    def stream(self, path: str, waiter: Waiter) -> FileStream:
        """Open a file to be read as its bytes come."""
        node = self._resolve(path, waiter)
        if isinstance(node, ClipFile) and isinstance(node.file, StreamedFile):
            return node.file.stream(node.node.item, waiter)
        return WholeFile(self.open(path, waiter)[1])

    def refresh(self, path: str) -> None:
        """Have the listings below a path requested when they are needed."""
        at = tuple(filter(None, path.split("/")))[:1]
        self._index.mark_stale(self._view.span(at) or ALWAYS)

    def unlink(self, path: str, waiter: Waiter) -> None:
        """Refuse: only the files at home can be unlinked."""
        self._resolve(path, waiter)
        raise NotPermitted(path)

    def rmdir(self, path: str, waiter: Waiter) -> None:
        """Refuse: a directory goes with its last clip."""
        node = self._resolve(path, waiter)
        raise (NotPermitted if node is None or isinstance(node, _Directory) else NotADirectory)(
            path
        )

    def delete(self, path: str, waiter: Waiter) -> None:
        """Refuse: an item is deleted at home."""
        node = self._resolve(path, waiter)
        raise (IsADirectory if node is None or isinstance(node, _Directory) else NotPermitted)(path)

    def paths_of(self, item: Item) -> list[str]:
        """Return the paths that show an item, or change with it, as far as they are known."""
        home = self._view.home(item, self._index)
        if home is None:
            return []
        names = [PLAYLIST, *(clip.name for clip in self._files.of(item))]
        return [f"/{home[0]}", *(f"/{home[0]}/{name}" for name in names)]

    def _resolve(self, path: str, waiter: Waiter) -> _Node:
        """Return the node of a path; None for the folder itself.

        Raises:
            NoSuchPath, NotADirectory, NameTooLong: nothing has this path.
            SourceError, NotComplete: whether anything has this path is not known.
        """
        parts = tuple(filter(None, path.split("/")))
        if any(len(part.encode("utf-8", "surrogateescape")) > NAME_MAX for part in parts):
            raise NameTooLong(path)
        if not parts:
            return None
        parent = self._directory(parts[0], waiter)
        if len(parts) == 1:
            return parent
        file = self._file(parent, parts[1], waiter)
        if len(parts) > 2:
            raise NotADirectory(path)
        return file

    def _directory(self, name: str, waiter: Waiter) -> _Directory:
        at = (name,)
        if self._view.span(at) is None:
            raise NoSuchPath(name)
        newest = None
        if self._view.knows_newest(at, self._index):
            newest = self._newest_of(name)
        if newest is None:
            self._view.ensure_newest(at, self._index, waiter)
            newest = self._newest_of(name)
        if newest is None:
            raise NoSuchPath(name)
        return _Directory(name, newest)

    def _file(self, parent: _Directory, name: str, waiter: Waiter) -> _Playlist | ClipFile:
        if name == PLAYLIST:
            return _Playlist(parent)
        at = (parent.name,)
        if not self._files.names.may_name(name):
            raise NoSuchPath(name)
        if not self._view.complete(at, self._index):
            self._view.ensure(at, self._index, waiter)
        found = self._find(at, name)
        if found is None:
            # It may be newer than the last refresh.
            self._view.ensure(at, self._index, waiter)
            found = self._find(at, name)
        if found is None:
            raise NoSuchPath(name)
        return found

    def _find(self, at: Path, name: str) -> ClipFile | None:
        found = self._files.find(name)
        home = found and self._view.home(found.node.item, self._index)
        return found if home == at else None

    def _newest_of(self, name: str) -> int | None:
        """Return the date of the newest item of a directory; None if it has no item."""
        version, at = self._index.recent_version, (name,)
        known = self._newest.get(name)
        span = self._view.span(at) or ALWAYS
        if known is None or not (
            known.version == version or self._index.unchanged(span, known.version)
        ):
            newest = self._view.newest(at, self._index)
            if newest is not None and self._view.linked(at, self._index):
                newest = max((item.date for item in self._items(name)), default=None)
            known = _Known(version, newest)
        if known.newest is not None:  # else names without a directory would fill the cache
            self._newest.put(name, known._replace(version=version))
        return known.newest

    def _items(self, name: str) -> Iterator[Listed]:
        """Yield the items that stand in a directory, oldest first."""
        linked = self._view.linked((name,), self._index)
        listed = self._view.items((name,), self._index)
        return (item for item in listed if item.key not in linked)

    def _clips(self, name: str) -> Iterator[ClipFile]:
        for listed in self._items(name):
            item = self._index.find(listed.key, listed.date)
            if item is not None:  # else it was deleted meanwhile, and the directory is read again
                yield from self._files.of(item)

    def _read(
        self, at: Path, read: Callable[[], Content], waiter: Waiter, name: str = ""
    ) -> Content:
        path = (*self._path, *at, name)
        return self._library.contents.read(path, self._view, at, read, waiter)

    def _directories(self) -> Content:
        names = self._view.subdirectories((), self._index)
        shown = [name for name in names if self._newest_of(name) is not None]
        return Content([DirEntry(name, stat.S_IFDIR, self._inode(name)) for name in shown])

    def _entries(self, name: str) -> Content:
        clips = list(self._clips(name))
        entries = [DirEntry(clip.name, stat.S_IFREG, self._files.inode(clip)) for clip in clips]
        entry = DirEntry(PLAYLIST, stat.S_IFREG, self._inode(name, PLAYLIST))
        items = [
            Listed(each.date, each.key, each.slug) for each in (clip.node.item for clip in clips)
        ]
        return Content([*entries, entry], ListedDirectory([clip.name for clip in clips], items))

    def _playlist(self, parent: _Directory, waiter: Waiter) -> bytes:
        # Whoever may look at a playlist need not have clips fetched for their sizes.
        looking = Waiter(waiter.timeout)
        looking.may_fetch = lambda: False
        name = parent.name
        make = partial(self._make_playlist, name, looking)
        return self._read((name,), make, waiter, PLAYLIST).playlist

    def _make_playlist(self, name: str, waiter: Waiter) -> Content:
        entries, needs_sizes = [], False
        for clip in self._clips(name):
            if not clip.is_audio:
                continue
            item = clip.node.item
            words, seconds = self._files.names.spoken(item)
            if seconds is None:
                size = size_for(clip.node.file, item, waiter)
                seconds = seconds_in(size.size, item.output_format) if size.is_exact else None
                needs_sizes |= not size.is_exact
            speaker = speaker_of(self._index.facets(item))
            entries.append(Entry(clip.name, seconds, speaker, words or ""))
        return Content(playlist=playlist(entries), needs_sizes=needs_sizes)

    def _playlist_attributes(self, parent: _Directory, size: int) -> Attributes:
        inode = self._inode(parent.name, PLAYLIST)
        return Attributes(stat.S_IFREG, inode, 1, size, parent.newest)

    def _inode(self, *names: str) -> int:
        """Return the inode of the folder, or of a node in it that no item has."""
        return self._files.home.inodes.folder(LISTEN, (*self._path, *names))
