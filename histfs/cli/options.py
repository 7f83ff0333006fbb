"""Options that several commands have: those that tell about the account and the cache."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from histfs import plugins
from histfs.cli.config_sources import (
    FROM_FILE,
    Command,
    Given,
    for_profiles,
    given_at_all,
    in_file,
    layer,
    rank,
    setting,
)
from histfs.config import parse_profiles
from histfs.core.secret import Secret
from histfs.core.service import Service
from histfs.keys import find_key, take_key
from histfs.settings import (
    DEFAULT_PROFILE,
    OFFICIAL_BASE_URL,
    OptionError,
    Settings,
    SettingsError,
    default_cache_dir,
    default_trash,
    parse_base_url,
    parse_duration,
    parse_mount_options,
    parse_names,
    parse_size,
    parse_size_limit,
)
from histfs.sources.elevenlabs.service import ELEVENLABS, REGIONS

#: The settings that say where the key is.
_KEYS = ("api_key_file", "api_key_command")


class MaybeEmpty(click.Option):
    """An option that an empty environment variable sets; click takes that for none."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return what the variable holds, None when it isn't there."""
        return os.environ.get(str(self.envvar))


class Seconds(click.FloatRange):
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


_CACHE = [
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
        help="Let the key go to another machine over http, for all on the way to read.",
    ),
    setting(
        "--sources",
        metavar="NAME[+NAME…]",
        show_default="all",
        help="The sources that are used.",
    ),
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
        help="Where the catalog and the audio are kept.",
    ),
]
_ACCOUNT = [
    *_CACHE,
    setting(
        "--audio-cache-size",
        default="2G",
        metavar="SIZE",
        help="How much audio is kept on this machine.",
    ),
    setting(
        "--max-clip-size",
        default="4G",
        metavar="SIZE",
        help="How large a clip, or an attachment, may be to be fetched.",
    ),
    setting(
        "--connections",
        type=click.IntRange(1, 64),
        default=8,
        metavar="N",
        help="Requests at once.",
    ),
    setting(
        "--rescan",
        default="24h",
        metavar="TIME",
        help="How long before what is known is asked for again; 0 for never.",
    ),
    setting(
        "--timeout",
        type=Seconds(1),
        default=30.0,
        metavar="SECONDS",
        help="When any call on the mount, and any request, ends at the latest.",
    ),
]
_TREE = [
    click.option(
        "-o",
        "options",
        multiple=True,
        metavar="OPT[,OPT…]",
        help="Mount options: ro, placement=links|dir, sources=, views=, files=, umask=077, uid=,"
        " gid=, allow_other, nonempty.",
    ),
    setting(
        "--views",
        metavar="NAME[+NAME…]",
        show_default="each source's own",
        help="The views that are shown, in their order.",
    ),
    setting(
        "--files",
        metavar="NAME[+NAME…]",
        show_default="each source's own",
        help="The files that an item shows, in their order.",
    ),
    setting(
        "--listing-ttl",
        type=Seconds(0),
        default=30.0,
        metavar="SECONDS",
        help="How long a listing is taken for fresh.",
    ),
    setting(
        "--timezone",
        metavar="ZONE",
        show_default="the machine's",
        help="The zone in which days begin, such as Europe/Berlin.",
    ),
    *_ACCOUNT,
]
trash_option = setting(
    "--trash",
    type=click.Path(path_type=Path, file_okay=False),
    default=default_trash,
    metavar="DIR",
    show_default="~/.local/share/histfs/trash",
    help="Where copies of deleted items are kept.",
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


def account_options(command: Command) -> Command:
    """Give a command the options that tell about the account and the cache."""
    return _with([*_ACCOUNT, *FROM_FILE], command)


def tree_options(command: Command) -> Command:
    """Give a command those, and what tells how names are made and how fresh they are."""
    return _with([*_TREE, *FROM_FILE], command)


def trash_options(command: Command) -> Command:
    """Give a command the option that tells which trash it is."""
    return _with([trash_option, *FROM_FILE], command)


def cache_options(command: Command) -> Command:
    """Give a command those of them that tell which cache it is."""
    return _with([*_CACHE, *FROM_FILE], command)


def _with(options: Sequence[Callable[[Command], Command]], command: Command) -> Command:
    return functools.reduce(lambda made, option: option(made), reversed(options), command)


def account_settings(given: Given, key: Secret | None = None) -> Settings:
    """Return the settings that `account_options` gave; any other has its default.

    Args:
        given: click's options.
        key: the API key; None to find it where the user put it.

    Raises:
        SettingsError: one of them can't be used, or there is no key.
        UnknownPlugin: what is chosen, or has a table in the configuration file, isn't there.
    """
    settings = replace(
        cache_settings(given, key),
        rescan=parse_duration(given["rescan"]),
        audio_cache_size=parse_size(given["audio_cache_size"]),
        max_clip_size=parse_size_limit(given["max_clip_size"]),
        connections=given["connections"],
        timeout=given["timeout"],
        sources=_names(given, "sources"),
    )
    return _checked(settings)


def tree_settings(given: Given, key: Secret | None = None) -> Settings:
    """Return the settings that `tree_options` and `read_only_option` gave; others have defaults.

    Args and Raises:
        As `account_settings`.
    """
    read_only = ("ro",) if given.get("read_only") else ()
    options = parse_mount_options((*read_only, *given["options"]))
    chosen = {
        kind: names
        for kind in ("sources", "views", "files")
        if (names := getattr(options, kind)) is not None and rank("options") <= rank(kind)
    }
    settings = replace(
        account_settings(given, key),
        options=options,
        listing_ttl=given["listing_ttl"],
        timezone=given["timezone"],
        **{"views": _names(given, "views"), "files": _names(given, "files"), **chosen},
    )
    return _checked(settings)


def cache_settings(given: Given, key: Secret | None = None) -> Settings:
    """Return the settings that `cache_options` gave; any other has its default.

    Args and Raises:
        As `account_settings`.
    """
    found, service = layer(), service_of(given)
    return Settings(
        base_url=base_url_of(given, service),
        key=key_of(given, service) if key is None else key,
        cache_dir=given["cache_dir"].absolute(),
        service=service,
        profile=found.profile or DEFAULT_PROFILE,
        source_options=found.sources,
    )


def _checked(settings: Settings) -> Settings:
    """Return settings of which the plugins are there.

    Raises:
        UnknownPlugin: one of them isn't.
    """
    plugins.choose(plugins.SOURCES, [*(settings.sources or ()), *settings.source_options])
    plugins.choose(plugins.VIEWS, settings.views or ())
    plugins.choose(plugins.FILES, settings.files or ())
    return settings


def profiles_settings(names: str, make: Callable[[Given], Settings]) -> list[Settings]:
    """Return the settings of several profiles, each of which stands in a folder of its name.

    The key of each is in the configuration file: that of the environment, or a flag, could only be
    right for one, and would show its history as that of the others, too.

    Args:
        names: of the profiles, with commas between them.
        make: makes settings of click's options.

    Raises:
        OptionError: one of them isn't there, or its key is not in the file.
        SettingsError, UnknownPlugin: as `make` does.
    """
    if given_at_all("profile"):
        raise OptionError("--profile (HISTFS_PROFILE) and --profiles exclude each other")

    def in_folder(name: str, given: Given) -> Settings:
        if not in_file(min(_KEYS, key=rank)):
            raise OptionError(
                f"which key is that of the profile {name}? With --profiles each one's api-key-file"
                " or api-key-command stands in the configuration file, and nowhere else"
            )
        return replace(make(given), folder=name)

    return for_profiles(parse_profiles(names), in_folder)


def trash_of(given: Given) -> Path | None:
    """Return the trash that `trash_option` and `no_trash_option` gave; None for none."""
    no_trash = given["no_trash"] and rank("no_trash") <= rank("trash")
    return None if no_trash else given["trash"].absolute()


def service_of(given: Given) -> Service:
    """Return the service whose account the command is about, by the sources that were chosen.

    Raises:
        OptionError, UnknownPlugin: they can't be chosen.
    """
    return plugins.primary_service(plugins.sources(chosen_sources(given)))


def chosen_sources(given: Given) -> tuple[str, ...] | None:
    """Return the sources that ``--sources`` or ``-o sources=`` chose; None for all."""
    options = parse_mount_options(given.get("options", ())).sources
    if options is not None and rank("options") <= rank("sources"):
        return options
    return _names(given, "sources")


def base_url_of(given: Given, service: Service) -> str:
    """Return the base URL that `cache_options` gave.

    Of ``--base-url`` and ``--region`` the one that is given nearer by counts. Without them it is
    the variable of the official command line. Like that tool's key variable, it counts less than
    the configuration file: it was not set for histfs, and must not send the key of a profile to
    another host than that profile names.

    Raises:
        OptionError: both are given in one place, or what is given is no base URL.
        SettingsError: both stand in one place of the configuration file.
    """
    url, region = rank("base_url"), rank("region")
    if url == region and given_at_all("region"):
        raise _both_given(url)
    if region < url:
        if given["region"] not in service.regions:
            raise OptionError(f"{service.name} has no region {given['region']!r}")
        return service.regions[given["region"]]
    if not given_at_all("base_url") and service is not ELEVENLABS:
        return service.base_url
    official = os.environ.get(OFFICIAL_BASE_URL)
    if given_at_all("base_url") or not official:
        return parse_base_url(given["base_url"], given["insecure_http"])
    try:
        return parse_base_url(official, given["insecure_http"])
    except OptionError as error:
        raise OptionError(f"{OFFICIAL_BASE_URL}: {error}") from error


def _both_given(rank: int) -> SettingsError:
    """Return the error of a base URL and a region that have the same rank."""
    if in_file("region"):
        profile = layer().profile
        place = f"in [profiles.{profile}]" if profile and rank == 2 else "at its top"
        return SettingsError(
            f"the configuration file has base-url and region {place}: leave one of them out"
        )
    names = "--base-url and --region" if rank == 0 else "HISTFS_BASE_URL and HISTFS_REGION"
    return OptionError(f"{names} exclude each other: give one of them")


def key_of(given: Given, service: Service) -> Secret:
    """Return the API key that `cache_options` gave, or that is where it is without them.

    Raises:
        SettingsError: there is none, or it can't be used.
    """
    context = click.get_current_context()
    file, command = given["api_key_file"], given["api_key_command"]
    if command is not None and rank("api_key_command") < rank("api_key_file"):
        file = None
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if service.credential is None:
        return Secret("", "nowhere: none is needed")
    if service is ELEVENLABS:
        # The variable was taken out of the environment when the program began.
        variable = context.find_root().obj
    else:
        variable = take_key(os.environ, service.credential)
    directory = Path(credentials) if credentials else None
    return find_key(service.credential, file, command, directory, variable)


def _names(given: Given, name: str) -> tuple[str, ...] | None:
    text = given[name]
    return None if text is None else parse_names(f"--{name}", text)
