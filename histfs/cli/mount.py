"""``histfs mount``."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from histfs import logs
from histfs.background import Ready, run_in_background
from histfs.cli.exits import reported, warn
from histfs.cli.options import (
    MaybeEmpty,
    no_trash_option,
    read_only_option,
    setting,
    trash_option,
    tree_options,
    tree_settings,
)
from histfs.core.secret import Secret
from histfs.fuse.mountpoint import detach_dead
from histfs.mounting import demo, serve
from histfs.settings import DEFAULT_CRAWLERS, Settings, parse_mount_options, parse_patterns


@click.command(context_settings={"show_default": True})
@click.argument("mountpoint", type=click.Path(readable=False, path_type=Path))
@click.option("-f", "--foreground", is_flag=True, help="Stay here, log to the terminal.")
@click.option("-d", "--debug", is_flag=True, help="Show every call (stays in the foreground).")
@click.option(
    "-o",
    "options",
    multiple=True,
    metavar="OPT[,OPT…]",
    help="Mount options: ro, placement=links|dir, umask=077, uid=, gid=, allow_other, nonempty.",
)
@click.option("--demo", "is_demo", is_flag=True, help="Mount a sample history; needs no key.")
@read_only_option
@trash_option
@no_trash_option
@setting(
    "--sizes",
    type=click.Choice(["estimate", "exact"]),
    default="estimate",
    help="What stat shows of audio that was never opened; exact downloads it.",
)
@setting(
    "--crawlers",
    cls=MaybeEmpty,
    default=",".join(DEFAULT_CRAWLERS),
    metavar="PATTERN[,PATTERN…]",
    show_default="common thumbnailers and indexers",
    help="Programs that can't open audio which isn't in the cache, by their names.",
)
@tree_options
def mount(mountpoint: Path, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Mount your history on MOUNTPOINT, an empty directory.

    Returns as soon as the mount can be used. End it with `histfs umount MOUNTPOINT`.

    \b
    Examples:
      export ELEVENLABS_API_KEY=…
      histfs mount ~/history
      mpv ~/history/by-voice/Rachel/*/audio.mp3
      rsync -a ~/history/ /backup/history/
      histfs mount --demo /mnt          # no key, no network

    Deleting audio.mp3, or an item's directory, deletes the item from your history; a copy of it
    goes into the trash (histfs trash --help).
    """  # noqa: D301 - the control character is click's
    path, is_demo = mountpoint.absolute(), given["is_demo"]
    settings = _settings(given)
    if exposed := settings.options.exposure():
        warn(exposed)
    if detach_dead(path):
        warn(f"a histfs whose process had died was detached from {path}")
    if given["foreground"] or given["debug"]:
        logs.start(foreground=True, debug=given["debug"], key=settings.key)
        _serve(settings, path, is_demo, lambda: None)
        return
    context = click.get_current_context()
    context.exit(run_in_background(lambda ready: _in_background(settings, path, is_demo, ready)))


def _in_background(settings: Settings, mountpoint: Path, is_demo: bool, ready: Ready) -> int:
    logs.start(foreground=False, debug=False, key=settings.key)
    try:
        with reported():
            _serve(settings, mountpoint, is_demo, ready)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _serve(settings: Settings, mountpoint: Path, is_demo: bool, ready: Ready) -> None:
    with contextlib.ExitStack() as stack:
        if is_demo:
            cache = stack.enter_context(tempfile.TemporaryDirectory(prefix="histfs-demo-"))
            settings = stack.enter_context(demo(settings, Path(cache)))
        serve([settings], mountpoint, ready, warn)


def _settings(given: dict[str, Any]) -> Settings:
    options = ("ro", *given["options"]) if given["read_only"] else given["options"]
    return replace(
        tree_settings(given, Secret("") if given["is_demo"] else None),
        options=parse_mount_options(options),
        trash=None if given["no_trash"] else given["trash"].absolute(),
        exact_sizes=given["sizes"] == "exact",
        crawlers=parse_patterns(given["crawlers"]),
        debug=given["debug"],
    )
