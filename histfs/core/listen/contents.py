"""What the directories of ``listen`` hold, and their playlists, in a bounded cache.

Threads: any number at once. `ContentCache._lock` guards the cache; nothing is called while it is
held.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, MutableMapping, Sequence
from typing import NamedTuple

from histfs.core.errors import NoSuchPath, NotComplete
from histfs.core.index import Index
from histfs.core.listed_directories import ListedDirectory
from histfs.core.nodes import DirEntry
from histfs.core.path_nodes import Path
from histfs.core.times import Span
from histfs.core.views import View
from histfs.core.waiting import Waiter

#: Seconds for which a playlist stays as it is while sizes become known: a program that opens it
#: gets what the stat before has measured.
STEADY = 2.0
#: Attempts to read a directory that changes while it is read.
_ATTEMPTS = 10


class Learnt(NamedTuple):
    """What changes when something is learnt of clips without a change of the index.

    Attributes:
        extensions: another number after an extension has changed.
        sizes: another number after an exact size became known.
    """

    extensions: int
    sizes: int


class Content(NamedTuple):
    """What a directory holds.

    Attributes:
        entries: of the directory; empty for a playlist.
        items: that the entries show, for read-ahead; None for a playlist, and above the clips.
        playlist: its bytes; empty for a directory.
        needs_sizes: whether a size that becomes known may change it.
    """

    entries: Sequence[DirEntry] = ()
    items: ListedDirectory | None = None
    playlist: bytes = b""
    needs_sizes: bool = False


class Kept(NamedTuple):
    """Content in the cache.

    Attributes:
        version: of the index, before it was read.
        learnt: before it was read.
        read_at: in seconds.
        content: the content.
    """

    version: int
    learnt: Learnt
    read_at: float
    content: Content


class ContentCache:
    """The contents of the directories of one source.

    Args:
        index: the items.
        kept: a bounded cache, by path.
        learnt: returns what was learnt until now.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        index: Index,
        kept: MutableMapping[Path, Kept],
        learnt: Callable[[], Learnt],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._index = index
        self._kept = kept
        self._learnt = learnt
        self._clock = clock
        self._lock = threading.Lock()

    def read(
        self, path: Path, view: View, at: Path, read: Callable[[], Content], waiter: Waiter
    ) -> Content:
        """Return what a directory holds, from the cache or anew.

        Args:
            path: of the directory or the playlist, which identifies it.
            view: that has the directory.
            at: the directory in the view.
            read: reads it.
            waiter: limits the wait.

        Raises:
            NoSuchPath: there is no such directory.
            SourceError, NotComplete: it can't be read completely.
        """
        span = view.span(at)
        if span is None:
            raise NoSuchPath("/".join(at))
        view.ensure(at, self._index, waiter)
        for _ in range(_ATTEMPTS):
            version, learnt = self._index.version, self._learnt()
            with self._lock:
                kept = self._kept.get(path)
            if kept is not None and self._is_valid(kept, span, learnt):
                return kept.content
            content = read()
            # What is read during a change may mix two states, and be complete in neither.
            same = version == self._index.version or self._index.unchanged(span, version)
            if same and view.complete(at, self._index):
                with self._lock:
                    self._kept[path] = Kept(version, learnt, self._clock(), content)
                return content
            view.ensure(at, self._index, waiter)
        raise NotComplete(f"{'/'.join(path)} changes faster than it can be listed")

    def _is_valid(self, kept: Kept, span: Span, learnt: Learnt) -> bool:
        if kept.learnt.extensions != learnt.extensions:
            return False
        more = kept.content.needs_sizes and kept.learnt.sizes != learnt.sizes
        if more and self._clock() - kept.read_at >= STEADY:
            return False
        return self._index.unchanged(span, kept.version)
