"""``histfs plugins``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence

import click

from histfs.core.secret import Secret
from histfs.core.source_context import SourceContext
from histfs.core.terminal_text import shown
from histfs.plugins import FILES, SOURCES, VIEWS, Plugin, choose, installed
from histfs.settings import DEFAULT_PROFILE


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
def plugins(as_json: bool) -> None:
    """List the available sources, views and files, and their packages.

    Those that are used by default are marked: every source, its own views and files, and all of
    other packages; --sources, --views and --files choose others. One that can't be loaded is shown
    with the reason; a mount goes on without it. No key is needed, and no server is asked.
    """
    found = installed()
    named = _named_by_sources(found)
    widths = max(len(plugin.name) for plugin in found), max(len(p.package) for p in found)
    for plugin in found:
        default = plugin.error is None and (not plugin.own or plugin in named)
        click.echo(_to_json(plugin, default) if as_json else _to_line(plugin, default, *widths))


def _named_by_sources(found: Sequence[Plugin]) -> set[Plugin]:
    """Return the sources of histfs, and the views and files that they name."""
    named = set()
    for plugin in found:
        if plugin.kind == SOURCES and plugin.own and plugin.make is not None:
            context = SourceContext(
                DEFAULT_PROFILE, plugin.service.base_url, Secret(""), timeout=1.0, connections=1
            )
            with contextlib.closing(plugin.make(context)) as source:
                traits = source.traits
            named |= {plugin, *choose(VIEWS, traits.views), *choose(FILES, traits.files)}
    return named


def _to_line(plugin: Plugin, default: bool, name: int, package: int) -> str:
    """Return a line for a terminal, with these widths of the columns."""
    use = "used by default" if default else "used when chosen"
    if plugin.error is not None:
        use = f"left out: {plugin.error}"
    return shown(f"{plugin.kind:6}  {plugin.name:{name}}  {plugin.package:{package}}  {use}")


def _to_json(plugin: Plugin, default: bool) -> str:
    """Return one line of ASCII."""
    package, _, version = plugin.package.partition(" ")
    fields = {"kind": plugin.kind, "name": plugin.name, "package": package, "version": version}
    return json.dumps({**fields, "default": default, "error": plugin.error})
