"""The options that several commands share, and the settings built from their values."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from histfs import plugins
from histfs.cli.account_options import base_url_of, key_of, profile_has_key
from histfs.cli.config_sources import (
    CONFIG_OPTIONS,
    Command,
    Given,
    Setting,
    config_layer,
    is_from_file,
    is_given,
    map_profiles,
    placed,
    rank,
    setting,
)
from histfs.cli.program_options import programs_of
from histfs.core.secret import Secret
from histfs.core.service import Service
from histfs.settings import (
    DEFAULT_PROFILE,
    MountOptions,
    OptionError,
    Settings,
    default_cache_dir,
    default_trash,
    parse_duration,
    parse_mount_options,
    parse_names,
    parse_size,
    parse_size_limit,
)
from histfs.sources.elevenlabs.service import ELEVENLABS, REGIONS

#: The choices of plugins, which are settings and mount options, and the kind of each.
_CHOICES = {"sources": plugins.SOURCES, "views": plugins.VIEWS, "files": plugins.FILES}
#: The fields of `Settings` whose values are those of the options with the same names.
_FIELDS = (
    "options", "listing_ttl", "rescan", "audio_cache_size", "max_clip_size", "connections",
    "timezone", "crawlers", "timeout", "debug",
)  # fmt: skip


class Seconds(click.FloatRange):
    """A finite number of seconds; click accepts nan and inf."""

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's own signature
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Return the number, or fail; a text may have a unit, as of `parse_duration`."""
        given = value
        if isinstance(value, str):
            with contextlib.suppress(OptionError):
                value = parse_duration(value)
        try:
            number: float = super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(
                f"{given!r} is not a time such as 30 or 30s, {self.min:g} at the least.", param, ctx
            )
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return number


class WholeNumber(click.IntRange):
    """A whole number within bounds; click calls any other text an invalid integer range."""

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's own signature
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> int:
        """Return the number, or fail."""
        try:
            number: int = super().convert(value, param, ctx)
        except click.BadParameter:
            bounds = f"from {self.min}" + ("" if self.max is None else f" to {self.max}")
            self.fail(f"{value!r} is not a whole number {bounds}.", param, ctx)
        return number


def names_type(option: str, separator: str = "+") -> Callable[[str], tuple[str, ...]]:
    """Return a click type for a list of names; see `parse_names`."""

    def parse(text: str) -> tuple[str, ...]:
        return parse_names(option, text, separator)

    return parse


_SERVER = [
    setting(
        "--base-url",
        default=ELEVENLABS.base_url,
        metavar="URL",
        help="The API's address; else $ELEVENLABS_BASE_URL is used.",
    ),
    setting(
        "--region",
        type=click.Choice(list(REGIONS), case_sensitive=False),
        help="Use the API's address in this region, instead of --base-url.",
    ),
    setting(
        "--insecure-http",
        is_flag=True,
        help="Send the key over http to another machine, unencrypted.",
    ),
    setting(
        "--sources",
        type=names_type("--sources"),
        metavar="NAME[+NAME…]",
        show_default="all",
        help="The sources that are used.",
    ),
]
_CACHE = [
    *_SERVER,
    setting(
        "--api-key-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A file that holds the API key; else $ELEVENLABS_API_KEY is used.",
    ),
    setting(
        "--api-key-command",
        metavar="CMD",
        help="A command that prints the API key, such as 'pass show elevenlabs'.",
    ),
    setting(
        "--cache-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=default_cache_dir,
        metavar="DIR",
        show_default="~/.cache/histfs",
        help="Directory of the catalog and the audio.",
    ),
]
_ACCOUNT = [
    *_CACHE,
    setting(
        "--audio-cache-size",
        type=parse_size,
        default="2G",
        metavar="SIZE",
        help="Maximum size of the audio cache.",
    ),
    setting(
        "--max-clip-size",
        type=parse_size_limit,
        default="4G",
        metavar="SIZE",
        help="Maximum size of a clip or an attachment; a larger one is not fetched.",
    ),
    setting(
        "--connections",
        type=WholeNumber(1, 64),
        default=8,
        metavar="N",
        help="Maximum number of concurrent requests.",
    ),
    setting(
        "--rescan",
        type=parse_duration,
        default="24h",
        metavar="TIME",
        help="Age at which known items are listed again; 0 for never.",
    ),
    setting(
        "--timeout",
        type=Seconds(1),
        default=30.0,
        metavar="SECONDS",
        help="Maximum duration of any call on the mount, and of any request; audio may take longer"
        " while it comes.",
    ),
]
_mount_options = click.option(
    "-o",
    "options",
    cls=Setting,
    multiple=True,
    # All of them together: the last one of a name wins.
    callback=lambda _, __, texts: parse_mount_options(texts),
    metavar="OPT[,OPT…]",
    help="Mount options: ro, placement=links|dir, sources=, views=, files=, umask=077, uid=,"
    " gid=, programs=, listen=show|hide|off, tags, xattr, allow_other, nonempty.",
)
_NAMES = [
    setting(
        "--views",
        type=names_type("--views"),
        metavar="NAME[+NAME…]",
        show_default="each source's own",
        help="The views that are shown, in this order.",
    ),
    setting(
        "--files",
        type=names_type("--files"),
        metavar="NAME[+NAME…]",
        show_default="each source's own",
        help="The files that an item shows, in this order.",
    ),
    setting(
        "--listing-ttl",
        type=Seconds(0),
        default=30.0,
        metavar="SECONDS",
        help="How long a listing is fresh.",
    ),
    setting(
        "--timezone",
        metavar="ZONE",
        show_default="that of the first mount",
        help="The zone in which days begin, such as Europe/Berlin.",
    ),
    *_ACCOUNT,
]
_TREE = [_mount_options, *_NAMES]
trash_option = setting(
    "--trash",
    type=click.Path(path_type=Path, file_okay=False),
    default=default_trash,
    metavar="DIR",
    show_default="~/.local/share/histfs/trash",
    help="Directory of the copies of deleted items.",
)
no_trash_option = setting(
    "--no-trash",
    is_flag=True,
    help="Delete without keeping a copy.",
)
read_only_option = setting(
    "--read-only",
    is_flag=True,
    help="Delete nothing; the same as -o ro.",
)


