"""``histfs mount``."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from histfs import logs
from histfs.background import Ready, run_in_background
from histfs.cli.exits import reported
from histfs.core.secret import Secret
from histfs.mounting import demo, serve
from histfs.settings import (
    DEFAULT_BASE_URL,
    Settings,
    default_cache_dir,
    find_key,
    parse_base_url,
    parse_mount_options,
    parse_size,
    read_config,
)

Command = TypeVar("Command", bound=Callable[..., Any])

#: The options that may stand in the configuration file.
_CONFIGURABLE = ["options"]


def _setting(flag: str, **attributes: Any) -> Callable[[Command], Command]:  # noqa: ANN401
    """Declare an option that may also stand in the environment and the configuration file."""
    name = flag.removeprefix("--").replace("-", "_")
    _CONFIGURABLE.append(name)
    return click.option(flag, envvar=f"HISTFS_{name.upper()}", show_envvar=True, **attributes)


class _Seconds(click.FloatRange):
    """A number of seconds; click takes nan and inf for some."""

    def convert(
        self,
        value: Any,  # noqa: ANN401 - what click gives
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Return the number; fail for anything else."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return number


def _use_config(context: click.Context, option: click.Parameter, value: Path | None) -> None:
    """Put the configuration file's values below flags and environment."""
    with reported():
        context.default_map = read_config(value, _CONFIGURABLE)


@click.command(context_settings={"show_default": True})
@click.argument("mountpoint", type=click.Path(path_type=Path))
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
@_setting(
    "--read-only",
    is_flag=True,
    help="The same as -o ro.",
)
@_setting(
    "--base-url",
    default=DEFAULT_BASE_URL,
    metavar="URL",
    help="The API's address; data residency has others.",
)
@_setting(
    "--api-key-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A file that holds the API key; else $ELEVENLABS_API_KEY is used.",
)
@_setting(
    "--cache-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=default_cache_dir,
    metavar="DIR",
    show_default="~/.cache/histfs",
    help="Where the catalog and the audio are kept.",
)
@_setting(
    "--listing-ttl",
    type=_Seconds(0),
    default=30.0,
    metavar="SECONDS",
    help="How long a listing is taken for fresh.",
)
@_setting(
    "--audio-cache-size",
    default="2G",
    metavar="SIZE",
    help="How much audio is kept on this machine.",
)
@_setting(
    "--connections",
    type=click.IntRange(1, 64),
    default=8,
    metavar="N",
    help="Downloads at once.",
)
@_setting(
    "--timezone",
    metavar="ZONE",
    show_default="the machine's",
    help="The zone in which days begin, such as Europe/Berlin.",
)
@_setting(
    "--sizes",
    type=click.Choice(["estimate", "exact"]),
    default="estimate",
    help="What stat shows of audio that was never opened; exact downloads it.",
)
@_setting(
    "--timeout",
    type=_Seconds(1),
    default=30.0,
    metavar="SECONDS",
    help="When any call on the mount ends at the latest.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="HISTFS_CONFIG",
    show_envvar=True,
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=_use_config,
    show_default="~/.config/histfs/config.toml",
    help="A TOML file with these settings.",
)
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

    Deleting audio.mp3, or an item's directory, deletes the item from your history.
    """  # noqa: D301 - the control character is click's
    settings = _settings(mountpoint.absolute(), given)
    if given["foreground"] or given["debug"]:
        logs.start(foreground=True, debug=given["debug"])
        _serve(settings, given["is_demo"], lambda: None)
        return
    context = click.get_current_context()
    context.exit(run_in_background(lambda ready: _in_background(settings, given["is_demo"], ready)))


def _in_background(settings: Settings, is_demo: bool, ready: Ready) -> int:
    logs.start(foreground=False, debug=False)
    try:
        with reported():
            _serve(settings, is_demo, ready)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _serve(settings: Settings, is_demo: bool, ready: Ready) -> None:
    with contextlib.ExitStack() as stack:
        if is_demo:
            cache = stack.enter_context(tempfile.TemporaryDirectory(prefix="histfs-demo-"))
            settings = stack.enter_context(demo(settings, Path(cache)))
        serve(settings, ready)


def _settings(mountpoint: Path, given: dict[str, Any]) -> Settings:
    options = ("ro", *given["options"]) if given["read_only"] else given["options"]
    return Settings(
        mountpoint=mountpoint,
        base_url=parse_base_url(given["base_url"]),
        key=Secret("") if given["is_demo"] else find_key(given["api_key_file"], os.environ),
        cache_dir=given["cache_dir"].absolute(),
        options=parse_mount_options(options),
        listing_ttl=given["listing_ttl"],
        audio_cache_size=parse_size(given["audio_cache_size"]),
        connections=given["connections"],
        timezone=given["timezone"],
        exact_sizes=given["sizes"] == "exact",
        timeout=given["timeout"],
        debug=given["debug"],
    )
