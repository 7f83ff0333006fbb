"""``histfs login``: keep an API key, after the server has accepted it."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from typing import Any

import click

from histfs import key_store
from histfs.cli.account_options import base_url_of
from histfs.cli.config_sources import Given, config_layer, is_from_file, is_given
from histfs.cli.error_reporting import Refused
from histfs.cli.options import server_options, service_of
from histfs.core.secret import Secret
from histfs.core.service import CheckResult, Credential, Service
from histfs.core.source_context import SourceContext
from histfs.core.terminal_text import shown
from histfs.keys import parse_key
from histfs.settings import DEFAULT_PROFILE, NoKey, OptionError

_TIMEOUT = 30.0
#: Maximum length of the line that is read from a pipe.
_MAX_LINE = 64 << 10
_MARKS = {"ok": "+", "fail": "-", "warn": "?"}


@click.command(context_settings={"show_default": True})
@server_options
def login(**given: Any) -> None:  # noqa: ANN401 - click's options
    """Keep an API key for later commands, after the server has accepted it.

    The key is asked for without echo, or read from the first line of a pipe. The server is asked
    what it may do, which changes nothing. It is kept in the system's keyring where the package
    keyring finds one (pip install 'histfs[keyring]'), else in a file that only you can read.
    Nothing else is set.

    \b
    Examples:
      histfs login
      histfs login --profile work
      pass show elevenlabs | histfs login
    """  # noqa: D301 - the control character is click's
    service = service_of(given)
    credential = credential_of(service)
    base_url = base_url_of(given, service)
    text = _read(credential).strip().removeprefix(f"{credential.variable}=").strip("'\"")
    key = parse_key(credential, text, "what was given to histfs login")
    results = _try(service, base_url, key)
    click.echo(shown(f"{base_url} accepts the key. It may:"))
    width = max((len(result.check) for result in results), default=0)
    for result in results:
        line = f"  {_MARKS[result.level]} {result.check:{width}}  {result.message}"
        click.echo(shown(line))
    if results and not any(result.level == "ok" for result in results):
        raise Refused("the key may read nothing, and is not kept: give it permissions, or another")
    profile = config_layer().profile or DEFAULT_PROFILE
    place = key_store.store_key(credential, profile, key)
    click.echo(f"It is kept in {place}. histfs logout removes it.")
    for line in _hints(given):
        click.echo(line)


def credential_of(service: Service) -> Credential:
    """Return the credential of a service.

    Raises:
        OptionError: it has none.
    """
    if service.credential is None:
        raise OptionError(f"{service.name} needs no key")
    return service.credential


def _read(credential: Credential) -> str:
    """Read a key from the terminal, or the first line of standard input.

    Raises:
        NoKey: that is not text.
    """
    if sys.stdin.isatty():
        if credential.page:
            click.echo(f"Make an API key at {credential.page}, and paste it here.", err=True)
        try:
            return getpass.getpass("API key (it is not shown): ")
        except EOFError:
            raise click.Abort from None
    try:
        return sys.stdin.readline(_MAX_LINE)
    except UnicodeDecodeError:
        raise NoKey("no API key came from standard input: it is not text") from None


def _try(service: Service, base_url: str, key: Secret) -> Sequence[CheckResult]:
    """Return what the key may do; empty where the service does not tell.

    Raises:
        HistfsError: the server can't be asked, or refuses the key.
    """
    if service.permissions is None:
        return []
    profile = config_layer().profile or DEFAULT_PROFILE
    return list(service.permissions(SourceContext(profile, base_url, key, _TIMEOUT, connections=1)))


def _hints(given: Given) -> list[str]:
    """Return what the user has to set so that other commands ask the same server."""
    hints = []
    for name in ("region", "base_url"):
        if is_given(name) and not is_from_file(name):
            flag, value, profile = name.replace("_", "-"), given[name], config_layer().profile
            where = f" in [profiles.{profile}]" if profile else ""
            hints.append(
                f'Other commands need --{flag} {value}, too, or {flag} = "{value}"{where} in the'
                " configuration: histfs config edit."
            )
    return hints
