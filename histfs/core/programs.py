"""What a program needs of the filesystem: a table of names of programs and their classes.

The size of a clip that was never fetched is an estimate. Programs that take the size from the open
file get it right; archivers and servers take it from a stat before they open the file, and would
write a wrong copy without an error.

Threads: any number at once; nothing here changes after it is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from posixpath import basename
from typing import NamedTuple

#: The kernel cuts a thread's name off after so many characters (TASK_COMM_LEN less the NUL).
NAME_MAX = 15

#: The option of Python that runs a module.
_MODULE = "-m"


class _Interpreter(NamedTuple):
    """A program that runs scripts.

    Attributes:
        program: a pattern of fnmatch(3) of its name.
        code: its options that take code in place of a script.
        value: its options whose value is the next argument.
    """

    program: str
    code: str
    value: str


_INTERPRETERS = (
    _Interpreter("python*", "-c", "-W -X"),
    _Interpreter("pypy*", "-c", "-W -X"),
    _Interpreter("perl*", "-e -E", "-I"),
    _Interpreter("ruby*", "-e", "-C -E -I -r"),
    _Interpreter("node*", "-e -p", "-r"),
    _Interpreter("*sh", "-c", "-o -O"),
)


class ProgramClass(Enum):
    """What a program needs, and so what it gets."""

    #: Looks at every file: nothing is fetched for it.
    CRAWLER = "crawler"
    #: Believes the size of the stat before it opens the file: stat fetches what it needs to know.
    ARCHIVER = "archiver"
    #: Plays to the true end, whatever size it is shown: it gets bytes as they come.
    PLAYER = "player"
    #: Plays as far as the size that it is shown, but a pipe to its end: it gets a pipe.
    LISTENER = "listener"
    #: Takes the size from the open file: stat shows an estimate, open makes it exact.
    DEFAULT = "default"


class Process(NamedTuple):
    """The names of a process.

    Attributes:
        program: the file name of its program; empty where the kernel does not give it.
        name: the name of its first thread, cut off after 15 characters.
        arguments: of its command line, with the name under which it was started.
    """

    program: str
    name: str
    arguments: tuple[str, ...] = ()

    def matches(self, pattern: str) -> bool:
        """Say whether a pattern of fnmatch(3) matches the program, the name or the script."""
        if fnmatchcase(self.program, pattern):
            return True
        script = self.script
        if script and fnmatchcase(script, pattern):
            return True
        if len(self.name) < NAME_MAX:
            return fnmatchcase(self.name, pattern)
        # The name may be cut off: use the program's where that is the longer one, else cut the
        # pattern off, too.
        return not self.program.startswith(self.name) and (
            fnmatchcase(self.name, pattern) or fnmatchcase(self.name, pattern[:NAME_MAX])
        )

    @property
    def script(self) -> str:
        """The file name of the script, or the module, that an interpreter runs; empty for none."""
        found = self._interpreter
        if found is None:
            return ""
        code, value = found.code.split(), found.value.split()
        arguments = iter(self.arguments[1:])
        for argument in arguments:
            if argument == _MODULE:
                return next(arguments, "")
            if argument in code:
                return ""
            if argument in value:
                next(arguments, None)
            elif not argument.startswith("-"):
                return basename(argument)
        return ""

    @property
    def identity(self) -> tuple[str, ...] | None:
        """What processes of a program have in common; None for an interpreter without a script."""
        if self._interpreter is not None and not self.script:
            return None
        return self.program, self.name, self.script

    @property
    def _interpreter(self) -> _Interpreter | None:
        matching = (each for each in _INTERPRETERS if fnmatchcase(self.program, each.program))
        return next(matching, None)

    def has_argument(self, pattern: str) -> bool:
        """Say whether a pattern matches an argument, or the file name in one."""
        return any(
            fnmatchcase(argument, pattern) or fnmatchcase(basename(argument), pattern)
            for argument in self.arguments
        )


class Rule(NamedTuple):
    """One row of the table.

    Attributes:
        name: a pattern of fnmatch(3) for the name of the program.
        program_class: what it gets.
        argument: a pattern that one of its arguments has to match, too; None for any arguments.
        origin: the option or the file that has the rule.
    """

    name: str
    program_class: ProgramClass
    argument: str | None = None
    origin: str = ""

    def applies_to(self, process: Process) -> bool:
        """Say whether the rule is about a process."""
        return process.matches(self.name) and (
            self.argument is None or process.has_argument(self.argument)
        )

    def __str__(self) -> str:
        with_argument = "" if self.argument is None else f" with the argument {self.argument}"
        return f"{self.name}{with_argument} ({self.origin})"


@dataclass(frozen=True, slots=True)
class ProgramTable:
    """The rules in order: the first one that applies counts.

    Attributes:
        rules: in this order.
    """

    rules: tuple[Rule, ...] = ()

    def rule_for(self, process: Process) -> Rule | None:
        """Return the first rule that applies to a process; None for the default class."""
        return next((rule for rule in self.rules if rule.applies_to(process)), None)
