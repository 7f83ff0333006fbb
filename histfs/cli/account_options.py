"""The server and the key of an account, from the options of the running command."""

from __future__ import annotations

import os

from histfs import key_store
from histfs.cli.config_sources import (
    Given,
    config_layer,
    is_from_file,
    is_given,
    placed,
    rank,
)
from histfs.core.secret import Secret
from histfs.core.service import Service
from histfs.keys import process_key
from histfs.settings import (
    OFFICIAL_BASE_URL,
    OptionError,
    SettingsError,
    parse_base_url,
)
from histfs.sources.elevenlabs.service import ELEVENLABS


def base_url_of(given: Given, service: Service) -> str:
    """Return the base URL that `cache_options` chose.

    Of ``--base-url`` and ``--region`` the one of the lower `rank` wins. The default is the variable
    of the official command line. It counts less than the configuration file: it was not set for
    histfs, and must not send the key of a profile to another host than the profile's.

    Raises:
        OptionError: both are given in one place, or the value is not a base URL.
        SettingsError: both are in one place of the configuration file.
    """
    url, region = rank("base_url"), rank("region")
    if url == region and is_given("region"):
        raise _conflict(url)
    if region < url:
        if given["region"] not in service.regions:
            raise OptionError(f"{service.name} has no region {given['region']!r}")
        return service.regions[given["region"]]
    if not is_given("base_url") and service is not ELEVENLABS:
        return service.base_url
    official = os.environ.get(OFFICIAL_BASE_URL)
    if is_given("base_url") or not official:
        with placed("base_url"):
            return parse_base_url(given["base_url"], given["insecure_http"])
    try:
        return parse_base_url(official, given["insecure_http"])
    except OptionError as error:
        raise OptionError(f"{OFFICIAL_BASE_URL}: {error}") from error


def _conflict(rank: int) -> SettingsError:
    """Return the error of a base URL and a region of the same rank."""
    if is_from_file("region"):
        profile = config_layer().profile
        place = f"in [profiles.{profile}]" if profile and rank == 2 else "at its top"
        return SettingsError(
            f"the configuration file has base-url and region {place}: leave one of them out"
        )
    names = "--base-url and --region" if rank == 0 else "HISTFS_BASE_URL and HISTFS_REGION"
    return OptionError(f"{names} exclude each other: give one of them")


#: The settings that say where the key is.
_KEYS = ("api_key_file", "api_key_command")


def key_of(given: Given, service: Service) -> Secret:
    """Return the API key that `cache_options` chose, or that is where it is without them.

    A key that ``histfs login`` keeps for a profile counts more than the variable, which is for no
    profile; without a profile it counts less.

    Raises:
        SettingsError: there is none, or it can't be used.
    """
    file, command = given["api_key_file"], given["api_key_command"]
    if command is not None and rank("api_key_command") < rank("api_key_file"):
        file = None
    credential, profile = service.credential, config_layer().profile
    if credential is None:
        return Secret("", "nowhere: none is needed")
    variable = process_key(credential)
    return key_store.account_key(credential, profile, file, command, variable)


def profile_has_key(service: Service) -> bool:
    """Return whether the profile of the running command has a key that is for no other one.

    That is one that the configuration file names, or that ``histfs login`` keeps.
    """
    if is_from_file(min(_KEYS, key=rank)) or service.credential is None:
        return True
    # A flag or a variable counts more, and is for all of them.
    return not any(map(is_given, _KEYS)) and key_store.has_key(
        service.credential, config_layer().profile
    )
