"""What the kernel may cache for as long as a listing is fresh, and what makes it forget.

The kernel caches names and attributes for a moment (TIMEOUT). A walk of the whole history takes
longer than that, so a second walk would ask for everything again. What depends on nothing but the
index of the source may stay cached until the listing is due to be read again: the directories of
items, links to them, and files whose size is exact. So may the listing of an item's directory: each
opendir asks for leave, and gets it if the names are still the same.

The index changes at once when an item is deleted here, and when a refresh or another process has
changed the catalog: each call compares the version of the index before it is answered. Then the
kernel is told to forget the attributes of all paths, by the ids that libfuse has given to their
nodes; it has the names still, and asks what stands there. Nothing is cached for long for a while
after that: a deletion seldom comes alone. A call comes soon: the directories above items are cached
for a moment only, so that each path that is looked up asks for them.

A reply may be on its way while the kernel is told to forget. So the kernel is told a second time.

The size of a file that the kernel has is remembered for as long as the kernel may have it: an open
of the file compares it with the size that the file has then (`histfs.fuse.reported_sizes`).

Threads: any number at once. `_lock` guards all state, but a single path is looked up without it; no
other lock is taken while it is held. The kernel is told without it, that takes system calls, and in
the threads of calls alone: libfuse closes its descriptor when they have ended.
"""

from __future__ import annotations

import logging
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from histfs.core.errors import HistfsError
from histfs.core.nodes import Attributes
from histfs.fuse.reported_sizes import DELIVERY, TIMEOUT

#: Paths that the kernel may have, some 500 bytes each; of others it is not told.
MAX_PATHS = 65_536
#: Seconds after a change of the index in which nothing is cached for long.
QUIET = 3.0
#: Seconds for which the version of the index is not looked at again.
_GLANCE = 0.01
#: Seconds for which the kernel caches anything at the most.
_MOST = 300.0

log = logging.getLogger(__name__)


class Version(NamedTuple):
    """A state of everything on which lasting answers depend.

    Attributes:
        epoch: counts the changes that were noticed.
        indexed: the version of the index.
    """

    epoch: int
    indexed: Hashable


class _Listing(NamedTuple):
    """The listing of a directory that the kernel may have.

    Attributes:
        names: the hash of the names in it.
        with_files: whether it came with the attributes of the files.
        until: when those are cached no more, in seconds.
    """

    names: int
    with_files: bool
    until: float


@dataclass(slots=True)
class _Kept:
    """What the kernel may have for a path.

    Attributes:
        kind: of the path, as in `Attributes`.
        size: in bytes.
        until: when it has the name no more, in seconds; the attributes it has as long at the most.
        node: its id; 0 where that is not known yet.
        listing: what it may have of the directory's listing; None where it has none.
    """

    kind: int
    size: int
    until: float
    node: int = 0
    listing: _Listing | None = None


class Timeouts(NamedTuple):
    """For how many seconds the kernel may cache an answer.

    Attributes:
        looked_up: the name and the attributes of a path that it looks up.
        stat: the attributes of a node that it has. Not for long, where the id of the node is not
            known here: the kernel could not be told to forget them.
    """

    looked_up: float
    stat: float


_SHORT = Timeouts(TIMEOUT, TIMEOUT)


