"""The options that say what programs get of a mount, and what they say of one program."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from histfs.cli.config_sources import Given, Setting, rank, setting
from histfs.core.programs import NAME_MAX, Process, ProgramClass
from histfs.programs import program_table
from histfs.settings import MountOptions, OptionError, parse_patterns

#: What `histfs doctor --program` says of each class.
_MEANINGS = {
    ProgramClass.CRAWLER: "it can open what is in the cache; nothing is fetched for it",
    ProgramClass.ARCHIVER: "stat shows it exact sizes, and asks the server or fetches for them",
    ProgramClass.PLAYER: "it gets audio as it comes; the size may be an estimate until all is here",
    ProgramClass.LISTENER: "it gets audio as it comes, and can't seek in it until all is here",
    ProgramClass.DEFAULT: "stat may show it an estimate, which open makes exact",
}


class MaybeEmpty(Setting):
    """An option that an empty variable sets; click would take it for an unset one."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the value of the variable; None if it isn't set."""
        return os.environ.get(str(self.envvar))


crawlers_option = setting(
    "--crawlers",
    cls=MaybeEmpty,
    type=parse_patterns,
    metavar="PATTERN[,PATTERN…]",
    show_default="common thumbnailers and indexers",
    help="Names of programs that can't open audio which isn't in the cache.",
)
programs_option = setting(
    "--programs",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A file that extends the table of programs and what each needs; see histfs(1).",
)


def programs_of(given: Given) -> Path | None:
    """Return the file that ``--programs`` or ``-o programs=`` names; None for none."""
    file: Path | None = given["programs"]
    options: MountOptions | None = given.get("options")
    in_options = None if options is None else options.programs
    if in_options is not None and (file is None or rank("options") <= rank("programs")):
        file = in_options
    return None if file is None else file.absolute()


def class_report(line: str, given: Given) -> str:
    """Return what a program gets of a mount with these options, in one line.

    Args:
        line: the program's name, or a command line, of which only file names count.
        given: the values of the options of this module.

    Raises:
        OptionError: the line holds no program.
        SettingsError: the table of programs can't be read.
    """
    try:
        arguments = shlex.split(line)
    except ValueError as error:
        raise OptionError(f"--program {line!r} is no command line: {error}") from error
    if not arguments or not Path(arguments[0]).name:
        raise OptionError("--program: give a program's name, or a command line")
    name = Path(arguments[0]).name
    table = program_table(programs_of(given), given["crawlers"])
    rule = table.rule_for(Process(name, name[:NAME_MAX], tuple(arguments)))
    found = ProgramClass.DEFAULT if rule is None else rule.program_class
    why = "no rule is about it" if rule is None else f"by the rule {rule}"
    return f"{name}: {found.value}, {why}: {_MEANINGS[found]}"
