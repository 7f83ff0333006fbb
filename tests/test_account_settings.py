"""`histfs.open` and the command line have the same options, defaults and results."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import click
import pytest

from histfs.account_settings import COMMANDS_ONLY, OPTIONS, settings_of
from histfs.cli import config_sources
from histfs.cli.command_group import import_commands
from histfs.cli.options import (
    build_settings,
    no_trash_option,
    read_only_option,
    trash_option,
    tree_options,
)
from histfs.settings import OptionError, SettingsError

KEY = "sk_0123456789abcdef0123456789abcdef"


@click.command()
@read_only_option
@trash_option
@no_trash_option
@tree_options
def command(**given):
    """A command with all of the options."""


def by_command(*arguments):
    with command.make_context("command", list(arguments)) as context:
        return build_settings(context.params)


def comparable(settings):
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return values | {"key": settings.key.reveal()}


@pytest.fixture
def configured(monkeypatch):
    """A configuration file with a profile, and a key in the environment."""
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "histfs" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(
        """
        connections = 3
        region = "eu"
        views = ["by-day", "by-voice"]
        options = ["umask=022", "ro"]
        sizes = "exact"
        [profiles.work]
        base-url = "http://127.0.0.1:9/here"
        timeout = 7
        trash = "/somewhere/else"
        [sources.history]
        color = "red"
        """
    )
    monkeypatch.setenv("ELEVENLABS_API_KEY", KEY)


def test_the_options_and_defaults_are_those_of_the_command_line():
    names = {parameter.name for parameter in command.params} - {"profile", "config", "help"}
    assert set(OPTIONS) == names
    import_commands()
    assert config_sources._configurable == set(OPTIONS) | COMMANDS_ONLY


@pytest.mark.parametrize(
    ("arguments", "options", "environment"),
    [
        ([], {}, {}),
        (["--profile", "work"], {"profile": "work"}, {}),
        (["--profile", "work", "--region", "us"], {"profile": "work", "region": "us"}, {}),
        ([], {}, {"HISTFS_PROFILE": "work", "HISTFS_REGION": "in"}),
        ([], {}, {"HISTFS_NO_TRASH": "1", "HISTFS_AUDIO_CACHE_SIZE": "5M"}),
        ([], {}, {"HISTFS_NO_TRASH": "no", "HISTFS_TRASH": "", "HISTFS_LISTING_TTL": "0"}),
        (["--trash", "/there"], {"trash": Path("/there")}, {"HISTFS_NO_TRASH": "1"}),
        (["--views", "by-date"], {"views": ["by-date"]}, {"HISTFS_VIEWS": "by-day"}),
        (["-o", "views=by-day,placement=dir"], {"options": ["views=by-day", "placement=dir"]}, {}),
        (["--sources", "history"], {"sources": "history"}, {"HISTFS_RESCAN": "2d"}),
        ([], {}, {"ELEVENLABS_BASE_URL": "https://api.example.com"}),
        (["--insecure-http", "--base-url", "http://h"],
         {"insecure_http": True, "base_url": "http://h"}, {}),
    ],
)  # fmt: skip
def test_the_results_are_those_of_the_command_line(
    configured, monkeypatch, arguments, options, environment
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # First: a command takes the key out of the environment.
    own = comparable(settings_of(None, options))
    found = comparable(by_command(*arguments))
    if found["options"].read_only:
        found["trash"] = None  # nothing is deleted
    assert own == found


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"connections": 65}, OptionError, "connections: '65'"),
        ({"timeout": float("nan")}, OptionError, "timeout: 'nan'"),
        ({"region": "moon"}, OptionError, "region: 'moon'"),
        ({"read_only": "perhaps"}, OptionError, "read-only: 'perhaps'"),
        ({"base_url": "https://h", "region": "eu"}, OptionError, "exclude each other"),
        ({"base_url": "http://example.com"}, OptionError, "in the clear"),
        ({"profile": "none"}, OptionError, "no profile 'none'"),
        ({"views": "by-moon"}, Exception, "by-moon"),
        ({"config": "/not/there"}, SettingsError, "can't be read"),
        ({"tail": 1}, TypeError, "tail"),
    ],
)
def test_what_the_command_line_refuses_is_refused(configured, options, error, match):
    with pytest.raises(error, match=match):
        settings_of(KEY, options)


#: Opens a history where neither click nor a FUSE library can be imported.
PROGRAM = """
import sys

class Gate:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("click", "fuse", "mfusepy", "rich"):
            raise AssertionError(f"{name} is imported")

sys.meta_path.insert(0, Gate())
import histfs
with histfs.open(sys.argv[2], base_url=sys.argv[1]) as history:
    print(len(list(history.items())), *history.ls())
"""


def test_neither_click_nor_fuse_is_imported(simulator):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, simulator.base_url, simulator.api_key],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == "60 by-date by-voice by-source conversations\n"
