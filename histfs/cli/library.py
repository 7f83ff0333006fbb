"""The options of the command line for a program that uses histfs as a library."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import click

from histfs.cli.options import (
    build_settings,
    no_trash_option,
    read_only_option,
    trash_option,
    tree_options,
)
from histfs.core.secret import Secret
from histfs.settings import OptionError, Settings


@click.command()
@read_only_option
@trash_option
@no_trash_option
@tree_options
def _options(**given: Any) -> None:  # noqa: ANN401 - click's options
    """Stand for a command that has these options."""


def settings_of(api_key: str | None, options: Mapping[str, Any]) -> Settings:
    """Return the settings that options of the command line stand for.

    Args:
        api_key: the API key; None to find it as a command does.
        options: values by the names of the options, with underscores.

    Raises:
        HistfsError: one of them can't be used, or there is no key.
        TypeError: there is no such option.
    """
    known = {parameter.name: parameter for parameter in _options.params}
    arguments = []
    for name, value in options.items():
        if name not in known:
            raise TypeError(f"histfs.open() has no option {name!r}")
        flag = known[name].opts[0]
        values = value if isinstance(value, (list, tuple)) else [value]
        for each in values:
            if each is True:
                arguments.append(flag)
            elif each is not None and each is not False:
                arguments.append(f"{flag}={each}")
    key = None if api_key is None else Secret(api_key, "histfs.open()")
    # The process's own environment stays as it is.
    program = click.Context(click.Group("histfs.open()"), obj=dict(os.environ))
    try:
        with _options.make_context("histfs.open()", arguments, parent=program) as context:
            settings = build_settings(context.params, key)
            return replace(settings, trash=None) if settings.options.read_only else settings
    except click.UsageError as error:
        raise OptionError(error.format_message()) from error
