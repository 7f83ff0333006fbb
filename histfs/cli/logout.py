"""``histfs logout``."""

from __future__ import annotations

import os
from typing import Any

import click

from histfs import key_store
from histfs.cli.config_sources import config_layer
from histfs.cli.login import credential_of
from histfs.cli.options import server_options, service_of
from histfs.keys import process_key
from histfs.settings import DEFAULT_PROFILE


@click.command(context_settings={"show_default": True})
@server_options
def logout(**given: Any) -> None:  # noqa: ANN401 - click's options
    """Remove the API key that `histfs login` keeps.

    At the server the key stays valid: delete it there, too, if it may be known to others.
    """
    credential = credential_of(service_of(given))
    profile = config_layer().profile or DEFAULT_PROFILE
    places = key_store.forget_key(credential, profile)
    for place in places:
        click.echo(f"Removed the key from {place}.")
    if not places:
        click.echo(f"No key is kept for the profile {profile}.")
    if process_key(credential, dict(os.environ)) is not None:
        click.echo(f"{credential.variable} still has a key.")
