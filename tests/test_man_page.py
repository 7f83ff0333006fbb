"""The manual and the code name the same options, variables and exit statuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from histfs import __version__
from histfs.cli.command_group import histfs
from histfs.cli.exit_codes import BUG, STATUS
from histfs.core.programs import ProgramClass
from histfs.programs import shipped_rules

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "man" / "histfs.1").read_text().replace("\\-", "-").replace("\\fR", "")


def options(group: click.Group = histfs) -> Iterator[tuple[str, click.Option]]:
    """Yield the options of all commands, but those of the simulator."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from options(command)
        elif name != "simulate":
            found = (each for each in command.params if isinstance(each, click.Option))
            yield from ((name, option) for option in found)


def test_the_manual_explains_each_option_and_its_variable():
    found = list(options())
    assert {"mount", "verify", "list"} <= {command for command, _ in found}
    missing = [
        (command, name)
        for command, option in found
        for name in option.opts
        if not re.search(rf"(^|[ ,]){re.escape(name)}( |,|$)", PAGE, re.MULTILINE)
    ]
    missing += [
        (command, option.envvar)
        for command, option in found
        if option.envvar and option.envvar not in PAGE
    ]
    assert missing == []


def test_the_manual_lists_each_exit_status():
    section = PAGE.split(".SH EXIT STATUS")[1].split(".SH")[0]
    assert set(map(int, re.findall(r"^\.B (\d+)$", section, re.MULTILINE))) == {
        0,
        BUG,
        *STATUS.values(),
    }


@pytest.mark.parametrize("program_class", [ProgramClass.CRAWLER, ProgramClass.ARCHIVER])
def test_the_manual_names_each_program_of_the_table(program_class):
    section = PAGE.split(".SH PROGRAMS")[1].split(".SH")[0]
    listed = section.split(f".B {program_class.value}\n")[1].split(".TP")[0].split("They are")[1]
    names = re.findall(r"^\.IR? (\S+)", listed, re.MULTILINE)
    rules = [rule.name for rule in shipped_rules() if rule.program_class is program_class]
    assert names == list(dict.fromkeys(rules))


def test_the_manual_and_the_changelog_are_of_this_version():
    assert f'"histfs {__version__}"' in PAGE
    for page in (ROOT / "man").glob("*.7"):
        assert f".Os histfs {__version__}\n" in page.read_text(encoding="utf-8")
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()
