"""What the labels of an item say of how its clip was made: model and source, and the voice.

Threads: any number at once, without a lock of its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from histfs.catalog.connection_pool import ConnectionPool
from histfs.core.generational_cache import GenerationalCache

#: Kinds of labels that say how a clip was made, and by which voice.
_ORIGIN = ("model", "source")
_VOICE = ("voice", "agent")
#: Sets of labels in memory, in each of two generations: an account has a few hundred.
_SETS = 4096


class ClipOrigin(NamedTuple):
    """How a clip was made.

    Attributes:
        origin: the numbers of its model's and source's labels.
        voice: those of its voices' labels.
    """

    origin: str
    voice: str


class OriginsOfLabels:
    """Reads the labels of items.

    Args:
        files: has the table of labels.
    """

    def __init__(self, files: ConnectionPool) -> None:
        self._files = files
        self._origins = GenerationalCache[str, ClipOrigin](math.inf, max_entries=_SETS)

    def of(self, labels: str | None) -> ClipOrigin:
        """Return how a clip was made.

        Args:
            labels: of its item, as they are stored; None for an item that isn't known any more.

        Raises:
            CacheFailed, NoSpace: the table can't be read.
        """
        labels = labels or "[]"
        found = self._origins.get(labels)
        if found is None:
            kinds = dict(self._files.rows("SELECT label, kind FROM labels"))
            numbers = json.loads(labels)
            found = ClipOrigin(_of(numbers, kinds, _ORIGIN), _of(numbers, kinds, _VOICE))
            self._origins.put(labels, found)
        return found


def _of(numbers: Iterable[int], kinds: Mapping[int, str], wanted: Collection[str]) -> str:
    return ",".join(str(number) for number in numbers if kinds.get(number, "") in wanted)
