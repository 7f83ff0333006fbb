"""``histfs mount``."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from histfs import logs
from histfs.background import Ready, run_in_background
from histfs.cli.config_sources import Given, Repeatable, setting
from histfs.cli.error_reporting import exit_on_error, warn
from histfs.cli.mountpoint_argument import mountpoint_argument
from histfs.cli.options import (
    build_settings,
    names_type,
    no_trash_option,
    profiles_settings,
    read_only_option,
    trash_option,
    tree_options,
)
from histfs.cli.program_options import crawlers_option, programs_option
from histfs.core.secret import Secret
from histfs.core.terminal_text import shown
from histfs.fuse.mountpoint import check_user_may_mount
from histfs.mounting.serve import demo, serve
from histfs.settings import OptionError, Settings

#: The options that must be the same for all accounts of a mount, and the value of each.
_MOUNT_WIDE: dict[str, Callable[[Settings], object]] = {
    "-o": lambda settings: replace(
        settings.options,
        links=True,
        sources=None,
        views=None,
        files=None,
        programs=None,
        listen="hide",
        tags=False,
    ),
    "--sizes": lambda settings: settings.exact_sizes,
    "--crawlers": lambda settings: settings.crawlers,
    "--programs": lambda settings: settings.programs,
    "--timeout": lambda settings: settings.timeout,
}


@click.command(cls=Repeatable, context_settings={"show_default": True})
@mountpoint_argument
@click.option("-f", "--foreground", is_flag=True, help="Stay here, and log to the terminal.")
@click.option("-d", "--debug", is_flag=True, help="Show every call (stays in the foreground).")
@click.option("-q", "--quiet", is_flag=True, help="Don't say what is mounted, on a terminal.")
@click.option("--demo", "is_demo", is_flag=True, help="Mount a sample history; needs no key.")
@click.option(
    "--profiles",
    type=names_type("--profiles", ","),
    metavar="NAME[,NAME…]",
    help="Mount several profiles, each in a folder of its name.",
)
@read_only_option
@trash_option
@no_trash_option
@setting(
    "--sizes",
    type=click.Choice(["estimate", "exact"]),
    default="estimate",
    help="The size that stat shows of audio that was never opened; exact downloads it.",
)
@crawlers_option
@programs_option
@tree_options
def mount(mountpoint: Path, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Mount your history on MOUNTPOINT, an empty directory.

    Returns as soon as the mount can be used. End it with `histfs umount MOUNTPOINT`.

    \b
    Examples:
      histfs login
      histfs mount ~/history
      mpv ~/history/by-voice/Rachel/*/audio.mp3
      rsync -a ~/history/ /backup/history/
      histfs mount --profiles work,home ~/history
      histfs mount --demo /mnt          # no key, no network

    Deleting audio.mp3, or an item's directory, deletes the item from your history; a copy of it
    goes into the trash (histfs trash --help).
    """  # noqa: D301 - the control character is click's
    path, is_demo = mountpoint, given["is_demo"]
    accounts = _build_accounts(given)
    _check_places(accounts, path)
    fuse = accounts[0].options.fuse
    check_user_may_mount(bool(fuse.get("allow_other") or fuse.get("allow_root")))
    if exposed := accounts[0].options.exposure():
        warn(exposed)
    if given["foreground"] or given["debug"]:
        _start_log(accounts, foreground=True)
        _serve(accounts, path, is_demo, lambda: None)
        return
    status = run_in_background(lambda ready: _in_background(accounts, path, is_demo, ready))
    if status == 0 and sys.stdout.isatty() and not given["quiet"]:
        click.echo(shown(_summary(accounts, path, is_demo)))
    click.get_current_context().exit(status)


def _check_places(accounts: Sequence[Settings], mountpoint: Path) -> None:
    """Refuse a cache or a trash that the mount would hide, and wait for itself at each access.

    Raises:
        OptionError: one of them is inside the mountpoint.
    """
    for settings in accounts:
        for name, place in (("--cache-dir", settings.cache_dir), ("--trash", settings.trash)):
            if place is not None and Path(os.path.realpath(place)).is_relative_to(mountpoint):
                raise OptionError(
                    f"{place} is inside the mountpoint {mountpoint}: mount elsewhere, or give"
                    f" another {name}"
                )


def _summary(accounts: Sequence[Settings], mountpoint: Path, is_demo: bool) -> str:
    """Return a line about what is mounted where."""
    names = "+".join(settings.profile for settings in accounts)
    what = {"default": "Your history"}.get(names, f"The history of {names.replace('+', ', ')}")
    what = "A sample history" if is_demo else what
    if accounts[0].options.read_only:
        how = "read-only"
    elif is_demo:
        how = "what you delete is only gone from the sample"
    elif accounts[0].trash is None:
        how = "rm deletes from the account, without a copy"
    else:
        how = "rm deletes from the account, after a copy into the trash"
    end = f"histfs umount {shlex.quote(str(mountpoint))}"
    return f"{what} is mounted on {mountpoint} ({how}). End it with {end}"


def _in_background(
    accounts: Sequence[Settings], mountpoint: Path, is_demo: bool, ready: Ready
) -> int:
    """Serve the mount in the forked process, and return its exit status."""
    _start_log(accounts, foreground=False)
    try:
        with exit_on_error():
            _serve(accounts, mountpoint, is_demo, ready)
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        logs.finish()
    return 0


def _start_log(accounts: Sequence[Settings], foreground: bool) -> None:
    key, *others = (settings.key for settings in accounts)
    logs.start(foreground, foreground and accounts[0].debug, key, others=others)


def _serve(accounts: Sequence[Settings], mountpoint: Path, is_demo: bool, ready: Ready) -> None:
    with contextlib.ExitStack() as stack:
        if is_demo:
            cache = stack.enter_context(tempfile.TemporaryDirectory(prefix="histfs-demo-"))
            accounts = [stack.enter_context(demo(accounts[0], Path(cache)))]
        serve(accounts, mountpoint, ready, warn)


def _build_accounts(given: Given) -> list[Settings]:
    """Build the settings of the accounts to mount: one in the root, or several in folders.

    Raises:
        SettingsError, UnknownPlugin: a value can't be used, or the accounts can't share a mount.
    """
    if given["profiles"] is None:
        return [build_settings(given, Secret("") if given["is_demo"] else None)]
    if given["is_demo"]:
        raise OptionError("--demo has one account: leave --profiles out")
    first, *others = accounts = profiles_settings(given["profiles"])
    for option, value_of in _MOUNT_WIDE.items():
        for other in others:
            if value_of(other) != value_of(first):
                raise OptionError(
                    f"the profiles {first.profile} and {other.profile} differ in {option}, which"
                    " concerns the mount as a whole: give it on the command line"
                )
    return accounts
