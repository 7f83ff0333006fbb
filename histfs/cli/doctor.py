"""``histfs doctor``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from histfs.cli import doctor_checks
from histfs.cli.account_options import base_url_of, key_of
from histfs.cli.config_sources import config_layer
from histfs.cli.doctor_checks import Finding, run_check
from histfs.cli.facts_report import print_facts
from histfs.cli.mountpoint_argument import optional_mountpoint
from histfs.cli.options import (
    build_settings,
    cache_options,
    service_of,
    trash_option,
)
from histfs.cli.program_options import class_report, crawlers_option, programs_option
from histfs.cli.progress import pluralize
from histfs.core.errors import HistfsError
from histfs.core.terminal_text import shown
from histfs.settings import OptionError, Settings

#: The colour of each level, and the width of the names of checks.
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
_WIDTH = 13


@click.command(context_settings={"show_default": True})
@optional_mountpoint
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, on one line.")
@click.option(
    "--facts",
    "as_facts",
    is_flag=True,
    help="Print how the server behaves instead, without anything of yours, to attach to a report.",
)
@click.option(
    "--program",
    metavar="NAME",
    help="Print what a program, or a command line in quotes, gets of a mount instead.",
)
@programs_option
@crawlers_option
@trash_option
@cache_options
def doctor(
    mountpoint: Path | None,
    as_json: bool,
    as_facts: bool,
    program: str | None,
    **given: Any,  # noqa: ANN401
) -> None:
    """Check the requirements of a mount.

    These are this machine, the key, the server, the cache and the trash, and MOUNTPOINT if it is
    given. Nothing is changed; the server is asked for one item of each kind, with --facts for some
    pages and a few clips.
    """
    if program is not None:
        if mountpoint is not None or as_facts or as_json:
            raise OptionError("--program stands alone: leave MOUNTPOINT, --facts and --json out")
        click.echo(shown(class_report(program, given)))
        return
    if as_facts:
        if mountpoint is not None:
            raise OptionError("--facts is about the server: leave MOUNTPOINT out")
        print_facts(build_settings(given), as_json)
        return
    findings = []
    for finding in _findings(mountpoint, given):
        findings.append(finding)
        if not as_json:
            click.echo(_line(finding))
    if as_json:
        click.echo(json.dumps({"checks": [asdict(finding) for finding in findings]}))
    else:
        click.echo(_verdict(findings))
    failures = (finding.status for finding in findings if finding.level == "fail")
    click.get_current_context().exit(next(failures, 0))


def _line(finding: Finding) -> str:
    """Return a finding as a line; click leaves out the colour where it is not for a terminal."""
    level = click.style(f"{finding.level:4}", fg=_COLOURS[finding.level], bold=True)
    return f"{level}  {shown(f'{finding.check:{_WIDTH}}  {finding.said}')}"


def _verdict(findings: Sequence[Finding]) -> str:
    """Return the last line: whether a mount works here."""
    failed = [finding.check for finding in findings if finding.level == "fail"]
    warned = sum(finding.level == "warn" for finding in findings)
    if failed:
        names = ", ".join(dict.fromkeys(failed))
        return click.style(f"A mount would fail here: see {names}.", fg="red", bold=True)
    also = f", with {pluralize(warned, 'warning')} above" if warned else ""
    return click.style(f"A mount works here{also}.", fg="green", bold=True)


def _findings(mountpoint: Path | None, given: Mapping[str, Any]) -> Iterator[Finding]:
    """Run the checks in order; a check whose requirements failed is left out."""
    yield from doctor_checks.machine()
    yield from run_check("plugins", doctor_checks.loaded)
    key = base_url = None
    try:
        service = service_of(given)
    except HistfsError as error:
        yield doctor_checks.failed("plugins", error)
        return
    try:
        key = key_of(given, service)
        yield Finding("key", "ok", f"from {key.origin}")
    except HistfsError as error:
        yield doctor_checks.failed("key", error)
    try:
        base_url = base_url_of(given, service)
    except HistfsError as error:
        yield doctor_checks.failed("server", error)
    cache_dir = given["cache_dir"].absolute()
    if key is not None and base_url is not None:
        settings = Settings(
            base_url=base_url,
            key=key,
            cache_dir=cache_dir,
            service=service,
            source_options=config_layer().sources,
        )
        yield from run_check("server", partial(doctor_checks.server, settings))
        yield from run_check("cache", partial(doctor_checks.cache, settings))
    else:
        yield from run_check("cache", partial(doctor_checks.directory, "cache", cache_dir))
    yield from run_check(
        "trash", partial(doctor_checks.directory, "trash", given["trash"].absolute())
    )
    yield from run_check("mounts", doctor_checks.mounts)
    if mountpoint is not None:
        yield from run_check("mountpoint", partial(doctor_checks.mountpoint, mountpoint))
