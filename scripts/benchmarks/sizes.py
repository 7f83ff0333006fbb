"""``scripts/bench sizes``: the sizes that are shown of clips that were never fetched.

Each clip is looked at, and then read, in no order: as more of them come, the estimates of the
others get better. A clip that is larger than shown may be cut by a program without an error.

Nothing tells the first clips of a server that does not tell formats: the largest ones have three
hundred times the bytes of the smallest ones. The wanted bound is for those after them.
"""

from __future__ import annotations

import random
import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.stage import directory, mounted, server

#: The formats that the items of a server declare.
_FORMATS = {"one format": "honest", "six formats": "told", "formats that aren't told": "untold"}
#: Wanted: the share of clips that are larger than shown, in percent.
_MOST_LARGER = 1.0
#: How many clips have to come until that holds, where formats aren't told.
_UNTOLD = 100
#: The first and the last clips whose sizes are summed up.
_FIRST, _LAST = 25, 100


def measure(clips: int) -> list[Figure]:
    """Measure all cases.

    Args:
        clips: of a history.
    """
    return [figure for case in _FORMATS for figure in _measure(case, clips)]


def _measure(case: str, clips: int) -> list[Figure]:
    ratios = _ratios(_FORMATS[case], clips)
    learning = _UNTOLD if _FORMATS[case] == "untold" else 0
    first, last = ratios[:_FIRST], ratios[-_LAST:]
    smallest, largest = min(ratios), max(last)
    return [
        *_larger(case, ratios, learning),
        Figure(f"{case}: least that is shown", smallest, "of the size"),
        Figure(f"{case}: shown of the first {_FIRST}, median", _median(first), "of the size"),
        Figure(f"{case}: shown of the last {_LAST}, median", _median(last), "of the size"),
        Figure(f"{case}: shown of the last {_LAST}, 9 of 10", _tenth(last), "of the size"),
        Figure(f"{case}: shown of the last {_LAST}, most", largest, "of the size"),
    ]


def _larger(case: str, ratios: list[float], learning: int) -> list[Figure]:
    """Return the share of clips that are larger than shown, first of those that come first."""
    before, after = ratios[:learning], ratios[learning:]
    name = f"{case}: clips larger than shown"
    rest = f", after {learning}" if learning else ""
    return [
        *([Figure(f"{name}, of the first {learning}", _share(before), "%")] if learning else []),
        Figure(f"{name}{rest}", _share(after), "%", most=_MOST_LARGER),
    ]


def _share(ratios: list[float]) -> float:
    return 100 * sum(ratio < 1 for ratio in ratios) / max(1, len(ratios))


def _median(ratios: list[float]) -> float:
    return statistics.median(ratios)


def _tenth(ratios: list[float]) -> float:
    return statistics.quantiles(ratios, n=10)[-1]


def _ratios(formats: str, clips: int) -> list[float]:
    """Return by how much each clip is shown too large, in the order in which they come."""
    options = ("--items", str(clips), "--formats", formats)
    with server(*options) as api, directory() as place, mounted(api, place) as mount:
        paths = sorted(mount.path.glob("by-date/*/*/*/*/audio.[!s]*"))
        random.Random(1).shuffle(paths)
        return [_shown(path) / len(path.read_bytes()) for path in paths]


def _shown(path: Path) -> int:
    """Return the size that is shown to a thread that has asked for no other clip."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(path.stat).result().st_size
