"""``scripts/bench sizes``: the sizes that are shown of clips that were never fetched.

Each clip is looked at, and then read, in no order: as more of them come, the estimates of the
others get better. A clip that is larger than shown may be cut by a program without an error.
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
    larger = 100 * sum(ratio < 1 for ratio in ratios) / len(ratios)
    first, last = ratios[:_FIRST], ratios[-_LAST:]
    smallest, largest = min(ratios), max(last)
    return [
        Figure(f"{case}: clips larger than shown", larger, "%", most=_MOST_LARGER),
        Figure(f"{case}: least that is shown", smallest, "of the size"),
        Figure(f"{case}: shown of the first {_FIRST}, median", _median(first), "of the size"),
        Figure(f"{case}: shown of the last {_LAST}, median", _median(last), "of the size"),
        Figure(f"{case}: shown of the last {_LAST}, 9 of 10", _tenth(last), "of the size"),
        Figure(f"{case}: shown of the last {_LAST}, most", largest, "of the size"),
    ]


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
