"""``histfs cache``."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from typing import Any

import click

from histfs import logs
from histfs.audio import verify as verifying
from histfs.audio.verify import CacheDamaged, Kind, Verdict
from histfs.cli.display import Silent, counted, displayed
from histfs.cli.options import cache_options, cache_settings
from histfs.core.errors import CacheFailed
from histfs.core.printable import shown
from histfs.mounting import opened_cache

_SAID = {
    Kind.DAMAGED: "damaged",
    Kind.UNREADABLE: "can't be checked",
    Kind.FOREIGN: "not a clip",
}


@click.group()
def cache() -> None:
    """Look after what is kept on this machine."""


@cache.command(context_settings={"show_default": True})
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, on one line.")
@cache_options
def verify(as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Read every cached clip, and compare it with what came from the server.

    Damaged clips are removed, and fetched again when they are next read. The server is not asked;
    mounts may go on meanwhile.
    """
    settings = cache_settings(given)
    logs.start(foreground=False, debug=False, key=settings.key)
    silent = contextlib.nullcontext(Silent())
    with silent if as_json else displayed() as display, opened_cache(settings) as (disk, known):
        display.begin("Clips", disk.count())
        counts: Counter[Kind] = Counter()
        told = []
        for done, verdict in enumerate(verifying.verify(disk, known), 1):
            counts[verdict.kind] += 1
            if verdict.kind in _SAID:
                told.append(verdict)
                display.tell(f"{shown(verdict.name)}: {_SAID[verdict.kind]}: {shown(verdict.why)}")
            display.move(done, f"{counts[Kind.DAMAGED]:,} damaged")
        display.end(_summary(counts))
    if as_json:
        click.echo(_to_json(counts, told))
    if damaged := counts[Kind.DAMAGED]:
        raise CacheDamaged(
            f"{counted(damaged, 'clip')} in the cache had been damaged: what was removed is fetched"
            " again when it is next read"
        )
    if unreadable := counts[Kind.UNREADABLE]:
        raise CacheFailed(f"{counted(unreadable, 'clip')} in the cache can't be checked")


def _clips(counts: Counter[Kind]) -> int:
    return counts.total() - counts[Kind.FOREIGN]


def _summary(counts: Counter[Kind]) -> str:
    line = (
        f"{counted(_clips(counts), 'clip')}, {counts[Kind.DAMAGED]:,} damaged,"
        f" {counts[Kind.UNKNOWN]:,} without a checksum"
    )
    if unreadable := counts[Kind.UNREADABLE]:
        line += f", {unreadable:,} that can't be checked"
    return f"{line}."


def _to_json(counts: Counter[Kind], told: list[Verdict]) -> str:
    """Return it as one line of plain ASCII."""
    lists: dict[Kind, list[dict[str, str]]] = {kind: [] for kind in _SAID}
    for name, kind, why in told:
        lists[kind].append({"name": name, "why": why})
    return json.dumps(
        {
            "clips": _clips(counts),
            "sound": counts[Kind.SOUND],
            "without_checksum": counts[Kind.UNKNOWN],
            **{kind.value: found for kind, found in lists.items()},
        }
    )