class KernelCache:
    """Decides what the kernel may cache for long, and makes it forget.

    Args:
        ttl: seconds for which a listing is fresh, and lasting answers are cached.
        index_version: returns the version of the index.
        forget_node: makes the kernel forget the attributes of a node.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        ttl: float,
        index_version: Callable[[], Hashable],
        forget_node: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        ttl = min(ttl, _MOST)
        self._ttl = ttl
        self._index_version = index_version
        self._forget_node = forget_node
        self._clock = clock
        self._lock = threading.Lock()
        self._enabled = False
        self._kept: dict[str, _Kept] = {}
        self._version = Version(0, None)
        # The paths of which it may have the attributes.
        self._fresh: set[str] = set()
        self._quiet_until = self._last_until = self._purge_at = 0.0
        # What `version` returns, and until when without another look at the index.
        self._current: Version | None = None
        self._glance_until = 0.0
        self._long, self._long_name = Timeouts(ttl, ttl), Timeouts(ttl, TIMEOUT)
        # Nodes of which the kernel is told again, and from when on; the earliest ones in front.
        self._again: deque[tuple[float, Sequence[int]]] = deque()

    def start(self) -> None:
        """Begin to let the kernel cache for long; libfuse can set the timeout of a reply."""
        self._enabled = True
        self.version()
        self._quiet_until = self._glance_until = 0.0

    def version(self) -> Version | None:
        """Return the version on which an answer depends that is looked up now.

        Where it is another one than before, the kernel is told first.

        Returns:
            None while nothing is cached for long: after a change, or where it can't be read.
        """
        if not self._enabled:
            return None
        now = self._clock()
        if now < self._glance_until:
            return self._current
        try:
            index = self._index_version()
        except HistfsError as error:
            log.debug("the version of the index is not known: %s", error)
            index = None
        with self._lock:
            nodes = []
            if index != self._version.indexed:
                nodes += self._change(index, now)
            while self._again and now >= self._again[0][0]:
                nodes += self._again.popleft()[1]
            if self._kept and now >= self._last_until + DELIVERY:
                self._purge(now)
            is_quiet = index is None or now < self._quiet_until
            self._current = None if is_quiet or self._ttl <= TIMEOUT else self._version
            self._glance_until = now + _GLANCE
            version = self._current
        self._tell(nodes)
        return version

    def keep(self, path: str, attributes: Attributes, version: Version | None) -> Timeouts:
        """Return for how long the kernel may cache attributes.

        Args:
            path: as the kernel passed it.
            attributes: that are the answer.
            version: from `version`, taken before they were looked up.
        """
        if not self._enabled:
            return _SHORT
        now = self._clock()
        with self._lock:
            kept = self._kept.get(path)
            if kept is None and not self._has_room(now):
                return _SHORT
            is_long = version is not None and version == self._version and attributes.is_lasting
            until = now + (self._ttl if is_long else TIMEOUT)
            if kept is None:
                kept = self._kept[path] = _Kept(attributes.kind, attributes.size, until)
            else:
                kept.kind, kept.size = attributes.kind, attributes.size
                # The kernel may have the name for longer, from an earlier answer.
                kept.until = max(until, kept.until)
            self._last_until = max(self._last_until, until)
            self._fresh.add(path)
            if not is_long:
                return _SHORT
            return self._long if kept.node else self._long_name

    def take_nodes(self, nodes: Iterable[tuple[str, int]]) -> None:
        """Take the ids of nodes from an answer that the kernel gets now.

        Args:
            nodes: each path, as given to `keep`, and the id of its node.
        """
        with self._lock:
            for path, node in nodes:
                kept = self._kept.get(path)
                if kept is None:
                    continue
                kept.node = node
                if path not in self._fresh:
                    # The index has changed since `keep`.
                    self._tell_again([node], self._clock())

    def size(self, path: str) -> int | None:
        """Return the size that the kernel may have for a path for long; None where it has none."""
        kept = self._kept.get(path)
        if kept is None or self._clock() >= kept.until + DELIVERY:
            return None
        return kept.size

    def has_other_kind(self, path: str, kind: int) -> bool:
        """Say whether the kernel may have a path as something else, a directory or a link."""
        kept = self._kept.get(path)
        return kept is not None and kept.kind != kind

    def listing(
        self, path: str, names: Iterable[str], version: Version | None, *, with_files: bool
    ) -> bool | None:
        """Say whether the kernel may cache the listing of a directory that is opened.

        Args:
            path: of the directory.
            names: in it.
            version: from `version`, taken before it was read.
            with_files: whether the caller is about to ask for the attributes of the files.

        Returns:
            None where it may not cache the listing; else whether the one that it may have is right.
        """
        kept = self._kept.get(path)
        if kept is None or kept.kind != stat.S_IFDIR or version is None:
            return None
        listing = kept.listing
        if listing is None or self._clock() + TIMEOUT >= listing.until:
            return False
        return (listing.with_files or not with_files) and listing.names == _hash(names)

    def listed(
        self, path: str, names: Iterable[str], version: Version | None, *, with_files: bool
    ) -> None:
        """Note that the kernel was given the listing of a directory.

        Args:
            path: of the directory.
            names: in it.
            version: from `version`, taken before it was read.
            with_files: whether it came with the attributes of the files.
        """
        kept = self._kept.get(path)
        if kept is None or version is None:
            return
        listing = _Listing(_hash(names), with_files, self._clock() + self._ttl)
        with self._lock:
            if version == self._version and path in self._fresh:
                kept.listing = listing

    def forget(self, path: str) -> None:
        """Make the kernel ask for the attributes of a path when it needs them the next time."""
        with self._lock:
            kept = self._kept.pop(path, None)
            self._fresh.discard(path)
        if kept is not None and kept.node:
            self._forget_node(kept.node)

    def changed(self) -> None:
        """Make the kernel forget everything, since a file or a directory was removed here."""
        if not self._enabled:
            return
        with self._lock:
            nodes = self._change(self._version.indexed, self._clock())
        self._tell(nodes)

    def _change(self, index: Hashable, now: float) -> list[int]:
        """Note a change, and return the nodes to tell the kernel of; called with `_lock` held."""
        self._version = Version(self._version.epoch + 1, index)
        self._quiet_until = now + QUIET
        self._current = None
        nodes = []
        for path in self._fresh:
            kept = self._kept[path]
            kept.listing = None
            if kept.node:
                nodes.append(kept.node)
        self._fresh.clear()
        self._tell_again(nodes, now)
        return nodes

    def _tell_again(self, nodes: Sequence[int], now: float) -> None:
        """Have the kernel told of nodes once more, when replies on their way have come."""
        if nodes:
            self._again.append((now + DELIVERY, nodes))

    def _tell(self, nodes: Iterable[int]) -> None:
        for node in nodes:
            self._forget_node(node)

    def _has_room(self, now: float) -> bool:
        """Say whether one more path can be kept; called with `_lock` held."""
        if len(self._kept) >= MAX_PATHS and now >= self._purge_at:
            self._purge_at = now + TIMEOUT
            self._purge(now)
        return len(self._kept) < MAX_PATHS

    def _purge(self, now: float) -> None:
        """Drop what the kernel has no more; called with `_lock` held."""
        self._kept = {path: kept for path, kept in self._kept.items() if now < kept.until}
        self._fresh.intersection_update(self._kept)


def _hash(names: Iterable[str]) -> int:
    return hash(tuple(names))
