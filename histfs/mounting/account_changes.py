"""What is new in an account, and what is gone, since the last look.

Threads: one thread at a time uses an `AccountChanges`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from histfs.core.index import Listed
from histfs.core.item_row import ItemRow
from histfs.core.names import item_name
from histfs.core.times import ALWAYS, Span
from histfs.mounting.account_rows import items_and_rows
from histfs.mounting.direct_tree import DirectTree
from histfs.mounting.mounted_source import MountedSource


class Deleted(NamedTuple):
    """An item that is gone.

    Attributes:
        kind: the name of its source.
        key: its id, as names have it.
        time: when it was created, in seconds since the epoch.
        name: of its directory.
    """

    kind: str
    key: str
    time: int
    name: str


class AccountChanges:
    """Compares what is known of an account with what was known at the last look.

    Args:
        tree: of the account.
    """

    def __init__(self, tree: DirectTree) -> None:
        self._tree = tree
        # By source: the version of its catalog, and its items by key.
        self._seen: dict[str, tuple[int, dict[str, Listed]]] = {}

    def look(self) -> Iterator[ItemRow | Deleted]:
        """List what is new, and yield the differences; none at the first look at a source.

        Raises:
            SourceError, NotComplete: a source was never listed, and can't be. One that was is
                compared as it is known; see `outage`.
            CacheFailed, NoSpace: a catalog can't be read.
        """
        for mounted in self._tree.sources:
            if mounted.probe.is_available(self._tree.waiter()):
                mounted.probe.check(self._tree.waiter())
                self._tree.list_all(mounted)
                yield from self._differences(mounted)

    def outage(self) -> str | None:
        """Return why a source can't be listed at present; None when all can."""
        outages = (each.status().outage for each in self._tree.sources)
        return next((outage.message for outage in outages if outage is not None), None)

    def _differences(self, mounted: MountedSource) -> Iterator[ItemRow | Deleted]:
        before_version, before = self._seen.get(mounted.name, (None, {}))
        version = mounted.store.version
        if version == before_version:
            return
        now = {each.key: each for each in mounted.store.between(ALWAYS)}
        self._seen[mounted.name] = version, now
        if before_version is None:
            return
        for key in before.keys() - now.keys():
            date, _, slug = before[key]
            name = item_name(date, slug, key, self._tree.zone)
            yield Deleted(mounted.name, key, date, name)
        new = now.keys() - before.keys()
        for date in sorted({now[key].date for key in new}):
            for item, row in items_and_rows(mounted, self._tree.zone, Span(date, date + 1)):
                if item.key in new:
                    yield row