def server_options(command: Command) -> Command:
    """Give a command the options that choose the server and the profile."""
    return _with_options(_SERVER, command)


def cache_options(command: Command) -> Command:
    """Give a command the options that choose the server, the key and the cache."""
    return _with_options(_CACHE, command)


def account_options(command: Command) -> Command:
    """Give a command `cache_options`, and those of the sources, downloads and requests."""
    return _with_options(_ACCOUNT, command)


def tree_options(command: Command) -> Command:
    """Give a command `account_options`, and those of names and listings."""
    return _with_options(_TREE, command)


def tree_options_without_o(command: Command) -> Command:
    """Give a command `tree_options`, but that of mount options: its own ``-o`` is another one."""
    return _with_options(_NAMES, command)


def trash_options(command: Command) -> Command:
    """Give a command the option that chooses the trash."""
    return _with_options([trash_option], command)


def _with_options(options: Sequence[Callable[[Command], Command]], command: Command) -> Command:
    options = [*options, *CONFIG_OPTIONS]
    return functools.reduce(lambda decorated, option: option(decorated), options[::-1], command)


def build_settings(given: Given, key: Secret | None = None) -> Settings:
    """Build the settings of the running command; a field without an option has its default.

    Args:
        given: the values of the command's options, at least of `cache_options`.
        key: the API key; None to find it where the user put it.

    Raises:
        SettingsError: a value can't be used, or there is no key.
        UnknownPlugin: a plugin is chosen, or has a table in the configuration file, that no
            package has.
    """
    values = {name: given[name] for name in _FIELDS if name in given}
    if "options" in given:
        options: MountOptions = given["options"]
        values["options"] = replace(
            options, read_only=options.read_only or given.get("read_only", False)
        )
    values |= {name: _chosen(given, name) for name in _CHOICES if name in given}
    if "programs" in given:
        values["programs"] = programs_of(given)
    if "trash" in given:
        values["trash"] = trash_of(given)
    layer, service = config_layer(), service_of(given)
    settings = Settings(
        base_url=base_url_of(given, service),
        key=key_of(given, service) if key is None else key,
        cache_dir=given["cache_dir"].absolute(),
        service=service,
        profile=layer.profile or DEFAULT_PROFILE,
        source_options=layer.sources,
        exact_sizes=given.get("sizes") == "exact",
        **values,
    )
    if "sources" in given:
        plugins.choose(plugins.SOURCES, settings.source_options)
        for name, kind in _CHOICES.items():
            with placed(_chooser(given, name)):
                plugins.choose(kind, getattr(settings, name) or ())
    if settings.timezone is not None and is_from_file("timezone"):
        # Imported here, as few commands need it: `compose` checks a zone that is given otherwise.
        from histfs.mounting.account_zone import require_known  # noqa: PLC0415

        with placed("timezone"):
            require_known(settings.timezone)
    return settings


def profiles_settings(names: Sequence[str]) -> list[Settings]:
    """Build the settings of several profiles, each with a folder of its name.

    The key of each must be in the configuration file, or kept by ``histfs login``. A key in a flag
    or in the environment can belong to one profile only, whose history would be shown for the
    others as well.

    Args:
        names: the names of the profiles.

    Raises:
        OptionError: a profile doesn't exist, or has no key of its own.
        SettingsError, UnknownPlugin: see `build_settings`.
    """
    if is_given("profile"):
        raise OptionError("--profile (HISTFS_PROFILE) and --profiles exclude each other")

    def build(name: str, given: Given) -> Settings:
        if not profile_has_key(service_of(given)):
            raise OptionError(
                f"which key is that of the profile {name}? With --profiles each one's is that of"
                f" histfs login --profile {name}, or its api-key-file or api-key-command stands in"
                " the configuration file, and nowhere else"
            )
        return replace(build_settings(given), folder=name)

    return map_profiles(names, build)


def trash_of(given: Given) -> Path | None:
    """Return the directory of the trash; None for no trash."""
    no_trash = given.get("no_trash", False) and rank("no_trash") <= rank("trash")
    trash: Path = given["trash"]
    return None if no_trash else trash.absolute()


def service_of(given: Given) -> Service:
    """Return the service of the account; raise OptionError or UnknownPlugin as its sources do."""
    with placed(_chooser(given, "sources")):
        return plugins.primary_service(plugins.sources(_chosen(given, "sources")))


def _chooser(given: Given, name: str) -> str:
    """Return the name of the option that chose plugins: ``--NAME`` itself, or ``-o``."""
    options: MountOptions | None = given.get("options")
    by_option = getattr(options, name, None) is not None and rank("options") <= rank(name)
    return "options" if by_option else name


def _chosen(given: Given, name: str) -> tuple[str, ...] | None:
    """Return the names that ``--NAME`` or ``-o NAME=`` chose; None for the default."""
    source = given["options"] if _chooser(given, name) == "options" else None
    names: tuple[str, ...] | None = given[name] if source is None else getattr(source, name)
    return names
