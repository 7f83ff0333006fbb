"""``histfs doctor --facts``: a report about a server that can be published.

It has no text, name, id or key in it: the server's answers are reduced to classes and numbers.
"""

from __future__ import annotations

import contextlib
import json
import platform
import re
import time
from collections.abc import Iterable, Iterator, Mapping

import click

from histfs import __version__
from histfs.cli.error_reporting import warn
from histfs.core.errors import HistfsError
from histfs.core.server_url import is_loopback, parse_server_url
from histfs.fuse import binding
from histfs.settings import Settings
from histfs.sources.elevenlabs.facts import (
    MOST_BYTES,
    MOST_CLIPS,
    MOST_REQUESTS,
    Fact,
    Unknown,
    probe,
)
from histfs.sources.elevenlabs.facts.classes import Value
from histfs.sources.elevenlabs.http_client import HttpClient
from histfs.sources.elevenlabs.service import REGIONS

_TIMEOUT = 60.0
#: Width of the column of names.
_WIDTH = 38


def print_facts(settings: Settings, as_json: bool) -> None:
    """Probe the server, and print the report at the end.

    Args:
        settings: the server and the key.
        as_json: whether to print one JSON object.

    Raises:
        Unreachable, KeyRefused: the server can't be probed.
    """
    warn(
        f"the server is asked up to {MOST_REQUESTS} times, which may take minutes and includes the"
        f" download of up to {MOST_CLIPS} clips ({MOST_BYTES >> 20} MB); nothing is changed"
    )
    http = HttpClient(settings.base_url, settings.key, _TIMEOUT, connections=1, retries=0)
    with contextlib.closing(http):
        facts = [*_machine(settings.base_url), *probe(http)]
    for line in [_to_json(facts)] if as_json else _lines(facts):
        click.echo(line)


def _machine(base_url: str) -> Iterator[Fact]:
    yield Fact("machine", "date", time.strftime("%Y-%m-%d", time.gmtime()))
    yield Fact("machine", "histfs", __version__)
    yield Fact("machine", "Python", platform.python_version())
    library: str | Unknown
    try:
        library = str(binding.load())
    except HistfsError:
        library = Unknown("none can be loaded")
    yield Fact("machine", "FUSE library", library)
    # The text after the numbers may name the person who built the kernel.
    kernel = re.match(r"[0-9]+(\.[0-9]+)*", platform.release())
    yield Fact("machine", "kernel", kernel[0] if kernel else Unknown("it has no number"))
    yield Fact("machine", "server", _classify_server(base_url))


def _classify_server(base_url: str) -> str:
    """Return the region of the API, or the kind of another host, without its name."""
    for region, address in REGIONS.items():
        if base_url == address:
            return f"the API, region {region}"
    url = parse_server_url(base_url)
    host = "this machine" if is_loopback(url.host) else "another host"
    return f"{host}, with a path" if url.path else host


def _to_json(facts: Iterable[Fact]) -> str:
    report: dict[str, dict[str, object]] = {}
    for fact in facts:
        value = {"unknown": fact.value.why} if isinstance(fact.value, Unknown) else fact.value
        report.setdefault(fact.section, {})[fact.name] = value
    return json.dumps({"facts": report})


def _lines(facts: Iterable[Fact]) -> Iterator[str]:
    section = ""
    for fact in facts:
        if fact.section != section:
            section = fact.section
            yield section
        yield f"  {fact.name:{_WIDTH}} {_format(fact.value)}"


def _format(value: Value | Unknown) -> str:
    if isinstance(value, Unknown):
        return f"unknown ({value.why})"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {number:,}" for name, number in value.items()) or "none"
    return value if isinstance(value, str) else f"{value:,}"
