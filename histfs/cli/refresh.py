"""``histfs refresh``."""

from __future__ import annotations

from typing import Any

import click

from histfs.cli.options import build_settings, tree_options
from histfs.cli.paths import direct_tree, for_each


@click.command(context_settings={"show_default": True})
@click.argument("paths", nargs=-1, metavar="[PATH…]")
@tree_options
def refresh(paths: tuple[str, ...], **given: Any) -> None:  # noqa: ANN401 - click's options
    """Have listings requested again when they are next needed.

    It concerns mounts, too. PATH is a directory, as for histfs ls; without one the whole history is
    meant. What is known stays, and is shown while the server does not answer. A mount does the same
    at SIGHUP.

    \b
    Examples:
      histfs refresh by-date/2024/05
      histfs refresh && ls ~/history/by-voice/Rachel
    """  # noqa: D301 - the control character is click's
    with direct_tree(build_settings(given)) as tree:
        status = for_each(paths or ("/",), tree.refresh)
    click.get_current_context().exit(status)
