"""``histfs cache``."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import click

from histfs import logs
from histfs.audio import verification
from histfs.audio.verification import CacheDamaged, CheckOutcome, ClipCheck
from histfs.cli.groups import ListingGroup
from histfs.cli.options import build_settings, cache_options
from histfs.cli.progress import open_display, pluralize
from histfs.core.errors import CacheFailed
from histfs.core.terminal_text import shown
from histfs.mounting import opened_cache

#: The outcomes that are reported, and how.
_PROBLEMS = {
    CheckOutcome.DAMAGED: "damaged",
    CheckOutcome.UNREADABLE: "can't be checked",
    CheckOutcome.FOREIGN: "not a clip",
}


@click.group(cls=ListingGroup)
def cache() -> None:
    """Check the audio cache on this machine."""


@cache.command(context_settings={"show_default": True})
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, on one line.")
@cache_options
def verify(as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Read every cached clip, and compare it with what came from the server.

    Damaged clips are removed, and fetched again when they are next read. The server is not asked;
    mounts can stay up meanwhile.
    """
    settings = build_settings(given)
    logs.start(foreground=False, debug=False, key=settings.key)
    with open_display(silent=as_json) as display, opened_cache(settings) as (disk, known):
        display.begin("Clips", disk.count())
        counts: Counter[CheckOutcome] = Counter()
        problems = []
        for done, result in enumerate(verification.verify(disk, known), 1):
            counts[result.kind] += 1
            if result.kind in _PROBLEMS:
                problems.append(result)
                display.message(
                    f"{shown(result.name)}: {_PROBLEMS[result.kind]}: {shown(result.why)}"
                )
            display.update(done, f"{counts[CheckOutcome.DAMAGED]:,} damaged")
        display.end(_summary(counts))
    if as_json:
        click.echo(_to_json(counts, problems))
    if damaged := counts[CheckOutcome.DAMAGED]:
        raise CacheDamaged(
            f"{pluralize(damaged, 'clip')} in the cache had been damaged: what was removed is"
            " fetched again when it is next read"
        )
    if unreadable := counts[CheckOutcome.UNREADABLE]:
        raise CacheFailed(f"{pluralize(unreadable, 'clip')} in the cache can't be checked")


def _clips(counts: Counter[CheckOutcome]) -> int:
    return counts.total() - counts[CheckOutcome.FOREIGN]


def _summary(counts: Counter[CheckOutcome]) -> str:
    line = (
        f"{pluralize(_clips(counts), 'clip')}, {counts[CheckOutcome.DAMAGED]:,} damaged,"
        f" {counts[CheckOutcome.UNKNOWN]:,} without a checksum"
    )
    if unreadable := counts[CheckOutcome.UNREADABLE]:
        line += f", {unreadable:,} that can't be checked"
    return f"{line}."


def _to_json(counts: Counter[CheckOutcome], problems: list[ClipCheck]) -> str:
    """Return the result as one line of ASCII."""
    lists: dict[CheckOutcome, list[dict[str, str]]] = {kind: [] for kind in _PROBLEMS}
    for name, kind, why in problems:
        lists[kind].append({"name": name, "why": why})
    return json.dumps(
        {
            "clips": _clips(counts),
            "sound": counts[CheckOutcome.SOUND],
            "without_checksum": counts[CheckOutcome.UNKNOWN],
            **{kind.value: found for kind, found in lists.items()},
        }
    )
