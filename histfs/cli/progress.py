"""How far a command is: bars on a terminal, elsewhere a line for each step.

Threads: rich draws in a thread of its own; it guards what it shares.
"""

from __future__ import annotations

import contextlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator

import click


class Display(ABC):
    """Shows one step at a time."""

    @abstractmethod
    def begin(self, what: str, total: int | None = None) -> None:
        """A step begins.

        Args:
            what: names it.
            total: how much there is to do; None where nobody knows.
        """

    @abstractmethod
    def move(self, done: int, note: str = "") -> None:
        """So much of the step is done."""

    @abstractmethod
    def wait(self, why: str) -> None:
        """The step stands still."""

    @abstractmethod
    def tell(self, line: str) -> None:
        """Say something; the step goes on."""

    @abstractmethod
    def end(self, line: str) -> None:
        """The step is done; the line says what came of it."""


class Silent(Display):
    """Nothing, for a command whose output is for a program."""

    def begin(self, what: str, total: int | None = None) -> None:
        """Nothing to say yet."""

    def move(self, done: int, note: str = "") -> None:
        """Nothing to say yet."""

    def wait(self, why: str) -> None:
        """Nothing to say."""

    def tell(self, line: str) -> None:
        """Nothing to say."""

    def end(self, line: str) -> None:
        """Nothing to say."""


class Lines(Silent):
    """A line for each step, for a file, a pipe or a journal."""

    def wait(self, why: str) -> None:
        """Say why."""
        click.echo(why)

    def tell(self, line: str) -> None:
        """Say it."""
        click.echo(line)

    def end(self, line: str) -> None:
        """Say what came of it."""
        click.echo(line)


@contextlib.contextmanager
def displayed() -> Iterator[Display]:
    """Lend the display that fits where the output goes."""
    if not sys.stdout.isatty():
        yield Lines()
        return
    # Only here: it takes as long to load as all of histfs.
    from histfs.cli.progress_bars import Bars  # noqa: PLC0415

    with Bars() as bars:
        yield bars


def counted(number: int, noun: str) -> str:
    """Return ``1 clip`` or ``1,234 clips``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
